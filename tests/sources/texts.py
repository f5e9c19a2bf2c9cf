"""Reading a few lines of text as an input of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from analyzer.frames import Table, concat
from analyzer.model import InputReport
from analyzer.sources.contract import Batch, Item, Ledger, ReadOptions, Source
from analyzer.sources.stream import open_stream


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source made of an input."""

    tables: dict[Table, pl.DataFrame]
    report: InputReport

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """The rows without what is null in them; none where the table was not made."""
        made = self.tables[table].to_dicts() if table in self.tables else []
        return [{name: value for name, value in row.items() if value is not None} for row in made]

    def column(self, table: Table, name: str) -> list[object]:
        return self.tables[table][name].to_list()

    @property
    def skipped(self) -> dict[str, int]:
        return {one.reason: one.count for one in self.report.skipped_reasons}

    @property
    def notes(self) -> str:
        return "\n".join(self.report.notes)


def read_text(source: Source, text: str | bytes | Iterable[str], name: str = "a.log", **options: Any) -> Reading:
    """Lines (each gets a newline), or text exactly as it is; `-` for a path, so that no file tells a year."""
    data = text if isinstance(text, bytes) else text.encode() if isinstance(text, str) else _joined(text)
    ledger = Ledger()
    read_options = ReadOptions(**options)
    batches = list(source.read(BytesIO(data), Item(id=name, path=Path("-")), read_options, ledger))
    return _reading(source, batches, ledger, name)


def read_path(source: Source, path: Path, **options: Any) -> Reading:
    """A file, through everything that stands before a source."""
    ledger = Ledger()
    item = Item(id=path.name, path=path)
    with open_stream(item, ledger) as stream:
        stream.peek(1)
        batches = list(source.read(stream, item, ReadOptions(**options), ledger))
    return _reading(source, batches, ledger, path.name)


def _joined(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _reading(source: Source, batches: list[Batch], ledger: Ledger, name: str) -> Reading:
    named = dict.fromkeys([*source.tables, *(table for batch in batches for table in batch)])
    tables = {table: concat(table, [batch[table] for batch in batches if table in batch]) for table in named}
    report = ledger.report(path=name, kind=source.name, sha256="", size=0)
    assert report.records == report.used + report.skipped + report.incomplete_tail
    return Reading(tables, report)
