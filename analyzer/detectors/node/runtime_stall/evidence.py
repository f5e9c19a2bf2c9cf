"""Figures, records, tables and the series of a stall."""

from __future__ import annotations

import math

import polars as pl

from analyzer.detectors.node.runtime_stall.stall import Stall
from analyzer.facts.audit_windows import short
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure, Record

OF_EACH = 3
ROWS = 15
STEP = 60
STEPS = 240


def impact(stall: Stall) -> tuple[Figure, ...]:
    told: list[tuple[str, int | float, str]] = [
        ("seconds stalled", stall.stalled, "seconds"),
        ("PLEG lines", stall.count("PLEG"), "lines"),
        ("longest time since last active", stall.longest, "seconds"),
        ("stop deadlines", stall.count("stop deadline"), "calls"),
        ("sandbox deadlines", stall.count("sandbox deadline"), "calls"),
        ("hung tasks", stall.hung or stall.count("hung task Event"), "tasks"),
        ("pods or containers that did not stop", stall.pods, "pods"),
        ("cgroups that were not removed", stall.count("cgroup"), "records"),
        ("housekeeping of fifteen seconds or more", stall.count("housekeeping"), "lines"),
    ]
    if not stall.count("PLEG"):
        told = [figure for figure in told if figure[2] != "seconds"]
    if stall.down:
        told.append(("seconds the runtime was down", stall.down, "seconds"))
    if stall.not_ready is not None:
        told.append(("seconds not ready", stall.not_ready, "seconds"))
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in told)


def evidence(stall: Stall) -> Evidence:
    """First, worst and last of each kind; what each kind says; how long the PLEG was away."""
    chosen: dict[tuple[str, int], Record] = {}
    for _, rows in stall.rows.group_by("kind", maintain_order=True):
        worst = rows.sort("seconds", descending=True, nulls_last=True).head(1)
        for time, source, number in (
            pl.concat([rows.head(1), worst, rows.tail(1)]).head(OF_EACH).select("time", "source", "number").iter_rows()
        ):
            chosen[(source, number)] = Record(source=source, number=number, time=time)
    records = sorted(chosen.values(), key=lambda one: (one.time, one.source, one.number))
    return Evidence(records=tuple(records), tables=(_kinds(stall), *_stuck(stall)), series=_series(stall))


def _kinds(stall: Stall) -> EvidenceTable:
    shown = (
        stall.rows.group_by("kind", maintain_order=True)
        .agg(pl.len(), pl.col("time").min().alias("first"), pl.col("time").max().alias("last"), pl.col("seconds").max())
        .with_columns(pl.col("first", "last").dt.strftime("%m-%d %H:%M:%S"))
        .select("kind", "len", "first", "last", "seconds")
    )
    return EvidenceTable(
        caption="What the logs say",
        columns=(
            Column(name="sign"),
            Column(name="records"),
            Column(name="first"),
            Column(name="last"),
            Column(name="longest", unit="seconds"),
        ),
        rows=tuple(shown.rows()),
    )


def _stuck(stall: Stall) -> tuple[EvidenceTable, ...]:
    """Containers, pods, cgroups and tasks that the signs name."""
    shown = (
        stall.rows.filter(pl.col("about").is_not_null())
        .group_by("kind", "about")
        .agg(pl.len())
        .sort(["len", "kind", "about"], descending=[True, False, False])
        .head(ROWS)
    )
    if not shown.height:
        return ()
    columns = (Column(name="sign"), Column(name="about"), Column(name="records"))
    rows = tuple((kind, short(about), count) for kind, about, count in shown.rows())
    return (EvidenceTable(caption="Whom they are about", columns=columns, rows=rows),)


def _series(stall: Stall) -> tuple[EvidenceSeries, ...]:
    """The longest time since the PLEG was active, in each step; without one, the number of signs."""
    span = (stall.end - stall.start).total_seconds()
    step = STEP * max(1, math.ceil(span / STEP / STEPS))
    start = stall.start.replace(second=0, microsecond=0)
    at = (pl.col("time") - start).dt.total_seconds() // step
    pleg = stall.count("PLEG") > 0
    rows = stall.of("PLEG") if pleg else stall.signals
    value = pl.col("seconds").max() if pleg else pl.len().cast(pl.Float64)
    most = dict(rows.group_by(at.alias("at")).agg(value.alias("value")).iter_rows())
    bins = int((stall.end - start).total_seconds() // step) + 1
    values = tuple(round(float(most.get(i) or 0.0), 3) for i in range(bins))
    caption = "Seconds since the PLEG was active" if pleg else "Signs of a stall"
    unit = "seconds" if pleg else "records"
    return (EvidenceSeries(caption=caption, unit=unit, start=start, step_seconds=step, values=values),)
