"""What a table is: a name, one sentence, and columns with a type and a meaning."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import polars as pl
from msgspec import Struct

TIME = pl.Datetime("us", "UTC")

NO_REPLY = "NO_REPLY"
"""The rcode of a DNS query that nobody answered (a log line with flags `-`, a query without its answer)."""


class Col(Struct, frozen=True):
    """One column. `doc` says what the value is, its unit, and what null means."""

    name: str
    dtype: pl.DataType
    doc: str


class Table(Struct, frozen=True):
    """The contract of one table or fact.

    `group` says which rows belong together when a table is too large for memory: a column, `connection` (both ends and
    ports, whoever sent), `asker` (the sender of a query, the receiver of an answer), or '' where any rows do. `kinds`
    names the sources that declare the table: what is missing may be collected there. It stands here so that nobody
    imports every source to say so.
    """

    name: str
    doc: str
    cols: tuple[Col, ...]
    group: str = ""
    kinds: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def schema(self) -> pl.Schema:
        return _schema(self)

    def check(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Return the frame; raise TypeError unless it has exactly these columns and types. Reads no rows."""
        got, want = dict(frame.collect_schema()), dict(self.schema)
        wrong = [name for name in dict.fromkeys([*want, *got]) if got.get(name) != want.get(name)]
        if wrong:
            told = [f"{name}: {got.get(name, 'missing')}, wanted {want.get(name, 'no such column')}" for name in wrong]
            raise TypeError(f"{self.name}: " + "; ".join(told))
        return frame if list(got) == list(want) else frame.select(list(want))


PLACE = (
    Col("time", TIME, "When it happened, UTC; null where the source has no time."),
    Col("source", pl.String(), "The input that the row was read from."),
    Col("number", pl.Int64(), "Frame or physical line in that input, from 1."),
)
"""The columns that every table starts with."""


def empty(table: Table) -> pl.DataFrame:
    """A frame of the table without rows."""
    return _empty(table).clone()


@cache
def _empty(table: Table) -> pl.DataFrame:
    return pl.DataFrame(schema=table.schema)


@cache
def _schema(table: Table) -> pl.Schema:
    return pl.Schema({c.name: c.dtype for c in table.cols})


def concat(table: Table, parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """All parts as one frame, checked against the contract."""
    frames = [part for part in parts if part.height]
    if not frames:
        return empty(table)
    whole = frames[0] if len(frames) == 1 else pl.concat(frames, rechunk=False)
    return table.check(whole.lazy()).collect()
