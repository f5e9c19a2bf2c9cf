"""Tables of evidence as they are shown: each column of numbers with one number of decimals."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from analyzer.model import Cell, EvidenceTable
from analyzer.render.escape import shown
from analyzer.render.format import number
from analyzer.render.limits import Budget, Cut

NOTHING = "–"
MOST_CELL = 300  # characters of one cell or quoted record


class Table(Struct, frozen=True):
    """A table of evidence as it is shown."""

    caption: str
    headers: tuple[tuple[str, str, bool], ...]  # name, unit, whether its cells are numbers
    rows: Cut[tuple[str, ...]]


def table_of(table: EvidenceTable, budget: Budget, most: int) -> Table:
    """The table as it is shown: at most `most` rows, and no more than the page has left."""
    rows = budget.take(table.rows, most)
    headers = []
    columns = []
    for at, column in enumerate(table.columns):
        cells = [row[at] if at < len(row) else None for row in rows.shown]
        numbers = [cell for cell in cells if isinstance(cell, int | float)]
        numeric = bool(numbers) and not any(isinstance(cell, str) for cell in cells)
        unit = "%" if numeric and column.unit == "fraction" else column.unit
        headers.append((column.name, "" if unit in column.name.split() else unit, numeric))
        columns.append(_aligned(cells, column.unit) if numeric else [_cell(cell) for cell in cells])
    texts = tuple(tuple(column[at] for column in columns) for at in range(len(rows.shown)))
    return Table(table.caption, tuple(headers), Cut(texts, rows.more))


def _cell(cell: Cell) -> str:
    if cell is None:
        return NOTHING
    return shown(cell, MOST_CELL) if isinstance(cell, str) else number(cell)


def _aligned(cells: Sequence[Cell], unit: str) -> list[str]:
    """One column of numbers with the same number of decimals in each, at most three, so that they can be compared."""
    scale = 100 if unit == "fraction" else 1
    values = [cell * scale if isinstance(cell, int | float) else None for cell in cells]
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        return [_cell(cell) for cell in cells]
    decimals = 1 if unit == "fraction" else max((_decimals(value) for value in values if value is not None), default=0)
    return [NOTHING if value is None else f"{value:,.{decimals}f}" for value in values]


def _decimals(value: float) -> int:
    return next((d for d in range(4) if round(value, d) == value), 3)
