"""Which queries are tries of one query, and which of those are of one lookup."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyzer.facts.neighbours import begins, hashed, side_by_side
from analyzer.frames import NO_REPLY, TIME

I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

TOGETHER = timedelta(seconds=1)
"""A socket's two queries for one name that begin so close to each other are one lookup [an engineering default]."""

SOCKET = ["client", "client_port"]
QUERY = [*SOCKET, "dns_id", "name", "qtype"]


@dataclass(frozen=True, slots=True)
class Asks:
    """Queries with their tries again, in the order of their first ones.

    `of` is the ask of each query, `row` the first query of each ask, `last` when its last was sent.
    """

    of: I64
    row: I64
    last: I64
    told: Flags
    given_up: Flags
    tries: I64
    queries: I64


def asks_of(queries: pl.DataFrame) -> Asks:
    columns = queries.select(
        pl.col("time").to_physical(),
        "retry",
        key=hashed(QUERY),
        told=pl.col("answered").is_not_null(),
        given_up=(pl.col("rcode") == NO_REPLY).fill_null(False),
    )
    time, retry, key, told, given_up = (columns[name].to_numpy() for name in columns.columns)
    order = side_by_side(key)
    # A socket may come to the same id again, long after.
    new = begins(key[order]) | ~retry[order]
    first = np.flatnonzero(new)
    count = np.diff(np.append(first, len(order)))
    # From the order of keys to that of time.
    row = np.zeros(len(order), bool)
    row[order[first]] = True
    turn = (np.cumsum(row) - 1)[order[first]]
    of = np.empty(len(order), np.int64)
    of[order] = np.repeat(turn, count)

    def turned(values: NDArray[Any]) -> NDArray[Any]:
        out = np.empty_like(values)
        out[turn] = values
        return out

    def some(flags: Flags) -> Flags:
        total = np.append(0, np.cumsum(flags[order]))
        return turned(total[first + count] > total[first])

    last = order[first + count - 1]
    return Asks(
        of=of,
        row=np.flatnonzero(row),
        last=turned(time[last]),
        told=some(told),
        given_up=some(given_up),
        tries=some(retry) + np.int64(1),
        queries=turned(count),
    )


@dataclass(frozen=True, slots=True)
class Lookups:
    """The first query of each lookup, when its last was sent, 2 where it was asked again, and its queries."""

    row: I64
    last: I64
    tries: I64
    queries: I64


def lookups(queries: pl.DataFrame, asks: Asks, which: Flags) -> Lookups:
    """These asks by lookup: a socket's A and AAAA of a name that begin together are one."""
    rows = asks.row[which]
    key = queries.select(hashed([*SOCKET, "name"])).to_series().to_numpy()[rows]
    order = side_by_side(key)
    time = queries["time"].to_physical().to_numpy()[rows][order]
    later = np.diff(time, prepend=0) > TOGETHER // timedelta(microseconds=1)
    first = np.flatnonzero(begins(key[order]) | later)
    if not len(first):
        return Lookups(rows, rows, rows, rows)
    last, tries, count = (values[which][order] for values in (asks.last, asks.tries, asks.queries))
    return Lookups(
        row=rows[order[first]],
        last=np.maximum.reduceat(last, first),
        tries=np.maximum.reduceat(tries, first),
        queries=np.add.reduceat(count, first),
    )


def failed_lookups(queries: pl.DataFrame, asks: Asks, gone: Flags) -> pl.DataFrame:
    """A row per lookup of these asks, in the order of time."""
    found = lookups(queries, asks, gone)
    last, tries, counts = (pl.Series(values) for values in (found.last, found.tries, found.queries))
    return (
        queries.select(*SOCKET, "name", first="time")[found.row]
        .with_columns(last=last.cast(TIME), tries=tries, queries=counts)
        .sort("first", *SOCKET, "name")
    )
