"""Figures, records and tables of a storm."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.apiserver.apiserver_throttle_storm.load import AGENT, Window
from analyzer.detectors.apiserver.apiserver_throttle_storm.priority import VITAL, level
from analyzer.facts.audit_windows import BIN_SECONDS, records, short
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure

ROWS = 15
SERIES_STEP = 10


def impact(agents: pl.DataFrame, agent: str, retry_after: float, more: tuple[Figure, ...]) -> tuple[Figure, ...]:
    """The figures of a storm; each request once. `more` stands behind them."""
    rejected, requests = int(agents["rejected"].sum()), int(agents["requests"].sum())
    own, clients = agents.filter(pl.col("agent") == agent).select("rejected", "clients").row(0)
    figures = (
        ("rejected requests", rejected, "requests"),
        ("rejected requests of the offender", own, "requests"),
        ("rejected requests of others", rejected - own, "requests"),
        ("client addresses of the offender", clients, "addresses"),
        ("least seconds of waiting", rejected * retry_after, "seconds"),
        ("requests meanwhile", requests, "requests"),
    )
    return (*(Figure(name=name, value=value, unit=unit) for name, value, unit in figures), *more)


def evidence(
    requests: pl.LazyFrame, window: Window, agents: pl.DataFrame, agent: str, more: tuple[EvidenceTable, ...]
) -> Evidence:
    """The offender's rejected requests (first, one of the worst second, last, some between), who else, and when.

    `more` are tables that stand behind these.
    """
    own = window.rejected.with_columns(AGENT).filter(pl.col("agent") == agent)
    second = own["time"].dt.truncate("1s")
    worst = second.to_frame("second").with_row_index().group_by("second").agg(pl.len(), pl.col("index").min())
    top = worst.sort(["len", "second"], descending=[True, False])["index"][0]
    return Evidence(
        records=records(own, int(top)),
        tables=(_agents(agents), _sent(requests, window, agent), *_others(window, agent), *more),
        series=(_series(window),),
    )


def _agents(agents: pl.DataFrame) -> EvidenceTable:
    return EvidenceTable(
        caption="User agents during the storm, by the load that they asked for",
        columns=(
            Column(name="user agent"),
            Column(name="requests", unit="requests"),
            Column(name="rejected", unit="requests"),
            Column(name="client addresses", unit="addresses"),
            Column(name="share of the load", unit="fraction"),
        ),
        rows=tuple(
            (short(row["agent"]), row["requests"], row["rejected"], row["clients"], round(row["load"], 4))
            for row in agents.head(ROWS).rows(named=True)
        ),
    )


def _sent(requests: pl.LazyFrame, window: Window, agent: str) -> EvidenceTable:
    keys = ["user", "verb", "resource"]
    rows = (
        requests.filter(window.rows)
        .with_columns(AGENT)
        .filter(pl.col("agent") == agent)
        .group_by(keys)
        .agg(
            pl.len().alias("requests"),
            pl.col("throttled").sum().alias("rejected"),
            pl.col("latency_seconds").filter(~pl.col("throttled")).median().alias("median"),
        )
        .sort(["requests", *keys], descending=[True, False, False, False])
        .head(ROWS)
        .collect()
    )
    return EvidenceTable(
        caption=f"What {short(agent)} asked for, and the priority level that this falls under by default",
        columns=(
            Column(name="user"),
            Column(name="verb"),
            Column(name="resource"),
            Column(name="requests", unit="requests"),
            Column(name="rejected", unit="requests"),
            Column(name="median latency when served", unit="seconds"),
            Column(name="priority level"),
        ),
        rows=tuple(
            (short(user), verb, resource, sent, rejected, median, level(user, resource)[1])
            for user, verb, resource, sent, rejected, median in rows.rows()
        ),
    )


def _others(window: Window, agent: str) -> tuple[EvidenceTable, ...]:
    keys = ["agent", "user", "verb", "resource"]
    rows = (
        window.rejected.with_columns(AGENT, VITAL.alias("vital"))
        .filter(pl.col("agent") != agent)
        .group_by(keys)
        .agg(pl.len().alias("rejected"), pl.col("vital").any(), pl.col("time").min().alias("first"))
        .sort(["vital", "rejected", *keys], descending=[True, True, False, False, False, False])
        .head(ROWS)
    )
    if not rows.height:
        return ()
    table = EvidenceTable(
        caption="Rejected requests of others, heartbeats, leader election and control plane first",
        columns=(
            Column(name="user agent"),
            Column(name="user"),
            Column(name="verb"),
            Column(name="resource"),
            Column(name="rejected", unit="requests"),
            Column(name="seconds into the storm", unit="seconds"),
            Column(name="priority level by default"),
        ),
        rows=tuple(
            (
                short(row["agent"]),
                short(row["user"]),
                row["verb"],
                row["resource"],
                row["rejected"],
                round((row["first"] - window.start).total_seconds(), 3),
                level(row["user"], row["resource"])[1],
            )
            for row in rows.rows(named=True)
        ),
    )
    return (table,)


def _series(window: Window) -> EvidenceSeries:
    step = SERIES_STEP if window.seconds <= 20 * BIN_SECONDS else BIN_SECONDS
    place = (window.rejected["time"] - window.start).dt.total_seconds() // step
    counts: dict[int, int] = dict(place.value_counts().rows())
    return EvidenceSeries(
        caption=f"Rejected requests per {step} s",
        unit="requests",
        start=window.start,
        step_seconds=step,
        values=tuple(float(counts.get(at, 0)) for at in range(max(counts) + 1)),
    )
