"""Figures and records of lost session tokens."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.credentials.imds_hop_limit.measure import Lost
from analyzer.model import Column, Evidence, EvidenceTable, Figure, Record

MOST = 6


def impact(lost: Lost) -> tuple[Figure, ...]:
    figures: list[tuple[str, int | float, str]] = [
        ("token requests without an answer", lost.count, "requests"),
        ("token requests", lost.tokens, "requests"),
        ("seconds waited for tokens", round(lost.seconds, 6), "seconds"),
        ("median wait", round(lost.median, 6), "seconds"),
        ("other metadata requests", lost.others, "requests"),
        ("other metadata requests answered", lost.answered, "requests"),
        ("requests refused for lack of a token", lost.refused, "requests"),
    ]
    if lost.bounced.height:
        figures.append(("answers dropped for want of a hop", lost.expired, "answers"))
        figures.append(("time exceeded messages", lost.bounced.height, "messages"))
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures)


def evidence(lost: Lost) -> Evidence:
    """The first token requests, the last, the longest wait, and the first messages about their answers."""
    rows = lost.rows
    longest = rows.sort("wait", "source", "number", descending=[True, False, False], nulls_last=True).head(1)
    chosen = [part.select("source", "number", "time") for part in (rows.head(MOST - 2), rows.tail(1), longest)]
    chosen.append(lost.bounced.head(2).select("source", "number", "time"))
    every = pl.concat(chosen).unique(["source", "number"]).sort("source", "number")
    programs = rows.group_by("user_agent").agg(
        pl.len(), pl.col("wait").sum().round(6), pl.col("wait").median().round(6).alias("median")
    )
    table = EvidenceTable(
        caption="Lost token requests by program",
        columns=(
            Column(name="program"),
            Column(name="lost", unit="requests"),
            Column(name="waited", unit="seconds"),
            Column(name="median wait", unit="seconds"),
        ),
        rows=tuple(programs.sort("len", "user_agent", descending=[True, False], nulls_last=True).head(10).rows()),
    )
    records = tuple(Record(source=s, number=n, time=t) for s, n, t in every.iter_rows())
    return Evidence(records=records, tables=(table,))
