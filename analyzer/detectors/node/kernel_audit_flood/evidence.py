"""Figures, records and tables of a flood."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from analyzer.detectors.node.kernel_audit_flood.causes import Cause
from analyzer.detectors.node.kernel_audit_flood.flood import Flood
from analyzer.detectors.node.kernel_audit_flood.words import of_firewall
from analyzer.facts.audit_windows import records
from analyzer.model import Column, Confidence, Evidence, EvidenceSeries, EvidenceTable, Figure, Record, Severity

DAY = 86_400
GIB = 1 << 30
MUCH = 10 * GIB
"""Bytes a day from which a flood is high: a tenth of the disk of a small node."""

MOST_ROWS, MOST_STEPS = 10, 1440


def lost(flood: Flood) -> int:
    """Events that the full queue lost within the flood, as the kernel counts them since boot."""
    told = sorted(flood.told.filter(pl.col("what") == "lost")["value"].to_list())
    return told[-1] - told[0] + 1 if told else 0


def suppressed(flood: Flood) -> int:
    return sum(flood.told.filter(pl.col("what") == "suppressed")["value"].to_list())  # rare lines, any of them large


def bytes_a_day(flood: Flood) -> int:
    """What the records of all events would fill, each event as long as those in the log."""
    return round(int(flood.rows["bytes"].sum()) / flood.seen * flood.rate * DAY)


def impact(flood: Flood, cause: Cause) -> tuple[Figure, ...]:
    waiting = flood.told.filter(pl.col("what") == "backlog")["value"].max()
    figures: list[tuple[str, int | float | None, str]] = [
        ("records by serial" if flood.by_serial else "events in the log", flood.events, "events"),
        ("rate before", None if flood.before is None else round(flood.before, 6), "events per second"),
        ("rate during", round(flood.rate, 6), "events per second"),
        ("records not in the log", flood.events - flood.seen if flood.by_serial else None, "events"),
        ("messages suppressed", suppressed(flood), "messages"),
        ("records lost by the full queue", lost(flood), "events"),
        ("records that waited at most", waiting, "events"),  # type: ignore[list-item]  # untyped by polars
        ("records after the writer's removal", flood.after(cause.left) if cause.left else None, "events"),
        ("log per day at this rate", bytes_a_day(flood), "bytes"),
    ]
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def severity(flood: Flood, cause: Cause) -> Severity:
    if lost(flood) or bytes_a_day(flood) >= MUCH:
        return Severity.HIGH
    return Severity.LOW if of_firewall(flood, cause) else Severity.MEDIUM


def confidence(flood: Flood, cause: Cause) -> tuple[Confidence, str]:
    told = []
    if cause.settings.height:
        told.append("the kernel tells of a setting of its audit system at the onset")
    if cause.removed.height or cause.written.height:
        told.append("the audit log of the API server tells of a DaemonSet that came or went")
    rate = "the serials of the records tell their rate"
    if not flood.by_serial:
        rate = (
            "the rate is that of journald's lines, which hold no serials: what its rate limit left out is not counted"
        )
    if flood.before is None:
        rate += ", and there is no quiet time to compare it with"
    if told:
        return Confidence.HIGH, f"{rate}; " + "; ".join(told)
    if of_firewall(flood, cause):
        return Confidence.LOW, f"{rate}; they follow how often pods come and go, and nothing says that this is a fault"
    return Confidence.MEDIUM, f"{rate}; nothing tells who asked for the records"


def evidence(flood: Flood, cause: Cause) -> Evidence:
    """Records spread over the flood, what the kernel said of its queue, and what came before."""
    found = {(one.source, one.number): one for one in records(flood.rows, count=8)}
    others = [cause.settings, cause.written, cause.removed, cause.ended]
    for rows in (*others, flood.told.filter(pl.col("what") != "boot")):
        for source, number, time in _some(rows):
            found.setdefault((source, number), Record(source=source, number=number, time=time))
    ordered = tuple(found[key] for key in sorted(found))
    return Evidence(records=ordered, tables=_tables(flood, cause), series=(_per_minute(flood),))


def _some(rows: pl.DataFrame) -> list[tuple[str, int, datetime]]:
    place = rows.select("source", "number", "time")
    return [*place.head(2).rows(), *place.tail(1).rows()]


def _tables(flood: Flood, cause: Cause) -> tuple[EvidenceTable, ...]:
    types = (
        flood.rows.group_by("type")
        .agg(
            pl.col("serial").n_unique().alias("events"),
            pl.col("bytes").sum(),
            pl.col("process").drop_nulls().mode().sort().first(),
        )
        .with_columns(share=(pl.col("events") / flood.seen).round(3))
        .sort("events", "type", descending=[True, False])
        .head(MOST_ROWS)
        .select("type", "events", "share", "bytes", "process")
    )
    columns: tuple[Column, ...] = (
        Column(name="type"),
        Column(name="events in the log", unit="events"),
        Column(name="share of them", unit="fraction"),
        Column(name="length", unit="bytes"),
        Column(name="most often by"),
    )
    found = [EvidenceTable(caption="Types of records in the log", columns=columns, rows=tuple(types.rows()))]
    changes = _changes(cause)
    if changes:
        columns = (Column(name="time"), Column(name="what"), Column(name="change"))
        found.append(EvidenceTable(caption="Around it", columns=columns, rows=tuple(changes[:MOST_ROWS])))
    return tuple(found)


def _changes(cause: Cause) -> list[tuple[str, str, str]]:
    told = []
    for time, setting, before, value in cause.settings.select("time", "setting", "before", "value").iter_rows():
        told.append((time, "audit system", setting if value is None else f"{setting} {before} to {value}"))
    for time, before in cause.ended.select("time", "before").iter_rows():
        told.append((time, "audit system", f"audit_pid {before} to 0"))
    for rows in (cause.written, cause.removed):
        for time, namespace, name, what in rows.select("time", "namespace", "name", "what").iter_rows():
            told.append((time, f"DaemonSet {namespace}/{name}", what or ""))
    return [(f"{time:%H:%M:%S}", what, change) for time, what, change in dict.fromkeys(sorted(told))]


def _per_minute(flood: Flood) -> EvidenceSeries:
    """Events of each step, from half an hour before: by serial from the first record of a step to that of the next."""
    first: datetime = flood.course["time"][0]
    start = first.replace(second=0, microsecond=0)
    minutes = int((flood.end - start) / timedelta(seconds=60)) + 1
    step = 60 * -(-minutes // MOST_STEPS)
    at = ((pl.col("time") - start).dt.total_seconds() // step).alias("at")
    firsts = flood.course.group_by(at).agg(pl.col("serial").min()).sort("at")
    counts = firsts["serial"].diff().shift(-1).fill_null(int(flood.course["serial"][-1] - firsts["serial"][-1]) + 1)
    most = dict(zip(firsts["at"].to_list(), counts.to_list(), strict=True))
    bins = -(-minutes * 60 // step)
    values = tuple(round(most.get(i, 0) / step, 3) for i in range(bins))
    return EvidenceSeries(caption="Audit events", unit="per second", start=start, step_seconds=step, values=values)
