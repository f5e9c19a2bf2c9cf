"""What each table covers: rows, span, inputs, and gaps in which nothing was written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from analyzer.facts.dns_log_classes import DNS_LOG_CLASSES
from analyzer.facts.overlaps import LOG_COPIES, told
from analyzer.frames import AUDIT_EVENTS, COREDNS_QUERIES, Table
from analyzer.model import Coverage, Gap, InputReport
from analyzer.pipeline.audit_policy import policy_of
from analyzer.pipeline.store import Store
from analyzer.story.leftout import LeftOut, left_out

GAP = timedelta(minutes=10)
"""A table that is silent for longer has a gap there, not a quiet time."""

GAPS_KEPT = 50

STEADY = {"packets", "coredns_queries", "audit_events", "klog_lines"}
"""Tables of sources that always have something to say; rare things such as metadata requests are silent by nature."""


def coverage_of(store: Store, reports: Sequence[InputReport]) -> tuple[Coverage, ...]:
    """One entry per table that was read, in the order of table names."""
    found = store.get(LOG_COPIES)
    copies = found.collect() if found is not None else pl.DataFrame(schema=LOG_COPIES.table.schema)
    lost = left_out(store.get, ())
    return tuple(
        _one(store, table, reports, copies, lost) for table in sorted(store.rows, key=lambda table: table.name)
    )


def _one(store: Store, table: Table, reports: Sequence[InputReport], copies: pl.DataFrame, left: LeftOut) -> Coverage:
    frame = store.get(table)
    assert frame is not None
    first, last, given = _span(frame) if store.rows[table] else (None, None, [])
    names = {report.path: report for report in reports}
    lost = sum(names[name].skipped + names[name].incomplete_tail for name in given if name in names)
    return Coverage(
        table=table.name,
        rows=store.rows[table],
        first_time=first,
        last_time=last,
        sources=tuple(given),
        gaps=gaps(frame) if given and table.name in STEADY else (),
        remark="; ".join(
            filter(
                None,
                (
                    _lost(lost),
                    left.told(given),
                    told(copies, table.name),
                    _left_out(table, store),
                    policy_of(frame) if table is AUDIT_EVENTS else "",
                ),
            )
        ),
        left_out=left.count(given),
    )


def _span(frame: pl.LazyFrame) -> tuple[datetime | None, datetime | None, list[str]]:
    """First and last time, and the inputs in order of their names; one input is the usual case, and seen at once where
    text is slow to tell apart."""
    time, source = pl.col("time"), pl.col("source")
    one = source.first().alias("source"), (source == source.first()).all().alias("alone")
    first, last, name, alone = frame.select(time.min().alias("first"), time.max().alias("last"), *one).collect().row(0)
    if name is not None and alone:
        return first, last, [name]
    return first, last, frame.select(source.unique().sort()).collect().to_series().to_list()


def _lost(count: int) -> str:
    return f"{count:,} records of these inputs were not used" if count else ""


def _left_out(table: Table, store: Store) -> str:
    """Logs of CoreDNS without successes: they are no denominator of anything."""
    if table is not COREDNS_QUERIES or (classes := store.get(DNS_LOG_CLASSES)) is None:
        return ""
    logs = classes.filter("filtered").collect()
    if not logs.height:
        return ""
    asked, fine = logs["address_queries"].sum(), logs["successes"].sum()
    names = ", ".join(logs["source"].unique().sort().head(3).to_list())
    return (
        f"{fine:,} of {asked:,} A queries in {names} succeeded: successes seem not to be logged, so shares of all "
        "queries are unknown"
    )


def _in_order(times: pl.DataFrame) -> pl.DataFrame:
    """Sorted, which one input mostly is: to see that costs far less than to sort."""
    time = times["end"].to_physical().to_numpy()
    return times if (time[1:] >= time[:-1]).all() else times.sort("end")


def gaps(frame: pl.LazyFrame) -> tuple[Gap, ...]:
    """Stretches of more than ten minutes without a row, oldest first, at most fifty."""
    found = (
        frame.select(end=pl.col("time").drop_nulls())
        .collect()
        .pipe(_in_order)
        .lazy()
        .with_columns(start=pl.col("end").shift(1))
        .filter(pl.col("end") - pl.col("start") > GAP)
        .head(GAPS_KEPT)
        .collect()
    )
    return tuple(
        Gap(start=row["start"], end=row["end"], reason="no record for more than 10 minutes")
        for row in found.iter_rows(named=True)
    )
