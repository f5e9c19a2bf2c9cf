"""Figures of a backlog, how bad it is and how sure."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.workload.unschedulable_backlog.backlog import Backlog
from analyzer.detectors.workload.unschedulable_backlog.causes import Cause
from analyzer.detectors.workload.unschedulable_backlog.requested import words
from analyzer.detectors.workload.unschedulable_backlog.saving import total
from analyzer.model import Confidence, Figure, Severity

MANY = 50
"""Pods still waiting from which a backlog is high."""
MOST = 500
"""Pods still waiting from which it is critical: the scheduler's queue itself becomes slow."""
SYSTEM = "kube-system"


def impact(backlog: Backlog, cause: Cause) -> tuple[Figure, ...]:
    """The figures of a backlog; each wait of each pod once."""
    waits = backlog.waits
    runs = waits["due"].drop_nulls().n_unique()
    per_period = round(waits.filter(pl.col("due").is_not_null()).height / runs, 3) if runs > 1 else None
    figures = [
        ("pods pending", waits.height, "pods"),
        ("pods pending at the end", backlog.waiting, "pods"),
        ("most pods pending at once", backlog.peak, "pods"),
        ("pods added per period", per_period, "pods"),
        ("scheduling attempts", int(waits["attempts"].sum()), "attempts"),
        ("pod-seconds pending", total(backlog) if backlog.start else None, "seconds"),
        ("CPU that DaemonSets took on every node", cause.added.get("cpu"), "cores"),
        ("memory that DaemonSets took on every node", cause.added.get("memory"), "bytes"),
    ]
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def severity(backlog: Backlog, cause: Cause) -> Severity:
    """By what still waits: hundreds, the system's own pods, or pods that can never be placed."""
    waiting = backlog.waits.filter("open")
    system = (waiting["namespace"] == SYSTEM).any()
    if waiting.height >= MOST or system:
        return Severity.CRITICAL
    if waiting.height >= MANY or (waiting.height and cause.nodes.height):
        return Severity.HIGH
    return Severity.MEDIUM if waiting.height or backlog.peak >= MANY else Severity.LOW


def confidence(backlog: Backlog, cause: Cause) -> tuple[Confidence, str]:
    """The scheduler says why; how sure the sub-cause is depends on what else tells of it."""
    channels = sorted({channel for found in backlog.waits["channels"] for channel in found})
    if backlog.start is None:
        return Confidence.LOW, "the records have no time, so nobody can say how long the pods waited"
    if cause.daemonsets.height and not cause.preempted.height and cause.told:
        text = f"a DaemonSet that asks for {words(cause.added)} was written before the first wait"
        return Confidence.MEDIUM, f"{text}; what is free on the nodes is not in the evidence"
    if cause.daemonsets.height and not cause.preempted.height:
        return (
            Confidence.LOW,
            "a DaemonSet was written before the first wait, and no body tells whether it asks for anything",
        )
    if cause.seen:
        return Confidence.HIGH, "the scheduler's reasons, and records of what came before"
    if len(channels) > 1:
        return Confidence.HIGH, "Events and the scheduler's log agree"
    if backlog.cron and backlog.slope is not None and backlog.slope > 0:
        return Confidence.HIGH, f"the backlog grows by {backlog.slope:.3g} pods with every run"
    return Confidence.MEDIUM, "one source: " + ("Events" if channels == ["event"] else "the scheduler's log")
