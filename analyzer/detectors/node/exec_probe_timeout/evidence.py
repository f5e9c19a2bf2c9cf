"""Figures, records, tables and the series of exec timeouts."""

from __future__ import annotations

import math

import polars as pl

from analyzer.detectors.node.exec_probe_timeout.containers import Probed
from analyzer.detectors.node.exec_probe_timeout.effects import Effects
from analyzer.detectors.node.exec_probe_timeout.listings import by_parent
from analyzer.detectors.node.exec_probe_timeout.measured import Counted
from analyzer.detectors.node.exec_probe_timeout.witnesses import EVENT
from analyzer.facts.audit_windows import records, short
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure, Record

ROWS = 15
STEP = 60
STEPS = 240


def left(one: Probed, per_probe: int) -> int:
    """The most processes that the timeouts can have left."""
    return one.timeouts * per_probe


def processes(number: int) -> str:
    return f"{number:,} process{'' if number == 1 else 'es'}"


def impact(one: Probed, effects: Effects, most: int, seen: Counted | None) -> tuple[Figure, ...]:
    told: list[tuple[str, int | float, str]] = [
        ("timeouts", one.timeouts, "timeouts"),
        ("timeouts of the container", one.most, "timeouts"),
        ("containers", one.containers, "containers"),
    ]
    if seen is not None:
        name = "defunct processes" if seen.tells else "defunct processes of the node"
        told.append((name, seen.defunct, "processes"))
    if seen is None or not seen.tells:
        told.append(("processes left, at the most", most, "processes"))
    if one.persisting:
        told.append(("processes seen to run on", one.persisting, "processes"))
    if one.period is not None:
        told.append(("period", round(one.period, 3), "seconds"))
    if one.timeout is not None:
        told.append(("timeout of the probe", one.timeout, "seconds"))
    if effects.not_ready is not None:
        told.append(("seconds not ready", effects.not_ready, "seconds"))
    if effects.restarts:
        told.append(("restarts for a failed probe", effects.restarts, "restarts"))
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in told)


def evidence(one: Probed, seen: Counted | None) -> Evidence:
    """Records of each witness, the containers, defunct processes by parent, and timeouts over time."""
    chosen = tuple(
        record for (_,), rows in one.rows.group_by("channel", maintain_order=True) for record in records(rows, count=6)
    )
    ordered = sorted(dict.fromkeys(chosen), key=lambda record: (record.time, record.source, record.number))
    tables = (_containers(one), _told(one), *([_parents(seen)] if seen is not None and seen.defunct else []))
    return Evidence(records=(*ordered, *_listed(seen)), tables=tables, series=_series(one))


def _listed(seen: Counted | None) -> tuple[Record, ...]:
    """The line of the parent with most defunct processes, and some of these."""
    if seen is None or not seen.defunct:
        return ()
    worst = by_parent(seen.rows).row(0, named=True)
    numbers = [] if worst["parent_number"] is None else [worst["parent_number"]]
    numbers += [record.number for record in records(seen.rows, count=6)]
    return tuple(Record(source=seen.source, number=number, time=seen.time) for number in sorted({*numbers}))


def _parents(seen: Counted) -> EvidenceTable:
    shown = by_parent(seen.rows).head(ROWS)
    columns = ("parent", "process id", "defunct", "their names", "first line")
    return EvidenceTable(
        caption=f"Defunct processes by parent, in {short(seen.source)}",
        columns=tuple(Column(name=name) for name in columns),
        rows=tuple(shown.select("parent", pl.col("ppid").cast(pl.String), "defunct", "names", "first").rows()),
    )


def _containers(one: Probed) -> EvidenceTable:
    spans = one.rows.group_by("key").agg(
        pl.coalesce("pod", "container_id").first().alias("name"),
        pl.col("node").first(),
        pl.col("time").min().alias("first"),
        pl.col("time").max().alias("last"),
    )
    shown = (
        one.counts.join(spans, on="key", maintain_order="left")
        .head(ROWS)
        .with_columns(pl.col("first", "last").dt.strftime("%m-%d %H:%M:%S"))
    )
    columns = ("container of", "node", "timeouts", "first", "last")
    return EvidenceTable(
        caption="Containers, most timeouts first",
        columns=tuple(Column(name=name) for name in columns),
        rows=tuple(
            (short(name), node, count, first, last)
            for name, node, count, first, last in shown.select("name", "node", "timeouts", "first", "last").iter_rows()
        ),
    )


def _told(one: Probed) -> EvidenceTable:
    shown = (
        one.rows.group_by("channel", "probe", "command")
        .agg(pl.col("weight").sum())
        .sort(["weight", "channel", "probe", "command"], descending=[True, False, False, False], nulls_last=True)
        .head(ROWS)
    )
    return EvidenceTable(
        caption="Who tells of them, and of which command",
        columns=(Column(name="witness"), Column(name="probe"), Column(name="command"), Column(name="timeouts")),
        rows=tuple(
            (who, probe, short(command, 200) if command else None, count) for who, probe, command, count in shown.rows()
        ),
    )


def _series(one: Probed) -> tuple[EvidenceSeries, ...]:
    """Records of the witness that tells of most; none of Events, which tell only when they were first and last."""
    counts = (
        one.rows.filter(pl.col("channel") != EVENT)
        .group_by("channel")
        .len()
        .sort(["len", "channel"], descending=[True, False])
    )
    if not counts.height:
        return ()
    rows = one.rows.filter(pl.col("channel") == counts["channel"][0])
    start = rows["time"][0].replace(second=0, microsecond=0)
    span = (rows["time"][-1] - start).total_seconds()
    step = STEP * max(1, math.ceil(span / STEP / STEPS))
    at = (pl.col("time") - start).dt.total_seconds() // step
    found = dict(rows.group_by(at.alias("at")).agg(pl.len()).iter_rows())
    values = tuple(float(found.get(i, 0)) for i in range(int(span // step) + 1))
    caption = f"Timeouts per {step} s"
    return (EvidenceSeries(caption=caption, unit="timeouts", start=start, step_seconds=step, values=values),)
