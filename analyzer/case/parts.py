"""The Parquet files of a case: one input's rows after another's, each part split into its buckets."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import polars as pl

from analyzer.case.buckets import bucket_of
from analyzer.errors import OutputError
from analyzer.frames import Table, concat

HELD_BYTES = 16 << 20
"""Bytes of one table that are held before they are written as a part: large parts pack and scan better."""


class Parts:
    """Writes the rows of inputs below a folder; memory holds one unwritten part of each table.

    File names follow from the input and the part, and a file appears whole or not at all: who reads an input again,
    after a worker was lost, writes the same files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heights: dict[Table, int] = {}
        self.bytes = 0
        self._held: dict[Table, list[pl.DataFrame]] = {}
        self._sizes: dict[Table, int] = {}
        self._numbers: dict[str, int] = {}

    def add(self, table: Table, frame: pl.DataFrame | None = None) -> None:
        """Take rows of one input; without rows, say that the table was read. Raises OutputError."""
        self.heights.setdefault(table, 0)
        if frame is None or not frame.height:
            return
        size = int(frame.estimated_size())
        self.heights[table] += frame.height
        self.bytes += size
        self._held.setdefault(table, []).append(frame)
        self._sizes[table] = self._sizes.get(table, 0) + size
        if self._sizes[table] > HELD_BYTES:
            self._write(table)

    def end_input(self) -> None:
        """Write what is held: a part belongs to one input. Raises OutputError."""
        for table in list(self._held):
            self._write(table)

    def _write(self, table: Table) -> None:
        frame = concat(table, self._held.pop(table))
        self._sizes[table] = 0
        # The id of an input may hold anything; its hash is a file name.
        source = hashlib.sha256(str(frame["source"][0]).encode()).hexdigest()[:16]
        key = f"{table.name}/{source}"
        number = self._numbers[key] = self._numbers.get(key, -1) + 1
        split = frame.with_columns(bucket=bucket_of(table, frame))
        with Writing(self.folder):
            for (bucket,), rows in split.partition_by("bucket", as_dict=True, include_key=False).items():
                place = self.folder / table.name / f"bucket={bucket:02d}"
                place.mkdir(parents=True, exist_ok=True)
                new = place / f".{source}-{number:05d}.{os.getpid()}"
                rows.write_parquet(new, compression="zstd", compression_level=1, statistics=False)
                new.replace(place / f"{source}-{number:05d}.parquet")


class Writing:
    """Turns trouble with a folder into the one sentence that a user can act on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | pl.exceptions.PolarsError):
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            # polars wraps what the system said.
            reason = reason.rpartition("IO error: ")[2]
            raise OutputError(
                f"{self._folder}: cannot be written: {reason}; make room or choose another folder"
            ) from error
