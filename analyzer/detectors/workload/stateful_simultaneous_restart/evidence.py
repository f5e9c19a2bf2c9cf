"""Figures, records and tables of a restart, how bad it is, how sure, and what one after another would have meant."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.workload.stateful_simultaneous_restart.causes import Cause
from analyzer.detectors.workload.stateful_simultaneous_restart.groups import Group
from analyzer.facts.audit_windows import RECORDS, records, short
from analyzer.model import Column, Confidence, Evidence, EvidenceTable, Figure, Record, Saving, Severity

ROWS = 15


def impact(group: Group, cause: Cause | None) -> tuple[Figure, ...]:
    """The figures. What nothing tells of is left out."""
    figures = [
        ("replicas restarted together", group.stops.height, "replicas"),
        ("replicas in all", group.replicas, "replicas"),
        ("seconds between first and last", round(group.spread, 6), "seconds"),
        (
            "seconds from the write to the first",
            None if cause is None else round((group.start - cause.time).total_seconds(), 6),
            "seconds",
        ),
        ("seconds without any replica", None if group.none_left is None else round(group.none_left, 6), "seconds"),
        ("replica-seconds down", None if group.down is None else round(group.down, 6), "seconds"),
    ]
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def severity(group: Group, long: float) -> Severity:
    """No replica for that long is critical, none or no majority left is high: replication needs more than half."""
    if group.whole and (group.none_left is None or group.none_left >= long):
        return Severity.CRITICAL
    return Severity.HIGH if 2 * group.stops.height > group.replicas else Severity.MEDIUM


def confidence(group: Group, cause: Cause | None) -> tuple[Confidence, str]:
    if cause is None:
        return Confidence.LOW, "no audit log tells what preceded it; the replicas ran on several nodes"
    if not cause.sure:
        return Confidence.MEDIUM, f"a write of {cause.resource} {short(cause.name)} preceded it, whose name is alike"
    told = f"a write of {cause.resource} {short(cause.name)} preceded it"
    several = group.stops["channels"].str.contains("log|event").any()
    return Confidence.HIGH, told + (", and the nodes tell of the stops too" if several else "")


def evidence(group: Group, cause: Cause | None) -> Evidence:
    """The write, then the first record of every stop; the replicas one by one."""
    ordered = group.stops.sort("time", "source", "number")
    quoted = records(ordered, count=RECORDS - 1)
    if cause is not None:
        quoted = (Record(source=cause.source, number=cause.number, time=cause.time), *quoted)
    after = ((pl.col("time") - group.start).dt.total_microseconds().cast(pl.Float64) / 1e6).round(3)
    down = ((pl.col("back") - pl.col("time")).dt.total_microseconds().cast(pl.Float64) / 1e6).round(3)
    rows = ordered.select("pod", "node", after.alias("after"), "how", down.alias("down"), "channels").head(ROWS)
    return Evidence(
        records=quoted,
        tables=(
            EvidenceTable(
                caption="Replicas that were down together",
                columns=(
                    *(Column(name="pod"), Column(name="node"), Column(name="stopped after the first", unit="seconds")),
                    *(Column(name="first word"), Column(name="down for", unit="seconds"), Column(name="told by")),
                ),
                rows=tuple((short(pod), node, after, how, down, by) for pod, node, after, how, down, by in rows.rows()),
            ),
        ),
    )


def savings(group: Group) -> tuple[Saving, tuple[Saving, ...]]:
    """One replica after the other, each ready again before the next stops; and the time in which nobody served."""
    first = Saving(
        fix="one replica after the other (RollingUpdate, OrderedReady)",
        observed=group.stops.height,
        modelled=1,
        unit="replicas down at once",
        assumption="Each replica is ready again, with its data in sync, before the next is stopped.",
        formula="replicas that were down at the moment of the last stop; one where each waits for the one before",
    )
    if group.none_left is None:
        return first, ()
    second = Saving(
        fix="one replica after the other, by the time in which none served",
        observed=round(group.none_left, 6),
        modelled=0,
        unit="seconds without any replica",
        assumption="All replicas but one serve at any time.",
        formula="from the last stop to the first replica that was back",
    )
    return first, (second,)
