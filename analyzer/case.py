"""A case: the tables of one investigation, the ledger of its inputs, and where each record can be found again.

On disk it is a folder of Parquet files, `<table>/part-0.parquet`, beside `case.json`. A saved case can be judged again
with other settings without reading, or even having, the raw files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from analyzer.errors import InputError, OutputError
from analyzer.frames import TABLES, Table, concat
from analyzer.model import InputReport
from analyzer.sources.contract import Member

SCHEMA = "analyzer-case/1"
FILE = "case.json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an input lies, by file and, in an archive, by member, and which source reads it."""

    path: Path
    kind: str
    member: Member | None = None


@dataclass(slots=True, kw_only=True)
class Case:
    """`tables` holds a table when an input was read that gives it, even without rows."""

    tables: dict[Table, pl.DataFrame] = field(default_factory=dict)
    reports: tuple[InputReport, ...] = ()
    places: dict[str, Place] = field(default_factory=dict)


def is_case(path: Path) -> bool:
    """Whether the path is a folder that `save` wrote."""
    try:
        return path.is_dir() and (path / FILE).is_file()
    except PermissionError:
        return False


def save(case: Case, folder: Path) -> None:
    """Write the case; the folder must be new, empty, or a case itself. Raises OutputError."""
    if folder.exists() and not is_case(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} is neither new nor a case; choose another folder")
    try:
        for table, frame in case.tables.items():
            place = folder / table.name
            place.mkdir(parents=True, exist_ok=True)
            frame.write_parquet(place / "part-0.parquet", compression="zstd", compression_level=1)
        for table in TABLES:  # what an earlier run left behind would be read as part of this case
            if table not in case.tables:
                (folder / table.name / "part-0.parquet").unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        plain = {
            "schema": SCHEMA,
            "tables": sorted(table.name for table in case.tables),
            "inputs": msgspec.to_builtins(case.reports),
            "places": {name: _plain(place) for name, place in sorted(case.places.items())},
        }
        (folder / FILE).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}; choose another folder") from error


def load(folder: Path) -> Case:
    """The case that `save` wrote. Raises InputError where a part is missing or not what it should be."""
    try:
        plain: dict[str, Any] = json.loads((folder / FILE).read_bytes())
        if plain.get("schema") != SCHEMA:
            raise InputError(f"{folder}: case of schema {plain.get('schema')!r}, wanted {SCHEMA!r}; ingest it again")
        by_name: Mapping[str, Table] = {table.name: table for table in TABLES}
        tables = {by_name[name]: _read(folder, by_name[name]) for name in plain["tables"]}
        reports = msgspec.convert(plain["inputs"], tuple[InputReport, ...])
        places = {name: _place(*parts) for name, parts in plain["places"].items()}
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        pl.exceptions.PolarsError,
    ) as error:
        raise InputError(f"{folder}: not a whole case ({type(error).__name__}: {error}); ingest it again") from error
    return Case(tables=tables, reports=reports, places=places)


def _plain(place: Place) -> list[Any]:
    member = [] if place.member is None else [msgspec.to_builtins(place.member)]
    return [str(place.path.resolve()), place.kind, *member]


def _place(path: str, kind: str, member: Any = None) -> Place:
    return Place(Path(path), kind, None if member is None else msgspec.convert(member, Member))


def _read(folder: Path, table: Table) -> pl.DataFrame:
    return table.check(pl.scan_parquet(folder / table.name / "part-0.parquet")).collect()


def merged(cases: list[Case]) -> Case:
    """Several cases as one; inputs of the same id keep the first."""
    whole = Case()
    parts: dict[Table, list[pl.DataFrame]] = {}
    reports: dict[str, InputReport] = {}
    for case in cases:
        new = {report.path for report in case.reports} - reports.keys()
        for table, frame in case.tables.items():
            parts.setdefault(table, []).append(frame.filter(pl.col("source").is_in(sorted(new))))
        reports |= {report.path: report for report in case.reports if report.path in new}
        whole.places |= {name: place for name, place in case.places.items() if name in new}
    whole.tables = {
        table: concat(table, frames) for table, frames in sorted(parts.items(), key=lambda one: one[0].name)
    }
    whole.reports = tuple(reports[name] for name in sorted(reports))
    return whole
