"""One client floods the cluster's resolver.

## What it finds
Stretches in which one client asks 1,000 queries a second for a whole minute, wherever the minute begins; and minutes in
which it asks half of all queries and ten times as many as the median of the other clients, at 10 queries a second at
least. The client's queries are replayed through a cache that keeps each answer for its own life: what is left is what
the client needed to ask. Severity is high from 1,000 queries a second on, else medium. Confidence is high for the rate,
which is a count, and medium for the share, which depends on who else asked.

## Why it matters
CoreDNS answers a client as fast as it can, and everybody waits behind it. With the `log` plugin each query is a line:
5,000 queries a second are some 80 GB a day, which fill the disk of the node that CoreDNS runs on.

## What does not count
A proxy that asks for many pods (NodeLocal DNSCache, a node's address behind which several namespaces walk their search
lists): a remark names what is asked most. A client whose queries mostly fail: it asks again because it gets no answer,
and a remark says so. Retries and what a capture or a log shows a second time are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.dns.dns_query_flood.evidence import evidence, impact
from analyzer.detectors.dns.dns_query_flood.measure import Flood, Limits, floods
from analyzer.detectors.dns.dns_query_flood.remedy import REMEDIES, verify
from analyzer.detectors.dns.dns_query_flood.saving import saving
from analyzer.facts.addresses import NODE_LOCAL_DNS
from analyzer.facts.contract import Frames
from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.facts.dns_replay import fetches, lives
from analyzer.facts.search_list import SEARCH_SUFFIXES
from analyzer.frames import COREDNS_QUERIES, DNS_ANSWERS
from analyzer.model import Confidence, Finding, Severity

DEFAULT = "engineering default"

HALF = 0.5
"""Share of failed queries from which asking again is the likelier reason."""


@thresholds
class Settings:
    rate: float = setting(
        1000, "Rate of one client that is a flood.", unit="queries per second", minimum=1, source=DEFAULT
    )
    share: float = setting(0.5, "Share of all queries that is one too.", unit="fraction", minimum=0, source=DEFAULT)
    step: float = setting(10, "Times the median of the other clients that it must reach.", minimum=1, source=DEFAULT)
    least_rate: float = setting(
        10, "Rate below which no share is a flood.", unit="queries per second", minimum=0, source=DEFAULT
    )


_AGAIN = "The client asks for the same names again and again while their answers are still valid."
_ANEW = "The client asks for ever new names, or for names whose answers may not be kept."

_COLUMNS = (
    *("time", "source", "number", "answer_number", "origin", "client", "name", "qtype", "rcode"),
    "negative_ttl",
)


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    queries = (
        frames[DNS_TRANSACTIONS]
        .filter(pl.col("hop") == "client", ~pl.col("covered"), ~pl.col("retry"), pl.col("time").is_not_null())
        .select(_COLUMNS)
        .collect()
    )
    limits = Limits(settings.rate, settings.share, settings.step, settings.least_rate)
    for flood in floods(queries, limits):
        spoken = _look_alike(frames, flood)
        yield Remark(spoken) if spoken else _finding(frames, flood)


def _look_alike(frames: Frames, flood: Flood) -> str:
    """What the flood is instead; empty where it is one."""
    rate = f"{flood.client} asked {flood.queries.height:,} queries in {flood.seconds:.0f} s"
    if flood.failed >= HALF:
        return f"{rate}, {flood.failed:.0%} of them failed: it asks again for want of an answer; see what fails first."
    namespaces = 0
    if SEARCH_SUFFIXES in frames:
        own = frames[SEARCH_SUFFIXES].filter(pl.col("client") == flood.client)
        namespaces = own.select(pl.col("namespace").drop_nulls().n_unique()).collect().item()
    if namespaces > 1 or flood.client == NODE_LOCAL_DNS:
        name, count = flood.queries["name"].value_counts().sort(["count", "name"], descending=[True, False]).row(0)
        whom = f"pods of {namespaces} namespaces" if namespaces > 1 else "the pods of its node"
        return f"{rate} for {whom}: a proxy, no single client; its busiest name is {name} ({count:,} queries)."
    return ""


def _finding(frames: Frames, flood: Flood) -> Finding:
    queries = lives(flood.queries, _ttls(frames, flood))
    replayed = fetches(queries)
    asked = int(replayed["asked"].sum())
    fast = "a count of its queries" if flood.fast else "its share against the other clients that were seen"
    return Finding(
        detector="dns-query-flood",
        subject=flood.client,
        summary=(
            f"{flood.queries.height:,} queries by {flood.client} in {flood.seconds:.0f} s "
            f"({flood.rate:,.0f} a second, {flood.share:.0%} of all) asked for {flood.queries['name'].n_unique():,} "
            f"names; with a cache it would have asked {asked:,}."
        ),
        severity=Severity.HIGH if flood.fast else Severity.MEDIUM,
        confidence=Confidence.HIGH if flood.fast else Confidence.MEDIUM,
        confidence_reason=fast,
        start=flood.start,
        end=flood.end,
        impact=impact(flood, _logged(frames, flood)),
        evidence=evidence(flood, replayed),
        saving=saving(flood, queries, replayed),
        why=_AGAIN if 2 * asked < flood.queries.height else _ANEW,
        refuted_by="A load test, or a proxy behind this address that asks for many pods.",
        remedies=REMEDIES,
        verify=verify(flood),
        stories=(19,),
    )


def _ttls(frames: Frames, flood: Flood) -> pl.DataFrame | None:
    """The least life of the records of each answer that the client got."""
    if DNS_ANSWERS not in frames:
        return None
    own = frames[DNS_ANSWERS].filter(pl.col("client") == flood.client)
    return own.group_by("source", answer_number="number").agg(pl.col("ttl").min()).collect()


def _logged(frames: Frames, flood: Flood) -> int | None:
    """Bytes of all query lines meanwhile: the log fills with everybody's."""
    if COREDNS_QUERIES not in frames:
        return None
    meanwhile = frames[COREDNS_QUERIES].filter(pl.col("query_time").is_between(flood.start, flood.end))
    return int(meanwhile.select(pl.col("line_bytes").sum()).collect().item())


DETECTOR = Detector(
    id="dns-query-flood",
    title="One client floods the cluster's resolver",
    needs_any=((DNS_TRANSACTIONS,),),
    uses=(SEARCH_SUFFIXES, DNS_ANSWERS, COREDNS_QUERIES),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(19,),
)
