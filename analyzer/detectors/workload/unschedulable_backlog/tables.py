"""Records, tables and the series of a backlog."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from analyzer.detectors.workload.unschedulable_backlog.backlog import Backlog
from analyzer.detectors.workload.unschedulable_backlog.causes import Cause
from analyzer.detectors.workload.unschedulable_backlog.requested import words
from analyzer.facts import scheduling_reasons
from analyzer.facts.audit_windows import records, short
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable

ROWS = 15
STEP = 60
STEPS = 240


def evidence(backlog: Backlog, cause: Cause) -> Evidence:
    """The first, the longest and the last wait with some between; whose they are; why; what came before."""
    waits = backlog.waits.sort("time", "source", "number", nulls_last=True)
    longest = int(waits["seconds"].fill_null(0).arg_max() or 0)
    before = (
        ("Nodes that were deleted before", cause.nodes),
        ("DaemonSets that were written in the half hour before", cause.daemonsets),
        ("Pods that were preempted", cause.preempted),
    )
    return Evidence(
        records=records(waits, longest),
        tables=(
            _workloads(backlog),
            _reasons(backlog),
            *(_before(text, rows, backlog) for text, rows in before if rows.height),
            *([_asked(cause)] if cause.told else []),
        ),
        series=_series(backlog),
    )


def _workloads(backlog: Backlog) -> EvidenceTable:
    rows = (
        backlog.waits.group_by("owner")
        .agg(
            pl.col("workload_kind").first(),
            pl.len().alias("pods"),
            pl.col("open").sum(),
            pl.col("attempts").sum(),
            pl.col("seconds").median().alias("median").round(3),
            pl.col("seconds").max().alias("longest").round(3),
        )
        .sort(["pods", "owner"], descending=[True, False])
        .head(ROWS)
    )
    return EvidenceTable(
        caption="Workloads whose pods waited",
        columns=(
            Column(name="workload"),
            Column(name="kind"),
            Column(name="pods", unit="pods"),
            Column(name="at the end", unit="pods"),
            Column(name="attempts", unit="attempts"),
            Column(name="median wait", unit="seconds"),
            Column(name="longest wait", unit="seconds"),
        ),
        rows=tuple((short(owner), kind or None, *rest) for owner, kind, *rest in rows.rows()),
    )


def _reasons(backlog: Backlog) -> EvidenceTable:
    pods = backlog.waits.group_by("message").len("pods")
    rows = (
        scheduling_reasons.split(backlog.waits.lazy().select("message"))
        .collect()
        .join(pods, on="message")
        .group_by("class", "reason")
        .agg(pl.col("nodes").max(), pl.col("of").max(), pl.col("pods").sum())
        .sort(["pods", "nodes", "reason"], descending=[True, True, False], nulls_last=True)
        .head(ROWS)
    )
    return EvidenceTable(
        caption="Why the nodes would not take them, by the last attempt of each",
        columns=(
            Column(name="class"),
            Column(name="reason"),
            Column(name="nodes at the most", unit="nodes"),
            Column(name="nodes in all", unit="nodes"),
            Column(name="pods", unit="pods"),
        ),
        rows=tuple((kind, short(reason, 200), nodes, of, count) for kind, reason, nodes, of, count in rows.rows()),
    )


def _before(caption: str, rows: pl.DataFrame, backlog: Backlog) -> EvidenceTable:
    seconds = (rows["time"] - backlog.start).dt.total_microseconds() / 1e6 if backlog.start else rows["number"] * None
    return EvidenceTable(
        caption=caption,
        columns=(Column(name="name"), Column(name="after the first wait", unit="seconds"), Column(name="source")),
        rows=tuple(
            (short(name), None if after is None else round(after, 3), f"{source}:{number}")
            for name, after, source, number in zip(
                rows["name"], seconds.to_list(), rows["source"], rows["number"], strict=True
            )
        )[:ROWS],
    )


def _asked(cause: Cause) -> EvidenceTable:
    """DaemonSets whose requests bodies tell."""
    return EvidenceTable(
        caption="What each pod of these DaemonSets asks for, and what that was before",
        columns=tuple(Column(name=name) for name in ("DaemonSet", "requests", "before", "priority class")),
        rows=tuple(
            (short(one.name), words(one.requests or {}), words(one.before) if one.before else None, one.priority)
            for one in cause.told[:ROWS]
        ),
    )


def _series(backlog: Backlog) -> tuple[EvidenceSeries, ...]:
    timed = backlog.waits.filter(pl.col("start").is_not_null())
    if backlog.start is None or backlog.end is None:
        return ()
    seconds = (backlog.end - backlog.start).total_seconds()
    step = STEP * max(1, math.ceil(seconds / STEP / STEPS))
    edges = np.arange(math.floor(seconds / step) + 2) * step * 1e6 + backlog.start.timestamp() * 1e6
    starts, ends = (np.sort(timed[name].dt.epoch("us").to_numpy()) for name in ("start", "end"))
    waiting = np.searchsorted(starts, edges[1:], "left") - np.searchsorted(ends, edges[:-1], "left")
    return (
        EvidenceSeries(
            caption=f"Pods that waited, per {step} s",
            unit="pods",
            start=backlog.start,
            step_seconds=step,
            values=tuple(float(count) for count in waiting),
        ),
    )
