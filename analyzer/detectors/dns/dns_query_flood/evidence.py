"""Figures, records and tables of a flood."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.detectors.dns.dns_query_flood.measure import Flood, per_step
from analyzer.facts.audit_windows import records
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure

NAMES, CLIENTS = 10, 10
DAY = 86_400
SECONDS_SHOWN = 300
"""A longer flood is drawn by the minute."""


def impact(flood: Flood, logged: int | None) -> tuple[Figure, ...]:
    """`logged` is the length of all lines that the log plugin wrote meanwhile; None without a log."""
    figures: list[tuple[str, int | float, str]] = [
        ("queries of the client", flood.queries.height, "queries"),
        ("rate of the client", round(flood.rate, 3), "queries per second"),
        ("share of all queries", round(flood.share, 6), "fraction"),
        ("distinct names", flood.queries["name"].n_unique(), "names"),
    ]
    if logged is not None:
        figures += [
            ("log bytes per second", round(logged / flood.seconds, 3), "bytes per second"),
            ("log bytes per day", round(logged / flood.seconds * DAY), "bytes per day"),
        ]
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures)


def evidence(flood: Flood, replayed: pl.DataFrame) -> Evidence:
    """The client's first and last query with some between; what it asked for; who else asked meanwhile."""
    busiest = replayed.sort(["queries", "name", "qtype"], descending=[True, False, False]).head(NAMES)
    names = EvidenceTable(
        caption="Busiest names of the client, and how often a cache would have asked for them",
        columns=(
            *(Column(name="name"), Column(name="type")),
            *(Column(name="queries", unit="queries"), Column(name="with a cache", unit="queries")),
        ),
        rows=tuple(busiest.select("name", "qtype", "queries", "asked").rows()),
    )
    clients = EvidenceTable(
        caption="Clients meanwhile",
        columns=(Column(name="client"), Column(name="queries", unit="queries")),
        rows=tuple(flood.others.head(CLIENTS).rows()),
    )
    return Evidence(records=records(flood.queries), tables=(names, clients), series=(_series(flood),))


def _series(flood: Flood) -> EvidenceSeries:
    step = timedelta(seconds=1 if flood.seconds <= SECONDS_SHOWN else 60)
    return EvidenceSeries(
        caption=f"Queries of {flood.client}",
        unit="queries",
        start=flood.start,
        step_seconds=int(step.total_seconds()),
        values=tuple(per_step(flood, step)),
    )
