"""Figures, records and tables of late statuses."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from analyzer.detectors.node.kubelet_status_lag.hints import Hints
from analyzer.detectors.node.kubelet_status_lag.measure import Lags
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure, Record

MOST_ROWS = 10
STEP_SECONDS, MOST_STEPS = 60, 1440


def impact(lags: Lags, seen: Hints) -> tuple[Figure, ...]:
    figures: list[tuple[str, int | float, str]] = [
        ("pods over the threshold", lags.over, "pods"),
        ("pods", lags.pods, "pods"),
        ("median lag", round(lags.median, 6), "seconds"),
        ("95th percentile", round(lags.p95, 6), "seconds"),
        ("largest lag", round(lags.largest, 6), "seconds"),
        ("pods started and deleted in a minute, at most", seen.churn, "pods"),
    ]
    for name, waits in (("own limit", seen.own), ("server", seen.server)):
        if waits.height:
            figures.append((f"waits for the {name}", waits.height, "requests"))
            figures.append((f"seconds waited for the {name}", round(float(waits["seconds"].sum()), 6), "seconds"))
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures)


def evidence(lags: Lags, seen: Hints) -> Evidence:
    """Start and patch of the three latest pods and of the quickest, and the longest waits of the kubelet."""
    shown = pl.concat([lags.rows.head(3), lags.rows.tail(1)]).unique(["source", "number"], maintain_order=True)
    found: dict[tuple[str, int], datetime | None] = {}
    for source, number, other, patch, told in shown.select(
        "source", "number", "patch_source", "patch_number", "told"
    ).iter_rows():
        found[(source, number)] = None
        if patch is not None:
            found[(other, patch)] = told
    for waits in (seen.own, seen.server):
        longest = waits.sort("seconds", "source", "number", descending=[True, False, False], nulls_last=True)
        for source, number, time in longest.head(2).select("source", "number", "time").iter_rows():
            found.setdefault((source, number), time)
    records = tuple(Record(source=s, number=n, time=t) for (s, n), t in sorted(found.items(), key=lambda one: one[0]))
    rows = lags.rows.head(MOST_ROWS).select(
        "pod",
        pl.col("time").dt.strftime("%H:%M:%S"),
        pl.col("told").dt.strftime("%H:%M:%S"),
        pl.col("seconds").round(3),
    )
    columns = (Column(name="pod"), Column(name="started"), Column(name="told"), Column(name="lag", unit="seconds"))
    table = EvidenceTable(caption="Pods that were told of last", columns=columns, rows=tuple(rows.rows()))
    return Evidence(records=records, tables=(table,), series=(_per_minute(lags),))


def _per_minute(lags: Lags) -> EvidenceSeries:
    """The largest lag of the pods that started in each step."""
    start = lags.start.replace(second=0, microsecond=0)
    minutes = int((lags.end - start) / timedelta(seconds=STEP_SECONDS)) + 1
    step = STEP_SECONDS * -(-minutes // MOST_STEPS)
    at = (pl.col("time") - start).dt.total_seconds() // step
    most = dict(lags.rows.group_by(at.alias("at")).agg(pl.col("seconds").max()).iter_rows())
    bins = minutes * STEP_SECONDS // step + (step > STEP_SECONDS)
    values = tuple(round(float(most.get(i, 0.0)), 3) for i in range(bins))
    return EvidenceSeries(caption="Largest lag", unit="seconds", start=start, step_seconds=step, values=values)
