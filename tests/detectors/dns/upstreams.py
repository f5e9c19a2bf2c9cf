"""Queries that CoreDNS hands on, answered and in vain, by log and by capture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from analyzer.frames import (
    COREDNS_ERRORS,
    COREDNS_QUERIES,
    DNS_MESSAGES,
    NO_REPLY,
    Table,
)
from analyzer.model import Finding
from tests.build import rows
from tests.lookups import POD, Row, capture, exchange, log

Given = dict[Table, pl.LazyFrame]

UPSTREAM, OTHER, COREDNS = "10.0.0.2", "172.16.0.53", "10.244.31.4"
DOMAINS = ("example.com", "example.net", "example.org", "example.co.uk")
INSIDE = "payments.shop.svc.cluster.local"


def outside(
    count: int, rcode: str, *, start: float = 0, every: float = 0.5, after: float = 0.02, **more: object
) -> list[Row]:
    """So many queries for hosts of four registered domains."""
    made = []
    for i in range(count):
        name = f"{i}.{DOMAINS[i % len(DOMAINS)]}"
        made += exchange(start + i * every, name, rcode, after=after, **more)  # type: ignore[arg-type]
    return made


def inside(count: int = 20, rcode: str = "NOERROR", start: float = 0) -> list[Row]:
    return [row for i in range(count) for row in exchange(start + i, INSIDE, rcode)]


def failing(count: int = 20, *, start: float = 0, after: float = 2.0, **more: object) -> list[Row]:
    """As CoreDNS logs what its upstream did not answer."""
    return outside(count, NO_REPLY, start=start, after=after, **more)  # type: ignore[arg-type]


def error(
    time: float, name: str | None = None, kind: str = "timeout", upstream: str | None = UPSTREAM, **more: object
) -> Row:
    return {"time": time, "name": name, "qtype": "A", "kind": kind, "upstream": upstream, "count": 1} | more


def errors(made: Iterable[Row], source: str = "coredns.log") -> pl.LazyFrame:
    return rows(COREDNS_ERRORS, *made, source=source)


def errors_of(queries: Sequence[Row], **more: object) -> pl.LazyFrame:
    """An error line for each failed query."""
    failed = [row for row in queries if row["response"] and row["rcode"] == NO_REPLY]
    return errors(error(row["time"], row["name"], **more) for row in failed)  # type: ignore[arg-type]


def logged(*parts: list[Row], **more: object) -> Given:
    whole = [row for part in parts for row in part]
    return {COREDNS_QUERIES: log(whole), COREDNS_ERRORS: errors_of(whole, **more)}


def forwarded(sent: Sequence[int], level: int, client: str = POD) -> list[Row]:
    """Second by second so many lookups that CoreDNS hands on, of which the upstream answers `level`: both sides of
    CoreDNS, as a capture on its node sees them. The client waits in vain for the others."""
    made = []
    for second, count in enumerate(sent):
        for i in range(count):
            name, time = f"{second}-{i}.{DOMAINS[i % len(DOMAINS)]}", second + (i + 0.5) / (count + 1)
            rcode = "NOERROR" if i < level else None
            made += exchange(time, name, rcode, after=0.004, client=client, port=41000 + i)
            made += exchange(time + 0.001, name, rcode, after=0.002, client=COREDNS, server=UPSTREAM, port=30000 + i)
    # A server of the cluster answers as itself, so that it is known to ask for others.
    made += exchange(0, INSIDE, "NOERROR", server=COREDNS)
    return made + exchange(len(sent) + 60, INSIDE, "NOERROR")


RISE = [5] * 10 + [40, 30, 60, 45, 50, 35, 30, 55] + [5] * 10


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def answered(sent: Sequence[int], counts: Sequence[int]) -> Given:
    """As `forwarded`, each second with a count of answers of its own."""
    parts = [forwarded([asked], count) for asked, count in zip(sent, counts, strict=True)]
    return {DNS_MESSAGES: capture([{**row, "time": row["time"] + i} for i, part in enumerate(parts) for row in part])}
