"""Figures, records and tables of kills."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from analyzer.detectors.node.termination_sigkill.groups import Group
from analyzer.detectors.node.termination_sigkill.kills import EXCEEDED
from analyzer.facts.audit_windows import short
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure, Record

ROWS = 15
STEP = 60
STEPS = 240
SHOWN = 6


def impact(group: Group) -> tuple[Figure, ...]:
    if group.variant == EXCEEDED:
        told: list[tuple[str, int | float, str]] = [
            ("pods killed at the end of their grace period", group.pods, "pods"),
        ]
        if (ran := group.rows["ran"].drop_nulls()).len():
            told.append(("seconds waited for", round(float(ran.sum()), 6), "seconds"))
    else:
        told = [
            ("pods killed inside their grace period", group.pods, "pods"),
            ("containers killed", group.rows.height, "containers"),
            ("seconds of grace lost", group.lost, "seconds"),
            ("kubelet restarts", group.all_starts.height, "restarts"),
            ("restarts for a certificate", group.certificates, "restarts"),
        ]
        if group.spacing is not None:
            told.append(("seconds between them", group.spacing, "seconds"))
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in told)


def evidence(group: Group) -> Evidence:
    """Of the longest cut and some others: the kill, the kubelet's start, the end."""
    rows = group.rows.sort("lost", "time", "source", "number", descending=[True, False, False, False], nulls_last=True)
    found: dict[tuple[str, int], Record] = {}

    def add(frame: pl.DataFrame, source: str, number: str, time: str) -> None:
        for one, place, when in frame.select(source, number, time).iter_rows():
            if one is not None and place is not None:
                found.setdefault((one, place), Record(source=one, number=place, time=when))

    add(rows.head(SHOWN), "source", "number", "time")
    add(rows.head(SHOWN), "end_source", "end_number", "ended")
    add(group.starts.head(SHOWN), "source", "number", "time")
    add(group.events.head(SHOWN), "source", "number", "time")
    ordered = sorted(found.values(), key=lambda one: (one.time is None, one.time, one.source, one.number))
    tables = [_victims(rows)] if rows.height else []
    if group.starts.height:
        tables.append(_starts(group))
    return Evidence(records=tuple(ordered), tables=tuple(tables), series=_series(group))


def _victims(rows: pl.DataFrame) -> EvidenceTable:
    shown = rows.head(ROWS).select(
        pl.coalesce("pod", "container_id").alias("pod"),
        "container",
        pl.col("time").dt.strftime("%m-%d %H:%M:%S").alias("asked"),
        "grace_seconds",
        pl.col("ran").round(3),
        "exit_code",
        pl.col("lost").round(3),
    )
    return EvidenceTable(
        caption="Containers that got SIGKILL, most grace lost first",
        columns=(
            Column(name="pod"),
            Column(name="container"),
            Column(name="asked to end"),
            Column(name="grace", unit="seconds"),
            Column(name="ended after", unit="seconds"),
            Column(name="exit code"),
            Column(name="grace lost", unit="seconds"),
        ),
        rows=tuple((short(pod), short(container), *rest) for pod, container, *rest in shown.rows()),
    )


def _starts(group: Group) -> EvidenceTable:
    shown = group.starts.head(ROWS).select(
        pl.col("time").dt.strftime("%m-%d %H:%M:%S").alias("time"),
        "version",
        "after",
        pl.col("silent_seconds").round(3),
    )
    return EvidenceTable(
        caption="Starts of the kubelet",
        columns=(
            Column(name="time"),
            Column(name="version"),
            Column(name="after"),
            Column(name="silent before", unit="seconds"),
        ),
        rows=tuple(shown.rows()),
    )


def _series(group: Group) -> tuple[EvidenceSeries, ...]:
    """How many of the containers were on their way out, in each step; where none is known, starts of the kubelet."""
    rows = group.rows.filter(pl.col("ended").is_not_null())
    begins, ends = (rows["time"], rows["ended"]) if rows.height else (group.starts["time"], group.starts["time"])
    if not begins.len() or group.start is None:
        return ()
    low, high = (np.sort(times.dt.epoch("us").to_numpy()) for times in (begins, ends))
    span = (high[-1] - low[0]) / 1e6
    step = STEP * max(1, math.ceil(span / STEP / STEPS))
    edges = low[0] + np.arange(int(span // step) + 2) * step * 1_000_000
    values = np.searchsorted(low, edges[1:], "left") - np.searchsorted(high, edges[:-1], "left")
    told = ("Containers on their way out", "containers") if rows.height else ("Starts of the kubelet", "restarts")
    return (
        EvidenceSeries(
            caption=f"{told[0]}, per {step} s",
            unit=told[1],
            start=begins.min(),  # type: ignore[arg-type]  # untyped by polars
            step_seconds=step,
            values=tuple(float(value) for value in values),
        ),
    )
