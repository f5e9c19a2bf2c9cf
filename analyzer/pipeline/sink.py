"""Where rows go while inputs are read: into memory, and into files once they need too much of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from analyzer.case import Case, Place, Rows, Writer, load
from analyzer.frames import Table, concat
from analyzer.model import InputReport


class Sink:
    """Rows are kept in memory up to `memory` bytes (None: always), then all in a case directory.

    Without a folder that is a temporary one, which is deleted in the end. A context manager. `keeps`: the folder stays.
    """

    def __init__(self, memory: int | None, folder: Path | None = None) -> None:
        self._memory = memory
        self._parts: dict[Table, dict[str, list[pl.DataFrame]]] = {}
        self._bytes = 0
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._writer = Writer(folder) if folder is not None else None
        self.keeps = folder is not None

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()

    def add(self, table: Table, frame: pl.DataFrame | None = None) -> None:
        """Take rows of the input that is being read; without rows, say that the table was read."""
        if self._writer is not None:
            self._writer.add(table, frame)
            return
        parts = self._parts.setdefault(table, {})
        if frame is None or not frame.height:
            return
        parts.setdefault(str(frame["source"][0]), []).append(frame)
        self._bytes += int(frame.estimated_size())
        if self._memory is not None and self._bytes > self._memory:
            self._spill()

    def end_input(self) -> None:
        """All rows of the input were added."""
        if self._writer is not None:
            self._writer.end_input()

    def apart(self) -> Writer:
        """The writer into files, for rows that other processes write beside it."""
        if self._writer is None:
            self._spill()
        assert self._writer is not None
        return self._writer

    def pour(self, case: Case) -> None:
        """Take the rows of another case."""
        for table, rows in case.tables.items():
            self.add(table)
            for bucket in rows.buckets or (rows.frame,):
                held = bucket.collect()
                for one in held.partition_by("source", maintain_order=True) if held.height else ():
                    self.add(table, one)
                    self.end_input()

    def _spill(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="analyze-")
        self._writer = Writer(Path(self._temporary.name))
        for table, parts in self._parts.items():
            self._writer.add(table)
            for frames in parts.values():
                self._writer.add(table, concat(table, frames))
                self._writer.end_input()
            parts.clear()

    def case(self, reports: tuple[InputReport, ...], places: Mapping[str, Place]) -> Case:
        """Everything that was added; void after the end of this context."""
        if self._writer is not None:
            self._writer.finish(reports, places)
            return load(self._writer.folder, self._memory)
        # In the order of ids, whatever the order of reading was.
        tables = {
            table: concat(table, [frame for source in sorted(parts) for frame in parts[source]])
            for table, parts in sorted(self._parts.items(), key=lambda one: one[0].name)
        }
        rows = {table: Rows(frame.lazy(), frame.height) for table, frame in tables.items()}
        return Case(tables=rows, reports=reports, places=dict(places))
