"""Figures, records and tables of an overload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analyzer.detectors.apiserver.apiserver_overload.measure import Measured
from analyzer.detectors.apiserver.apiserver_overload.signs import Window
from analyzer.facts.audit_windows import BIN_SECONDS, records, short
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure

ROWS = 15
SERIES_BINS = 400


def impact(found: Measured, starts: Sequence[Mapping[str, Any]]) -> tuple[Figure, ...]:
    """The figures; `starts` are those of the server. What the log does not tell is left out."""
    gap = max([found.gap, *(start["silent_seconds"] or 0.0 for start in starts)])
    figures: tuple[tuple[str, int | float | None, str], ...] = (
        ("5xx answers", found.failed, "requests"),
        ("504 answers", found.timed_out, "requests"),
        ("panics", found.panics, "requests"),
        ("slow requests", found.slow, "requests"),
        ("requests meanwhile", found.requests, "requests"),
        ("restarts of the server", len(starts), "starts"),
        ("longest gap", round(gap, 6), "seconds"),
        ("latency p50", found.p50, "seconds"),
        ("latency p95", found.p95, "seconds"),
        ("latency p99", found.p99, "seconds"),
        ("quiet latency p50", None if found.quiet is None else round(found.quiet, 6), "seconds"),
        ("seconds above the quiet median", found.added, "seconds"),
        ("etcd's share while slow", found.etcd, "fraction"),
        ("queue's share while slow", found.queue, "fraction"),
        ("failed or slow heartbeats of nodes", found.node_requests, "requests"),
        ("log lines of clients that complain", found.complaints, "lines"),
    )
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def evidence(requests: pl.DataFrame, window: Window) -> Evidence:
    """The first, slowest and last bad request with some between; failures by code; latency by kind; who asked."""
    inside = requests.filter(window.rows)
    bad = inside.filter(pl.col("failed") | pl.col("slow"))
    return Evidence(
        records=records(bad, int(bad["latency_seconds"].arg_max() or 0)),
        tables=(*_failures(inside), _kinds(inside), _agents(inside)),
        series=_series(inside, window),
    )


def _failures(inside: pl.DataFrame) -> tuple[EvidenceTable, ...]:
    rows = (
        inside.filter("failed")
        .with_columns(pl.col("message").fill_null("").str.slice(0, 80))
        .group_by("code", "stage", "message")
        .agg(pl.len())
        .sort(["len", "code", "message"], descending=[True, False, False])
        .head(ROWS)
    )
    columns = (Column(name="code"), Column(name="stage"), Column(name="message"), Column(name="n", unit="requests"))
    return (EvidenceTable(caption="Failures", columns=columns, rows=tuple(rows.rows())),) if rows.height else ()


def _kinds(inside: pl.DataFrame) -> EvidenceTable:
    keys = ["verb", "uri_class"]
    latency = pl.col("latency_seconds")
    rows = (
        inside.group_by(keys)
        .agg(
            pl.len(),
            pl.col("failed", "slow").sum(),
            *(latency.quantile(q, "nearest").alias(str(q)) for q in (0.5, 0.95, 0.99)),
            latency.sum().alias("spent"),
            pl.col("latency_etcd_seconds").sum().alias("etcd"),
        )
        .sort(["spent", *keys], descending=[True, False, False])
        .head(ROWS)
    )
    return EvidenceTable(
        caption="Latency by kind of request, without watches and other long-running ones",
        columns=(
            Column(name="verb"),
            Column(name="URI"),
            Column(name="requests", unit="requests"),
            Column(name="failed", unit="requests"),
            Column(name="slow", unit="requests"),
            *(Column(name=name, unit="seconds") for name in ("p50", "p95", "p99", "all", "of it in etcd, where told")),
        ),
        rows=tuple(rows.rows()),
    )


def _agents(inside: pl.DataFrame) -> EvidenceTable:
    rows = agents(inside).head(ROWS)
    whole = float(rows["spent"].sum()) or 1.0
    return EvidenceTable(
        caption="User agents by the time that the server spent on them",
        columns=(
            Column(name="user agent"),
            Column(name="requests", unit="requests"),
            Column(name="seconds", unit="seconds"),
            Column(name="share", unit="fraction"),
        ),
        rows=tuple((short(agent), count, spent, round(spent / whole, 4)) for agent, count, spent in rows.rows()),
    )


def agents(inside: pl.DataFrame) -> pl.DataFrame:
    """agent, requests, spent (seconds), most first."""
    return (
        inside.with_columns(pl.col("agent").fill_null(""))
        .group_by("agent")
        .agg(pl.len().alias("requests"), pl.col("latency_seconds").sum().round(6).alias("spent"))
        .sort(["spent", "requests", "agent"], descending=[True, True, False])
    )


def _series(inside: pl.DataFrame, window: Window) -> tuple[EvidenceSeries, ...]:
    step = 10 if window.seconds <= 20 * BIN_SECONDS else BIN_SECONDS
    step *= max(1, -int(-window.seconds // (step * SERIES_BINS)))
    place = ((pl.col("time") - window.start).dt.total_seconds() // step).alias("at")
    counts = inside.group_by(place).agg(pl.col("failed").sum(), pl.col("latency_seconds").max().fill_null(0.0))
    known = {at: (failed, slowest) for at, failed, slowest in counts.rows()}
    return tuple(
        EvidenceSeries(
            caption=caption.format(step),
            unit=unit,
            start=window.start,
            step_seconds=step,
            values=tuple(float(known.get(at, (0, 0.0))[which]) for at in range(max(known) + 1)),
        )
        for which, caption, unit in ((0, "Failures per {} s", "requests"), (1, "Slowest request per {} s", "seconds"))
    )
