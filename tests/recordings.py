"""Recordings of real components, kept outside the checkout: tests that want them are skipped where they are absent."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from analyzer.frames import Table, concat
from analyzer.sources.contract import Item, Ledger, ReadOptions, Source
from analyzer.sources.stream import open_stream

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "real"

needed = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recordings of real components are not here")


def read(source: Source, *names: str) -> dict[Table, pl.LazyFrame]:
    """The tables of those recordings."""
    return read_file(source, *(RECORDED / name for name in names))


def read_file(source: Source, *paths: Path) -> dict[Table, pl.LazyFrame]:
    """The tables of those files, wherever they lie."""
    parts: dict[Table, list[pl.DataFrame]] = {table: [] for table in source.tables}
    for path in paths:
        item, ledger = Item(id=path.name, path=path), Ledger()
        with open_stream(item, ledger) as stream:
            for batch in source.read(stream, item, ReadOptions(), ledger):
                for table, frame in batch.items():
                    parts.setdefault(table, []).append(frame)
    return {table: concat(table, frames).lazy() for table, frames in parts.items()}
