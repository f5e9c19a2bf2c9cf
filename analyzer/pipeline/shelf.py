"""Hands the rows of inputs from the process that read them to the one that wants them: as files below a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from msgspec import Struct

from analyzer.case.parts import Writing
from analyzer.frames import TABLES, Table, concat
from analyzer.pipeline.one_input import Read, Taker
from analyzer.sources.views import Arrow

SHELF_BYTES = 64 << 20
"""Bytes of one table that are held before they are laid on the shelf."""

_LOOKS = 8
"""Rows that show of most columns that they are not the same everywhere."""

_TABLES = {table.name: table for table in TABLES}
"""A table that comes from another process is another object, and tables are told apart as such: names come instead."""


class Part(Struct, frozen=True):
    """Rows of a table in an Arrow file; no `path`: none. `same`: columns that hold one text, or nothing, in all of
    these rows; they are not written, which spares half of the bytes."""

    table: str
    path: Path | None = None
    same: dict[str, str | None] = {}


class Shelf(Struct):
    """Takes the rows of one input; `name` tells its files from those of others."""

    folder: Path
    name: str
    parts: list[Part]
    held: dict[Table, list[pl.DataFrame]]
    sizes: dict[Table, int]

    def add(self, table: Table, frame: pl.DataFrame | None = None) -> None:
        if frame is None or not frame.height:
            self.parts.append(Part(table.name))
            return
        self.held.setdefault(table, []).append(frame)
        self.sizes[table] = self.sizes.get(table, 0) + int(frame.estimated_size())
        if self.sizes[table] > SHELF_BYTES:
            self._lay(table)

    def end_input(self) -> None:
        for table in list(self.held):
            self._lay(table)

    def _lay(self, table: Table) -> None:
        path = self.folder / f"{self.name}-{len(self.parts)}.arrow"
        frame = concat(table, self.held.pop(table))
        self.sizes[table] = 0
        same = _same(frame)
        with Writing(self.folder):  # else a full disk would be taken for an input that breaks
            frame.drop(same).write_ipc(path, compression="uncompressed", compat_level=pl.CompatLevel.newest())
        self.parts.append(Part(table.name, path, same))


class Laid(Struct, frozen=True):
    """What became of one input, and where its rows lie."""

    read: Read
    parts: tuple[Part, ...]


def pour(laid: Laid, rows: Taker) -> None:
    """Give on what lies on a shelf, and leave it empty."""
    for part in laid.parts:
        table = _TABLES[part.table]
        if part.path is None:
            rows.add(table)
            continue
        for frame in _frames(part.path):
            missing = [pl.lit(text, table.schema[name]).alias(name) for name, text in part.same.items()]
            rows.add(table, frame.with_columns(missing).select(table.schema.names()))
        part.path.unlink()
    rows.end_input()


def _frames(path: Path) -> Iterator[pl.DataFrame]:
    """The rows of a file, where they lie: nothing is copied, and a page is read when somebody looks at it."""
    import pyarrow as pa  # only where rows are handed over

    with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
        for number in range(reader.num_record_batches):
            yield pl.DataFrame(Arrow(reader.get_batch(number)))


def _same(frame: pl.DataFrame) -> dict[str, str | None]:
    """The columns that hold nothing, or the same text, in every row."""
    rows = frame.height
    same: dict[str, str | None] = {name: None for name in frame.columns if frame[name].null_count() == rows}
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String and not frame[name].null_count()]
    few = frame.select(texts).gather_every(max(1, rows // _LOOKS))
    for name in texts:
        text = few[name][0]
        if (few[name] == text).all() and (frame[name] == text).all():
            same[name] = text
    return same
