"""How much a page may hold: a page of hundreds of megabytes is opened by no browser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")

MOST_ROWS = 2_000
"""Table rows in the whole page: with 100,000 a browser takes longer than half a minute to open it."""


class Limits(Struct, frozen=True, kw_only=True):
    """How much of each thing the page shows. `tighter` halves it, for a page that came out too heavy."""

    rows: int = MOST_ROWS
    full: int = 40  # findings told in full; later ones get one row each
    open: int = 12  # findings unfolded when the page opens
    records: int = 10  # quoted records of one finding
    all_records: int = 480
    table_rows: int = 12
    all_table_rows: int = 400
    tables: int = 6
    charts: int = 16
    moments: int = 100
    list_rows: int = 60
    words: int = 40  # remarks, notes, commands in one list

    def tighter(self) -> Limits:
        return Limits(**{name: max(1, getattr(self, name) // 2) for name in self.__struct_fields__})


class Cut(Struct, Generic[T], frozen=True):
    """The first of many, and how many more there are."""

    shown: tuple[T, ...]
    more: int


class Budget(Struct):
    """The table rows that are left for the page."""

    left: int

    def take(self, items: Sequence[T], most: int) -> Cut[T]:
        count = max(min(len(items), most, self.left), 0)
        self.left -= count
        return Cut(tuple(items[:count]), len(items) - count)
