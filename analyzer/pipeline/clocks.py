"""Compares the clocks of the inputs, and shifts those that are wrong where that is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl
from msgspec.structs import replace

from analyzer.case import Case, Rows
from analyzer.facts.clock_offsets import CLOCK_OFFSETS
from analyzer.frames import TIME, Table
from analyzer.model import InputReport, Offset
from analyzer.pipeline.options import RunOptions
from analyzer.pipeline.store import Store
from analyzer.story import clocks


def aligned(case: Case, options: RunOptions) -> tuple[Case, tuple[Offset, ...]]:
    """The case, with `apply_offsets` its clocks made to agree, and what was measured.

    The whole case is compared, whatever part of it is wanted: rows whose times are wrong may lie outside.
    """
    # An input is compared with others, so that a single one has nothing to tell.
    offsets, zoneless = measured(Store(case.tables, options.engine)) if len(case.reports) > 1 else ((), {})
    moved = clocks.shifts(offsets) if options.apply_offsets else {}
    told = clocks.told(offsets, zoneless, options.tz, moved)
    return (shifted(case, moved) if moved else case), told


def measured(store: Store) -> tuple[tuple[Offset, ...], dict[str, datetime]]:
    """What the inputs tell of each other's clocks, and a time of each of those that write no zone."""
    fact = store.get(CLOCK_OFFSETS)
    if fact is None:
        return (), {}
    rows = list(fact.collect().iter_rows(named=True))
    names = ("source", "host", "reference", "seconds", "spread_seconds", "events", "matched_by")
    zoneless = {row["source"]: row["time"] for row in rows if row["zoneless"]}
    return tuple(Offset(**{name: row[name] for name in names}) for row in rows), zoneless


def shifted(case: Case, moved: Mapping[clocks.Clock, float]) -> Case:
    """The case with all times of these inputs, or of a host in them, earlier by so many seconds, and a note with each
    of them."""
    return Case(
        tables={table: _rows(table, rows, moved) for table, rows in case.tables.items()},
        reports=tuple(
            _noted(report, {host: by for (path, host), by in moved.items() if path == report.path})
            for report in case.reports
        ),
        places=case.places,
    )


def _rows(table: Table, rows: Rows, moved: Mapping[clocks.Clock, float]) -> Rows:
    own = _shift(moved, by_host="host" in table.schema)
    times = [name for name, dtype in table.schema.items() if dtype == TIME]

    def frame(one: pl.LazyFrame) -> pl.LazyFrame:
        return one.with_columns(pl.col(name) - own.cast(pl.Duration("us")) for name in times)

    whole = frame(rows.frame)
    if not rows.buckets:
        whole = whole.collect().lazy()
    return Rows(whole, rows.height, tuple(frame(bucket) for bucket in rows.buckets))


def _shift(moved: Mapping[clocks.Clock, float], *, by_host: bool) -> pl.Expr:
    """Microseconds to take from the times of a row: those of its input, or of its host in it."""
    whole = {source: seconds for (source, host), seconds in moved.items() if not host}
    own = _amount(pl.col("source"), whole)
    hosts = {f"{source}\0{host}": seconds for (source, host), seconds in moved.items() if host}
    if not hosts or not by_host:
        return own
    return own + _amount(pl.concat_str("source", pl.lit("\0"), pl.col("host").fill_null("")), hosts)


def _amount(key: pl.Expr, seconds: Mapping[str, float]) -> pl.Expr:
    amounts = [round(one * 1e6) for one in seconds.values()]
    return key.replace_strict(list(seconds), amounts, default=0, return_dtype=pl.Int64)


def _noted(report: InputReport, moved: Mapping[str, float]) -> InputReport:
    """With what was moved; where it is a part of the lines, the span holds them wherever they were."""
    if not moved:
        return report
    notes = []
    for host, seconds in sorted(moved.items()):
        way = "earlier" if seconds > 0 else "later"
        whose = f"times of host {host} in" if host else "times of"
        amount = clocks.in_words(seconds)
        notes.append(f"all {whose} this input were made {amount} {way}, so that its clock agrees with others")
    amounts = [*moved.values(), *([] if "" in moved else [0.0])]
    first, last = report.first_time, report.last_time
    return replace(
        report,
        first_time=None if first is None else first - timedelta(seconds=max(amounts)),
        last_time=None if last is None else last - timedelta(seconds=min(amounts)),
        notes=(*report.notes, *notes),
    )
