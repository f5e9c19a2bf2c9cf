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
    offsets, zoneless = measured(Store(case.tables, options.engine))
    moved = clocks.shifts(offsets) if options.apply_offsets else {}
    told = clocks.told(offsets, zoneless, options.tz, moved)
    return (shifted(case, moved) if moved else case), told


def measured(store: Store) -> tuple[tuple[Offset, ...], dict[str, datetime]]:
    """What the inputs tell of each other's clocks, and a time of each of those that write no zone."""
    fact = store.get(CLOCK_OFFSETS)
    if fact is None:
        return (), {}
    rows = list(fact.collect().iter_rows(named=True))
    names = ("source", "reference", "seconds", "spread_seconds", "events", "matched_by")
    zoneless = {row["source"]: row["time"] for row in rows if row["zoneless"]}
    return tuple(Offset(**{name: row[name] for name in names}) for row in rows), zoneless


def shifted(case: Case, moved: Mapping[str, float]) -> Case:
    """The case with all times of these inputs earlier by so many seconds, and a note with each of them."""
    return Case(
        tables={table: _rows(table, rows, moved) for table, rows in case.tables.items()},
        reports=tuple(_noted(report, moved.get(report.path, 0.0)) for report in case.reports),
        places=case.places,
    )


def _rows(table: Table, rows: Rows, moved: Mapping[str, float]) -> Rows:
    amounts = [round(seconds * 1e6) for seconds in moved.values()]
    own = pl.col("source").replace_strict(list(moved), amounts, default=0, return_dtype=pl.Int64)
    times = [name for name, dtype in table.schema.items() if dtype == TIME]

    def frame(one: pl.LazyFrame) -> pl.LazyFrame:
        return one.with_columns(pl.col(name) - own.cast(pl.Duration("us")) for name in times)

    whole = frame(rows.frame)
    if not rows.buckets:
        whole = whole.collect().lazy()
    return Rows(whole, rows.height, tuple(frame(bucket) for bucket in rows.buckets))


def _noted(report: InputReport, seconds: float) -> InputReport:
    if not seconds:
        return report
    by = timedelta(seconds=seconds)
    way = "earlier" if seconds > 0 else "later"
    note = f"all times of this input were made {clocks.in_words(seconds)} {way}, so that its clock agrees with others"
    first, last = (None if time is None else time - by for time in (report.first_time, report.last_time))
    return replace(report, first_time=first, last_time=last, notes=(*report.notes, note))
