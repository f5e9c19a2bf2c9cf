"""Case directories: written part by part while inputs are read, and read again as a whole or bucket by bucket."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from analyzer.case.buckets import BUCKETS, bucket_of
from analyzer.case.model import Case, Place, Rows
from analyzer.errors import InputError, OutputError
from analyzer.frames import TABLES, Table, concat, empty
from analyzer.model import InputReport

SCHEMA = "analyzer-case/2"
FILE = "case.json"
UNFINISHED = "case.unfinished"
"""Stands in a folder while a case is written, so that a run that was killed can be repeated into it."""

HELD_BYTES = 16 << 20
"""Bytes of one table that are held before they are written as a part: large parts pack and scan better."""

_BY_NAME: Mapping[str, Table] = {table.name: table for table in TABLES}


def is_case(path: Path) -> bool:
    """Whether the path is a folder that was written as a case."""
    try:
        return path.is_dir() and (path / FILE).is_file()
    except PermissionError:
        return False


class Writer:
    """Writes a case while its inputs are read; memory holds one unwritten part of each table."""

    def __init__(self, folder: Path) -> None:
        """The folder must be new, empty, or a case. Raises OutputError."""
        self.folder = folder
        self._held: dict[Table, list[pl.DataFrame]] = {}
        self._bytes: dict[Table, int] = {}
        self._parts: dict[str, int] = {}
        self.heights: dict[Table, int] = {}
        self._sizes: dict[Table, int] = {}
        ours = is_case(folder) or (folder / UNFINISHED).exists()
        if folder.exists() and not ours and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(f"{folder} is neither new nor a case; choose another folder")
        with _Writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / UNFINISHED).touch()
            (folder / FILE).unlink(missing_ok=True)
            for table in TABLES:  # what an earlier run left behind would be read as part of this case
                if (folder / table.name).is_dir():
                    shutil.rmtree(folder / table.name)

    def add(self, table: Table, frame: pl.DataFrame | None = None) -> None:
        """Take rows of one input; without rows, say that the table was read."""
        self.heights.setdefault(table, 0)
        if frame is None or not frame.height:
            return
        self.heights[table] += frame.height
        size = int(frame.estimated_size())
        self._held.setdefault(table, []).append(frame)
        self._bytes[table] = self._bytes.get(table, 0) + size
        self._sizes[table] = self._sizes.get(table, 0) + size
        if self._bytes[table] > HELD_BYTES:
            self._write(table)

    def flush(self) -> None:
        """Write what is held; called between inputs, because a part belongs to one."""
        for table in list(self._held):
            self._write(table)

    def _write(self, table: Table) -> None:
        frame = concat(table, self._held.pop(table))
        self._bytes[table] = 0
        source = _short(str(frame["source"][0]))
        key = f"{table.name}/{source}"
        part = self._parts[key] = self._parts.get(key, -1) + 1
        with _Writing(self.folder):
            for bucket, rows in _split(table, frame):
                place = self.folder / table.name / f"bucket={bucket:02d}"
                place.mkdir(parents=True, exist_ok=True)
                rows.write_parquet(
                    place / f"{source}-{part:05d}.parquet", compression="zstd", compression_level=1, statistics=False
                )

    def finish(self, reports: Sequence[InputReport], places: Mapping[str, Place]) -> None:
        """Write what is left and then `case.json`, which makes the folder a case."""
        self.flush()
        plain = {
            "schema": SCHEMA,
            "buckets": BUCKETS,
            "tables": {table.name: self.heights[table] for table in sorted(self.heights, key=lambda one: one.name)},
            "memory": sum(self._sizes.values()),
            "inputs": msgspec.to_builtins(reports),
            "places": {name: [str(p.path.resolve()), p.kind] for name, p in sorted(places.items())},
        }
        with _Writing(self.folder):
            new = self.folder / f".{FILE}.new"
            new.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
            new.replace(self.folder / FILE)
            (self.folder / UNFINISHED).unlink(missing_ok=True)


class _Writing:
    """Turns trouble with the folder into the one sentence that a user can act on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise OutputError(f"{self._folder}: cannot be written: {reason}; choose another folder") from error


def _short(source: str) -> str:
    """A file name for an input, whose id may hold anything."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _split(table: Table, frame: pl.DataFrame) -> list[tuple[int, pl.DataFrame]]:
    parts = frame.with_columns(bucket=bucket_of(table, frame)).partition_by("bucket", as_dict=True, include_key=False)
    return sorted(((int(key[0]), part) for key, part in parts.items()), key=lambda one: one[0])


def load(folder: Path, memory: int | None = None) -> Case:
    """The case that `Writer` wrote; its rows in memory if they need no more than `memory` bytes (None: always).

    Raises InputError where a part is missing or not what it should be.
    """
    try:
        plain: dict[str, Any] = json.loads((folder / FILE).read_bytes())
        if plain.get("schema") != SCHEMA:
            raise InputError(f"{folder}: case of schema {plain.get('schema')!r}, wanted {SCHEMA!r}; ingest it again")
        reports = msgspec.convert(plain["inputs"], tuple[InputReport, ...])
        places = {name: Place(Path(path), kind) for name, (path, kind) in plain["places"].items()}
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
