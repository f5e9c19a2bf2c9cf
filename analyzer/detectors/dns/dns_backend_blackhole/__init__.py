"""Queries go to a DNS server that is no longer there.

## What it finds
Windows in which at least three lookups of one name server fail in every try, and one of three signs that they went
into a hole: ports that were in use before the window fail and fresh ports do not (Fisher's exact test with p below
0.01, and three times the risk); a server of the resolver was deleted, killed or scaled away in the 300 s before; or
nothing at all is answered although clients ask again. The variant follows from the length of the window: `lameduck`,
`conntrack-unreplied` (30 s), `conntrack-stream` (120 or 180 s), `ipvs-timeout` (300 s), `backend-kept` (longer, for as
long as clients go on asking), `dead-server` (nothing is answered). Confidence is high if ports and a change agree, low
for silence alone, else medium. Severity is high from 300 seconds of waiting on.

## Why it matters
When a CoreDNS pod goes away, the node may still remember it for sockets that have asked it: IPVS and connection
tracking send their next query to nobody, without a trace in any log of CoreDNS. Rolling updates and autoscalers do it
every day.

## What does not count
Lookups that fail whatever their port, with no change before and with other answers meanwhile: an overloaded server or a
lossy network; a remark counts them. Lookups of which a later try is answered, such as the races that lose one of two
queries. Queries whose answers the capture did not see, unless the client itself asks again. Queries that reached their
server: it was seen to ask an upstream for them (a remark).
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.dns.dns_backend_blackhole.evidence import REMEDIES, evidence, impact, saving, verify
from analyzer.detectors.dns.dns_backend_blackhole.judge import Verdict, judge
from analyzer.detectors.dns.dns_backend_blackhole.measure import Hole, holes
from analyzer.facts.contract import Frames
from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.facts.dns_hops import DNS_HOPS
from analyzer.facts.dns_witness import Witness, ask, failed_behind
from analyzer.facts.resolver_changes import RESOLVER_CHANGES
from analyzer.frames import COREDNS_QUERIES, DNS_MESSAGES
from analyzer.frames.contract import empty
from analyzer.model import Finding, Severity

DEFAULT = "engineering default"


@thresholds
class Settings:
    lookups: int = setting(3, "Failed lookups that make a window.", unit="lookups", minimum=1, source=DEFAULT)
    p_value: float = setting(0.01, "Chance below which the ports decide.", unit="fraction", minimum=0, source=DEFAULT)
    risk_ratio: float = setting(3, "Times that reused ports must fail more often.", minimum=1, source=DEFAULT)
    high_seconds: float = setting(
        300, "Waiting from which the severity is high.", unit="seconds", minimum=0, source=DEFAULT
    )


_COLUMNS = (
    *("time", "source", "number", "client", "client_port", "server", "dns_id", "name", "qtype", "rcode", "answered"),
    "retry",
)


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    queries = (
        frames[DNS_TRANSACTIONS]
        .filter(
            *(pl.col("origin") == "capture", pl.col("hop") == "client", ~pl.col("covered")),
            *(pl.col("transport") == "udp", pl.col("server_port") == 53),
        )
        .select(_COLUMNS)
        .collect()
    )
    passed_on = failed_behind(queries, frames)
    if passed_on.height:
        queries = queries.join(passed_on, on=["source", "number"], how="anti", maintain_order="left")
        yield Remark(
            f"{passed_on.height:,} queries that clients were not answered had reached their server: it was seen to ask "
            "others for them, in vain. They count as no sign of a server that is gone."
        )
    told = frames.get(RESOLVER_CHANGES)
    changes = told.collect() if told is not None else empty(RESOLVER_CHANGES.table)
    for hole in holes(queries, settings.lookups):
        verdict = judge(hole, changes, settings.p_value, settings.risk_ratio)
        if verdict is None:
            yield Remark(
                f"{hole.failed.height} lookups of {hole.server} failed in {hole.seconds:.0f} s, from ports in use "
                f"before and from fresh ones (p = {hole.ports.p_value:.2g}), and no server of the resolver was seen to "
                "go: an overloaded server, a lossy network, or a capture of one direction."
            )
            continue
        answered = queries.filter(pl.col("answered").is_not_null(), pl.col("server") == hole.server)
        yield _finding(hole, verdict, ask(hole.lost, answered, frames.get(COREDNS_QUERIES)), settings)


def _finding(hole: Hole, verdict: Verdict, witness: Witness, settings: Settings) -> Finding:
    reasons = [
        f"reused ports fail (p = {hole.ports.p_value:.2g})" if verdict.by_port else "",
        f"{verdict.change['object']} was {verdict.change['what'].split()[-1]} before" if verdict.change else "",
        witness.sentence,
    ]
    return Finding(
        detector="dns-backend-blackhole",
        subject=hole.server,
        summary=(
            f"{hole.failed.height:,} lookups at {hole.server} failed in every try within {hole.seconds:.0f} s; "
            f"{_counted(hole.failed['client'].n_unique(), 'client')} waited {hole.waited:,.0f} s for them."
        ),
        severity=Severity.HIGH if hole.waited >= settings.high_seconds else Severity.MEDIUM,
        confidence=verdict.confidence,
        confidence_reason="; ".join(one for one in reasons if one) or "nothing is answered, and clients ask again",
        start=hole.start,
        end=hole.end,
        impact=impact(hole, verdict, witness),
        evidence=evidence(hole, verdict),
        saving=saving(hole, verdict),
        why=f"Queries are sent to a server that is gone: {verdict.reason}.",
        refuted_by="Answers of the same server in a capture nearer to it, or drops counted by this capture.",
        variant=verdict.variant,
        remedies=REMEDIES,
        verify=verify(hole),
        stories=verdict.stories,
    )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


DETECTOR = Detector(
    id="dns-backend-blackhole",
    title="Queries go to a DNS server that is no longer there",
    needs_any=((DNS_TRANSACTIONS, DNS_MESSAGES),),
    uses=(RESOLVER_CHANGES, COREDNS_QUERIES, DNS_HOPS),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(3, 4, 5),
)
