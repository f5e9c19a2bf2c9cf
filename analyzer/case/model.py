"""What a case is, wherever its rows lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
from msgspec import Struct, field
from msgspec.structs import replace

from analyzer.frames import Table
from analyzer.model import InputReport
from analyzer.sources.contract import Marks, Member


class Place(Struct, frozen=True):
    """Where an input lies, by file and, in an archive, by member, which source reads it, and where its records stand
    if the source has marked them."""

    path: Path
    kind: str
    member: Member | None = None
    marks: Marks | None = None


class Rows(Struct, frozen=True):
    """The rows of one table. `buckets` holds them once more, whole groups together, where they are kept in files.

    Rows in memory are in the order of inputs and numbers; rows in files are in no order.
    """

    frame: pl.LazyFrame
    height: int
    buckets: tuple[pl.LazyFrame, ...] = ()


class Case(Struct, kw_only=True):
    """`tables` holds a table when an input was read that gives it, even without rows."""

    tables: dict[Table, Rows] = field(default_factory=dict)
    reports: tuple[InputReport, ...] = ()
    places: dict[str, Place] = field(default_factory=dict)


def merged(cases: Sequence[Case]) -> Case:
    """Several cases as one: each input once, and those that share an id told apart."""
    if len(cases) == 1:
        return cases[0]
    whole = Case()
    parts: dict[Table, list[Rows]] = {}
    reports: dict[str, InputReport] = {}
    for case in cases:
        fresh = beside(case, reports)
        for table, rows in fresh.tables.items():
            parts.setdefault(table, []).append(rows)
        reports |= {report.path: report for report in fresh.reports}
        whole.places |= fresh.places
    whole.tables = {table: _together(rows) for table, rows in sorted(parts.items(), key=lambda one: one[0].name)}
    whole.reports = tuple(reports[name] for name in sorted(reports))
    return whole


def beside(case: Case, known: Mapping[str, InputReport]) -> Case:
    """The case without the inputs that are known already, and under another id where only the id is known."""
    names = {report.path: _name(report, known) for report in case.reports}
    if all(name == path for path, name in names.items()):
        return case
    kept = {path: name for path, name in names.items() if name}
    return Case(
        tables={table: _renamed(rows, kept) for table, rows in case.tables.items()},
        reports=tuple(replace(one, path=kept[one.path]) for one in case.reports if one.path in kept),
        places={kept[name]: place for name, place in case.places.items() if name in kept},
    )


def _name(report: InputReport, known: Mapping[str, InputReport]) -> str:
    """The id that tells this input from the known ones; '' if it is one of them."""
    name, number = report.path, 1
    while (other := known.get(name)) is not None:
        if (other.sha256, other.bytes, other.kind) == (report.sha256, report.bytes, report.kind):
            return ""
        number += 1
        name = f"{report.path} ({number})"
    return name


def _renamed(rows: Rows, names: Mapping[str, str]) -> Rows:
    def frame(one: pl.LazyFrame) -> pl.LazyFrame:
        wanted = one.filter(pl.col("source").is_in(list(names)))
        return wanted.with_columns(
            source=pl.col("source").replace_strict(list(names), list(names.values()), return_dtype=pl.String)
        )

    if not names:
        return Rows(rows.frame.clear(), 0)
    whole = frame(rows.frame)
    return Rows(whole, whole.select(pl.len()).collect().item(), tuple(frame(bucket) for bucket in rows.buckets))


def _together(parts: list[Rows]) -> Rows:
    """Buckets stay only where all parts have them: a part in memory belongs to every bucket, and so to none."""
    frame = parts[0].frame if len(parts) == 1 else pl.concat([part.frame for part in parts])
    counts = {len(part.buckets) for part in parts}
    buckets: tuple[pl.LazyFrame, ...] = ()
    if len(counts) == 1:
        buckets = tuple(pl.concat(list(same)) for same in zip(*(part.buckets for part in parts), strict=True))
    return Rows(frame, sum(part.height for part in parts), buckets)
