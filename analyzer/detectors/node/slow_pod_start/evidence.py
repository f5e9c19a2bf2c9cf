"""Figures, records and tables of slow starts."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.detectors.node.slow_pod_start.hints import Hints
from analyzer.detectors.node.slow_pod_start.measure import OWN, Starts, middle
from analyzer.facts.pod_starts import PARTS
from analyzer.model import Cell, Column, Evidence, EvidenceSeries, EvidenceTable, Figure, Record

MOST_ROWS = 10
STEP_SECONDS, MOST_STEPS = 60, 1440

NAMES = {
    "queue": "queue: created to bound",
    "sync": "sync: bound to kubelet",
    "attach": "attach: remote volumes",
    "volume": "volume: local volumes",
    "sandbox": "sandbox",
    "pull": "pull of images",
    "init": "init containers",
    "start": "start of containers",
    "status": "status: running to told",
}


def impact(starts: Starts, seen: Hints) -> tuple[Figure, ...]:
    figures: list[tuple[str, int | float | None, str]] = [
        ("seconds above the fleet median", starts.above, "pod-seconds"),
        ("median", round(starts.median, 6), "seconds"),
        ("95th percentile", round(starts.p95, 6), "seconds"),
        ("pods", starts.pods, "pods"),
        ("longest", round(float(starts.rows["own"].item(0)), 6), "seconds"),
        ("median elsewhere", None if starts.elsewhere is None else round(starts.elsewhere, 6), "seconds"),
        ("pods elsewhere", None if starts.fleet is None else starts.fleet.height, "pods"),
    ]
    told = [part for part in PARTS if starts.rows[part].null_count() < starts.pods]
    figures += [(f"{part}, median", round(middle(starts.rows[part].drop_nulls()), 6), "seconds") for part in told]
    if seen.kernel.height:
        figures.append(("kernel lines of blocked tasks or disks", seen.kernel.height, "lines"))
    if seen.kubelet.height:
        figures.append(("kubelet lines of a late runtime", seen.kubelet.height, "lines"))
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def evidence(starts: Starts, seen: Hints) -> Evidence:
    """The slowest three starts and the quickest, one of another node, and what else the node says."""
    place = ["time", "source", "number"]
    parts = [starts.rows.head(3), starts.rows.tail(1), seen.kernel.head(2), seen.kubelet.head(2)]
    if starts.fleet is not None:
        parts.append(starts.fleet.sort("own", "pod", "source", "number").tail(1))
    shown = pl.concat([part.select(place) for part in parts]).unique(["source", "number"]).sort("source", "number")
    records = tuple(Record(source=source, number=number, time=time) for time, source, number in shown.rows())
    return Evidence(records=records, tables=(_parts(starts), _slowest(starts)), series=(_per_minute(starts),))


def _parts(starts: Starts) -> EvidenceTable:
    rows: list[tuple[Cell, ...]] = []
    for part in PARTS:
        here = starts.rows[part].drop_nulls()
        there = None if starts.fleet is None else starts.fleet[part].drop_nulls()
        if here.len():
            longest = float(here.sort(descending=True).item((here.len() * 5) // 100))
            usual = round(middle(there), 3) if there is not None and there.len() else None
            judged = "yes" if part in OWN else "no"
            rows.append((NAMES[part], judged, here.len(), round(middle(here), 3), round(longest, 3), usual))
    columns = (
        Column(name="part"),
        Column(name="judged"),
        Column(name="pods", unit="pods"),
        Column(name="median", unit="seconds"),
        Column(name="95th percentile", unit="seconds"),
        Column(name="median elsewhere", unit="seconds"),
    )
    return EvidenceTable(
        caption="Where the time went; judged is what the node itself takes", columns=columns, rows=tuple(rows)
    )


def _slowest(starts: Starts) -> EvidenceTable:
    told = [part for part in (*OWN, "pull") if starts.rows[part].null_count() < starts.pods]
    rows = starts.rows.head(MOST_ROWS).select(
        "pod", pl.col("time").dt.strftime("%H:%M:%S"), *(pl.col(part).round(3) for part in ("own", *told))
    )
    columns = (
        Column(name="pod"),
        Column(name="given at"),
        Column(name="judged"),
        *(Column(name=part) for part in told),
    )
    return EvidenceTable(caption="Pods that took longest, in seconds", columns=columns, rows=tuple(rows.rows()))


def _per_minute(starts: Starts) -> EvidenceSeries:
    """The longest of the pods that were given in each step."""
    start = starts.start.replace(second=0, microsecond=0)
    last: timedelta = starts.rows["time"].max() - start  # type: ignore[operator,assignment]  # untyped by polars
    minutes = int(last / timedelta(seconds=STEP_SECONDS)) + 1
    step = STEP_SECONDS * -(-minutes // MOST_STEPS)
    at = ((pl.col("time") - start).dt.total_seconds() // step).alias("bin")
    most = dict(starts.rows.group_by(at).agg(pl.col("own").max()).iter_rows())
    values = tuple(round(float(most.get(one, 0.0)), 3) for one in range(-(-minutes * STEP_SECONDS // step)))
    return EvidenceSeries(caption="Longest start", unit="seconds", start=start, step_seconds=step, values=values)
