"""Rows of a CSV (RFC 4180) that holds audit events: downloads of CloudWatch Logs Insights and of Log Analytics.

The first line names the columns. One of them holds the event as text, or the columns are the fields of the event. This
runs Python once a row: consoles give ten thousand rows (CloudWatch) to some hundred thousand (Azure).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct, field

from analyzer.sources.contract import Ledger
from analyzer.sources.textwindow import Window

TEXTS = ("@message", "log_s", "message", "Message", "log", "Line", "line")
"""Columns that hold an event as text."""

BROKEN = "broken CSV row"

LINES_LIMIT = 200
"""Lines over which the quotes of a row may run. Events are one line, but a body of text may hold line breaks."""

_CELL = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",]*))(,|$)')
_UNIT = re.compile(r" \[[^\]]*\]$")
"""The portal of Azure writes `TimeGenerated [UTC]`."""


def is_csv(text: bytes) -> bool:
    """Whether the first line names columns of which at least one can hold events."""
    first = text.split(b"\n", 1)[0].decode("utf-8", "replace").rstrip("\r")
    columns = cells_of(first) if len(first) < 10_000 else None
    if columns is None or "{" in first:
        return False
    rows = {"AuditId", "RequestUri"} <= set(columns) or {"verb", "@timestamp"} <= set(columns)
    return rows or (len(columns) > 1 and any(name in columns for name in TEXTS))


def rows(parts: Iterable[Window], ledger: Ledger) -> Iterator[list[tuple[int, bytes]]]:
    """The rows as JSON with the line on which each begins. A row whose quotes or columns do not fit is skipped."""
    table = _Table(ledger)
    for window in parts:
        lines = window.data.decode("utf-8", "replace").split("\n")
        table.whole = lines[-1] == ""
        if table.whole:
            lines.pop()
        table.waiting += [(window.first_number + index, line.rstrip("\r")) for index, line in enumerate(lines)]
        yield table.take()
    table.ended = True
    yield table.take()


class _Table(Struct):
    """`waiting` are the lines that are not rows yet; `whole` tells that the last line had its newline."""

    ledger: Ledger
    waiting: list[tuple[int, str]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    text: str | None = None
    whole: bool = True
    ended: bool = False

    def take(self) -> list[tuple[int, bytes]]:
        """The rows that end in the lines so far."""
        found: list[tuple[int, bytes]] = []
        lines, at = self.waiting, 0
        while at < len(lines):
            number, line = lines[at]
            end = self._end(at)
            if end > len(lines):
                break
            row = self._row("\n".join(text for _, text in lines[at:end])) if line.strip() else []
            if row is None and end > at + 1:
                # the quotes of other rows have nothing to do with this one
                end, row = at + 1, self._row(line)
            if row:
                found.append((number, self._json(row)))
            elif row is None and self.ended and not self.whole and end == len(lines):
                self.ledger.tail()
            elif row is None:
                self.ledger.skip(BROKEN, [number])
            at = end
        self.waiting = lines[at:]
        return found

    def _end(self, at: int) -> int:
        """Behind which line the row that begins at this one ends; behind the last one where it goes on."""
        if self.waiting[at][1].count('"') % 2 == 0:
            return at + 1
        last = min(len(self.waiting), at + LINES_LIMIT)
        for index in range(at + 1, last):
            if self.waiting[index][1].count('"') % 2:
                return index + 1
        return at + 1 if self.ended or last == at + LINES_LIMIT else len(self.waiting) + 1

    def _row(self, text: str) -> list[str] | None:
        """The cells of a row; [] for the names of the columns; None where they do not fit."""
        cells = cells_of(text)
        if cells is None or (self.columns and len(cells) != len(self.columns)):
            return None
        if self.columns:
            return cells
        self.columns = [_UNIT.sub("", name).strip() for name in cells]
        self.text = next((name for name in TEXTS if name in self.columns), None)
        return []

    def _json(self, row: list[str]) -> bytes:
        told = {name: cell for name, cell in zip(self.columns, row, strict=True) if cell}
        if self.text in told and told[self.text].lstrip()[:1] == "{":
            told = {name: told[name] for name in (self.text, "Category") if name in told}
        return msgspec.json.encode(told)


def cells_of(line: str) -> list[str] | None:
    """The cells of one row; None where its quotes do not match."""
    cells: list[str] = []
    at = 0
    while True:
        found = _CELL.match(line, at)
        if found is None:
            return None
        cells.append(found[1].replace('""', '"') if found[1] is not None else found[2])
        at = found.end()
        if not found[3]:
            return cells
