"""Who spoke most, by kind of source: whom to call."""

from __future__ import annotations

import polars as pl

from analyzer.frames import AUDIT_EVENTS, COREDNS_QUERIES, DNS_MESSAGES, HTTP_MESSAGES, Table
from analyzer.model import Talker
from analyzer.story.series import Get

MOST = 10

_FRESH = ~pl.col("duplicate").fill_null(False) & ~pl.col("response")
_METADATA = _FRESH & pl.col("metadata")
_ASKED = _FRESH & (pl.col("protocol") == "dns")

_KINDS: tuple[tuple[str, str, Table, str, pl.Expr, pl.Expr], ...] = (
    ("DNS clients in captures", "queries", DNS_MESSAGES, "src", _ASKED, pl.lit(1, dtype=pl.Int64)),
    ("DNS clients in CoreDNS logs", "queries", COREDNS_QUERIES, "client", pl.lit(True), pl.lit(1, dtype=pl.Int64)),
    (
        "Instance metadata clients",
        "requests",
        HTTP_MESSAGES,
        "src",
        _METADATA,
        pl.lit(1, dtype=pl.Int64),
    ),
    (
        "API server user agents",
        "requests",
        AUDIT_EVENTS,
        "agent",
        pl.col("stage").is_in(["ResponseComplete", "Panic"]),
        pl.lit(1, dtype=pl.Int64),
    ),
    ("Audit log writers", "bytes", AUDIT_EVENTS, "user", pl.lit(True), pl.col("event_bytes")),
)


def talkers(get: Get) -> tuple[Talker, ...]:
    """The ten busiest of each kind, with their share of all of that kind."""
    found: list[Talker] = []
    for kind, unit, table, column, where, weight in _KINDS:
        frame = get(table)
        if frame is None:
            continue
        named = frame.filter(where).select(name=pl.col(column).fill_null("(none)"), weight=weight)
        sums = named.group_by("name").agg(count=pl.col("weight").sum()).collect()
        total = int(sums["count"].sum() or 0)
        top = sums.sort(["count", "name"], descending=[True, False]).head(MOST)
        found += [
            Talker(kind=kind, name=row["name"], count=row["count"], share=round(row["count"] / total, 4), unit=unit)
            for row in top.iter_rows(named=True)
            if row["count"]
        ]
    return tuple(found)
