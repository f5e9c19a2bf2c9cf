"""Case directories: written part by part while inputs are read, and read again as a whole or bucket by bucket."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from analyzer.case.buckets import BUCKETS
from analyzer.case.model import Case, Place, Rows
from analyzer.case.parts import Parts, Writing
from analyzer.errors import InputError, OutputError
from analyzer.frames import TABLES, Table, empty
from analyzer.model import InputReport
from analyzer.sources.contract import Marks, Member

SCHEMA = "analyzer-case/2"
FILE = "case.json"
UNFINISHED = "case.unfinished"
"""Stands in a folder while a case is written, so that a run that was killed can be repeated into it."""

_OURS = b"analyzer-case/"
_BY_NAME: Mapping[str, Table] = {table.name: table for table in TABLES}


def is_case(path: Path) -> bool:
    """Whether the path is a folder that was written as a case."""
    return _says(path / FILE)


def _says(file: Path) -> bool:
    """Whether it is ours: folders of evidence may well hold a `case.json` of somebody else."""
    try:
        if not file.is_file():  # a pipe of that name would be waited for
            return False
        with file.open("rb") as stream:
            return _OURS in stream.read(64)
    except OSError:
        return False


class Writer(Parts):
    """Writes a case while its inputs are read."""

    def __init__(self, folder: Path) -> None:
        """The folder must be new, empty, or a case. Raises OutputError."""
        super().__init__(folder)
        ours = is_case(folder) or _says(folder / UNFINISHED)
        if folder.exists() and not ours and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(f"{folder} is neither new nor a case; choose another folder")
        with Writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / UNFINISHED).write_bytes(_OURS)
            (folder / FILE).unlink(missing_ok=True)
            for table in TABLES:  # what an earlier run left behind would be read as part of this case
                if (folder / table.name).is_dir():
                    shutil.rmtree(folder / table.name)

    def count(self, heights: Mapping[Table, int], size: int) -> None:
        """Rows and bytes of parts that somebody else wrote into this folder."""
        for table, height in heights.items():
            self.heights[table] = self.heights.get(table, 0) + height
        self.bytes += size

    def finish(self, reports: Sequence[InputReport], places: Mapping[str, Place]) -> None:
        """Write what is left and then `case.json`, which makes the folder a case."""
        self.end_input()
        plain = {
            "schema": SCHEMA,
            "buckets": BUCKETS,
            "tables": {table.name: self.heights[table] for table in sorted(self.heights, key=lambda one: one.name)},
            "memory": self.bytes,
            "inputs": msgspec.to_builtins(reports),
            "places": {name: _plain(place) for name, place in sorted(places.items())},
        }
        with Writing(self.folder):
            new = self.folder / f".{FILE}.new"
            new.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
            new.replace(self.folder / FILE)
            (self.folder / UNFINISHED).unlink(missing_ok=True)


def load(folder: Path, memory: int | None = None) -> Case:
    """The case that `Writer` wrote; its rows in memory if they need no more than `memory` bytes (None: always).

    Raises InputError where a part is missing or not what it should be.
    """
    try:
        plain: dict[str, Any] = json.loads((folder / FILE).read_bytes())
        if plain.get("schema") != SCHEMA:
            raise InputError(f"{folder}: case of schema {plain.get('schema')!r}, wanted {SCHEMA!r}; ingest it again")
        reports = msgspec.convert(plain["inputs"], tuple[InputReport, ...])
        places = {name: _place(*parts) for name, parts in plain["places"].items()}
        heights = {_BY_NAME[name]: int(height) for name, height in plain["tables"].items()}
        files = {table: _files(folder, table, int(plain["buckets"])) for table in heights}
        inside = memory is None or int(plain["memory"]) <= memory
        ranks = {report.path: rank for rank, report in enumerate(reports)}
        tables = {table: _rows(table, height, files[table], ranks, inside) for table, height in heights.items()}
    except (
        *(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError),
        pl.exceptions.PolarsError,
    ) as error:
        raise InputError(f"{folder}: not a whole case ({type(error).__name__}: {error}); ingest it again") from error
    return Case(tables=tables, reports=reports, places=places)


def _plain(place: Place) -> list[Any]:
    more = [None if one is None else msgspec.to_builtins(one) for one in (place.member, place.marks)]
    while more and more[-1] is None:
        more.pop()
    return [str(place.path.resolve()), place.kind, *more]


def _place(path: str, kind: str, member: Any = None, marks: Any = None) -> Place:
    """What `_plain` wrote; cases of before have no marks."""
    return Place(
        Path(path),
        kind,
        None if member is None else msgspec.convert(member, Member),
        None if marks is None else msgspec.convert(marks, Marks),
    )


def _files(folder: Path, table: Table, buckets: int) -> tuple[tuple[Path, ...], ...]:
    """The files of each bucket, in the order of their parts."""
    return tuple(tuple(sorted((folder / table.name / f"bucket={n:02d}").glob("*.parquet"))) for n in range(buckets))


def _rows(
    table: Table, height: int, buckets: tuple[tuple[Path, ...], ...], ranks: Mapping[str, int], inside: bool
) -> Rows:
    lazy = tuple(_scan(table, bucket) for bucket in buckets)
    every = [path for bucket in buckets for path in bucket]
    whole = _scan(table, every)
    found = whole.select(pl.len()).collect().item()
    if found != height:
        raise ValueError(f"{table.name} has {found} rows, {height} were written")
    if not inside:
        return Rows(whole, height, lazy)
    rank = pl.col("source").replace_strict(list(ranks), list(ranks.values()), return_dtype=pl.Int64)
    frame = whole.with_columns(rank=rank).sort("rank", "number", maintain_order=True).drop("rank").collect()
    return Rows(frame.lazy(), height)


def _scan(table: Table, files: Sequence[Path]) -> pl.LazyFrame:
    if not files:
        return empty(table).lazy()
    return table.check(pl.scan_parquet(list(files), hive_partitioning=False))
