"""One of two queries that leave together is lost, and the lookup waits for the resolver's timeout.

## What it finds
Lookups whose A and AAAA queries leave within a millisecond, of which exactly one is answered, and whose other half is
asked again after the wait that its resolver is known for, and answered then: 5 s from the same socket (glibc, both
halves on one socket), 2.5 s from the same socket (musl), 5 s from a new socket (Go, a socket for each half). A client
is named with three such lookups, or with one in a thousand of its lookups. Severity is high from one in a hundred on,
else medium. Confidence is high where CoreDNS's log holds what the client was answered and lacks what it lost, low with
fewer than three lookups, else medium.

## Why it matters
Two UDP packets of one socket race through the connection tracking of the node's kernel; one is dropped without a trace.
The program sees a lookup of five seconds, a few times in ten thousand, and nothing in CoreDNS shows it.

## What does not count
Both halves lost: that is a resolver that does not answer. Halves that reached CoreDNS and failed behind it, by its log
or by what it asked upstream (a remark). A half that is lost again when it is asked alone: a server that does not answer
that type. Packets that are lost alone as often as in pairs: a lossy network or capture; a remark says so. Answers that
are late rather than lost, and waits of other lengths, such as the 2 s and 4 s of CoreDNS's own timeouts towards its
upstream.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.dns.dns_client_timeout.evidence import REMEDIES, evidence, impact, remedies, saving, verify
from analyzer.detectors.dns.dns_client_timeout.measure import Losses, losses
from analyzer.facts.contract import Frames
from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.facts.dns_hops import DNS_HOPS
from analyzer.facts.dns_witness import Witness, ask, failed_behind
from analyzer.frames import COREDNS_QUERIES, DNS_MESSAGES, NO_REPLY
from analyzer.model import Confidence, Finding, Severity

DEFAULT = "engineering default"

ALONE_LEAST = 20
"""Queries that leave alone, below which their losses say nothing."""
HALF = 0.5
"""From this part on, halves that failed behind CoreDNS or losses of lone queries are the rule, not a race of two."""


@thresholds
class Settings:
    pairs: int = setting(3, "Lookups with one lost half that name a client.", unit="lookups", minimum=1, source=DEFAULT)
    share: float = setting(0.001, "Share of its lookups that does so too.", unit="fraction", minimum=0, source=DEFAULT)
    high_share: float = setting(
        0.01, "Share of its lookups from which the severity is high.", unit="fraction", minimum=0, source=DEFAULT
    )


_COLUMNS = (
    *("time", "source", "number", "client", "client_port", "dns_id", "name", "qtype", "rcode", "answered"),
    "retry",
)


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    queries = (
        frames[DNS_TRANSACTIONS]
        .filter(pl.col("origin") == "capture", pl.col("hop") == "client", ~pl.col("covered"))
        .select(_COLUMNS)
        .collect()
        .with_row_index("row")
    )
    if not (queries["rcode"] == NO_REPLY).any():
        return
    answered = queries.filter(pl.col("answered").is_not_null())
    behind = failed_behind(queries, frames)["row"]
    for lost in losses(queries):
        if lost.pairs.height < settings.pairs and lost.share < settings.share:
            continue
        witness = ask(lost.pairs, answered, frames.get(COREDNS_QUERIES))
        reached = max(witness.failed, lost.pairs.filter(pl.col("row").is_in(behind.implode())).height)
        if (text := _look_alike(lost, reached)) is not None:
            yield Remark(text)
        else:
            yield _finding(lost, witness, settings)


def _look_alike(lost: Losses, reached: int) -> str | None:
    """What it is instead of a race; so many halves `reached` their server, which had no answer for them."""
    count = lost.pairs.height
    if reached >= HALF * count:
        return (
            f"{lost.client} was not answered one half of {count} lookups, of which {reached} had reached CoreDNS and "
            "failed behind it: no race of two queries, its upstream does not answer."
        )
    if lost.both_lost >= count:
        return (
            f"{lost.client} lost one half of {count} lookups and both halves of {lost.both_lost}: no race of two "
            "queries, its resolver does not answer."
        )
    if lost.alone >= ALONE_LEAST and lost.alone_lost / lost.alone >= HALF * count / lost.paired:
        return (
            f"{lost.client} lost one half of {count} lookups, and {lost.alone_lost} of {lost.alone} queries that left "
            "alone: packets get lost whether two leave together or not, in the network or in the capture."
        )
    return None


def _finding(lost: Losses, witness: Witness, settings: Settings) -> Finding:
    count = lost.pairs.height
    proven = witness.before > witness.after
    if proven:
        confidence, reason = Confidence.HIGH, witness.sentence
    elif count < settings.pairs:
        confidence, reason = Confidence.LOW, f"fewer than {settings.pairs} lookups show it"
    else:
        confidence, reason = Confidence.MEDIUM, witness.sentence or "seen from one side: no log of CoreDNS covers it"
    return Finding(
        detector="dns-client-timeout",
        subject=lost.client,
        summary=(
            f"{count:,} of {lost.lookups:,} lookups by {lost.client} lost exactly one of their two queries and waited "
            f"{lost.added:.1f} s in all for the resolver to ask again."
        ),
        severity=Severity.HIGH if lost.share >= settings.high_share else Severity.MEDIUM,
        confidence=confidence,
        confidence_reason=reason,
        start=lost.start,
        end=lost.end,
        impact=impact(lost, witness),
        evidence=evidence(lost),
        saving=saving(lost),
        why="A and AAAA leave together, race through connection tracking on the node, and one is dropped.",
        refuted_by="Counters of the capture that show drops, or a count of insert_failed that does not grow.",
        remedies=remedies(lost),
        verify=verify(lost),
        stories=(39,),
    )


DETECTOR = Detector(
    id="dns-client-timeout",
    title="One of two DNS queries that leave together is lost",
    needs_any=((DNS_TRANSACTIONS, DNS_MESSAGES),),
    uses=(COREDNS_QUERIES, DNS_HOPS),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(39,),
)
