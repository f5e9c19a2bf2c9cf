"""The common format read straight from the bytes of a window: NumPy finds every space once, and each column is a few
operations on eight bytes at a time.

A line is taken only where every part is in its usual place and form; all others are left to whoever reads them with
more patience. So this module decides nothing that is not decided again, in the same way, by `cells.py`.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from msgspec import Struct

from analyzer.frames import NO_REPLY, TIME
from analyzer.sources.coredns.columns import I64, Block, Columns, Flags, Rows
from analyzer.sources.coredns.values import (
    FLAGS,
    QTYPE,
    QUERY_COLUMNS,
    RCODE,
    addresses,
    fits,
    modern,
)
from analyzer.sources.textwindow import Window
from analyzer.sources.views import views

ENOUGH = 0.9
"""Share of the lines of a window from which this way pays."""

BLOCK = 1 << 21
"""Bytes that are worked on at once: what is made of them stays in the cache."""

_NUMBERS = (
    *("number", "line_bytes", "client_port", "dns_id", "query_bytes", "answer_bytes", "duration_seconds", "tcp"),
)

_SPACE, _NEWLINE = 32, 10
_CELLS = 15
"""Of the format: level, client, dash, id, type, class, name, proto, size, do, bufsize, code, flags, size, duration."""


class Quick(Struct, frozen=True):
    """COREDNS_QUERIES without what is put to every row at the end; `left`: of the lines that are not blank, those that
    are no such row."""

    rows: pl.DataFrame
    left: pl.Series


def quick_rows(window: Window, lead: tuple[str, ...]) -> Quick | None:
    """The queries of a window of lines that begin with the cells `lead`; None where it is better read otherwise."""
    data = window.data
    if not data.isascii() or not data.endswith(b"\n"):
        return None
    parts: list[_Part] = []
    start, number = 0, window.first_number
    while start < len(data):
        end = data.rfind(b"\n", start, start + BLOCK) + 1 or data.find(b"\n", start) + 1
        part = _part(Block(data, start, end), number, lead)
        if part is None:
            return None
        parts.append(part)
        start, number = end, number + part.lines
    left = pl.Series(np.concatenate([part.left for part in parts]))
    joined = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    rows, good = _frame(data, joined, bool(lead))
    if not good.all():
        return None if good.sum() < ENOUGH * len(good) else _settled(rows, good, joined["number"], left, parts)
    return Quick(rows, left)


def _settled(rows: pl.DataFrame, good: pl.Series, numbers: I64, left: pl.Series, parts: list[_Part]) -> Quick:
    """Without the rows whose texts turned out to be of another form."""
    there = np.concatenate([part.numbers for part in parts])
    wrong = np.isin(there, numbers[~good.to_numpy()])
    return Quick(rows.filter(good), pl.Series(left.to_numpy() | wrong))


class _Part(Struct, frozen=True):
    """Of one block: how many lines; the numbers of those that are not blank, and whether each is left to others; the
    columns of the rows."""

    lines: int
    numbers: I64
    left: Flags
    columns: Columns


class _Grid(Struct, frozen=True):
    """Where the lines of a block begin and end; `full`: those that have as many cells as they should; `cells`: of
    these, the place of each space, a row for the first ones, a row for the second ones ..."""

    begins: I64
    ends: I64
    full: I64
    cells: I64


def _part(whole: Block, number: int, lead: tuple[str, ...]) -> _Part | None:
    """The rows of one block; None where too few of its lines are such."""
    grid = _grid(whole, len(lead) + _CELLS - 1, parts="part" in lead)
    if grid is None:
        return None
    begins, ends, lines = grid.begins, grid.ends, grid.full
    if len(lines) < len(ends):
        begins, ends = begins[lines], ends[lines]
    columns, good = Rows(whole, begins, ends, grid.cells, len(lead)).columns(bool(lead))
    columns["number"] = number + lines
    columns["line_bytes"] = ends + 1 - begins
    if not good.all():
        columns = {name: values[good] for name, values in columns.items()}
    left = np.ones(len(grid.ends), np.bool_)
    left[lines[good]] = False
    there = grid.ends > grid.begins
    return _Part(len(left), number + np.flatnonzero(there), left[there], columns)


def _grid(whole: Block, wanted: int, *, parts: bool) -> _Grid | None:
    """The lines of a block, whose cells are parted by so many spaces; with `parts`, CRI says of each that it is whole.
    None where that is not so, where there are other control characters, or where too few lines have as many cells."""
    text = whole.single[: whole.size]
    places = np.flatnonzero(text <= _SPACE)
    count = np.count_nonzero(text < _SPACE)
    if len(places) == count * (wanted + 1):
        table = np.ascontiguousarray(places.reshape(-1, wanted + 1).T)
        # as many newlines as control characters, each where a line has had its spaces: nothing stands elsewhere
        if (text[table[-1]] == _NEWLINE).all():
            if parts and not _whole_lines(whole, table[1] + 1, table[2]):
                return None
            return _Grid(_begins(table[-1]), table[-1], np.arange(count), table[:-1])
    newline = text[places] == _NEWLINE
    ends, spaces = places[newline], places[~newline]
    if len(ends) != count:
        return None
    begins = _begins(ends)
    first = np.searchsorted(spaces, begins)
    counts = np.searchsorted(spaces, ends) - first
    if parts:
        long = counts >= 2
        second = first[long] + 1
        third = spaces[np.minimum(second + 1, len(spaces) - 1)]
        after = np.where(counts[long] > 2, np.minimum(third, ends[long]), ends[long])
        if not _whole_lines(whole, spaces[second] + 1, after):
            return None
    full = np.flatnonzero(counts == wanted)
    if len(full) < ENOUGH * len(ends):
        return None
    return _Grid(begins, ends, full, np.ascontiguousarray(spaces[first[full][:, None] + np.arange(wanted)].T))


def _begins(ends: I64) -> I64:
    begins = np.empty_like(ends)
    begins[:1], begins[1:] = 0, ends[:-1] + 1
    return begins


def _whole_lines(whole: Block, start: I64, after: I64) -> bool:
    """Whether CRI marks every line as whole: `F` is the third cell."""
    return bool(((after - start == 1) & (whole.single[start] == ord("F"))).all())


def _frame(data: bytes, columns: Columns, stamped: bool) -> tuple[pl.DataFrame, pl.Series]:
    """The rows of a window, and whether the texts of each have their forms."""
    texts = {name: views(data, columns[name]) for name in ("client", "name", "qtype", "rcode", "flags")}
    good = texts["rcode"].is_not_null()
    for name, form in (("rcode", RCODE), ("flags", FLAGS), ("qtype", QTYPE)):
        good &= fits(texts[name], form)
    client = addresses(texts["client"])
    good &= client.is_not_null()
    took = pl.duration(microseconds=(pl.col("duration_seconds") * 1e6).round(0).cast(pl.Int64, strict=False))
    time = pl.Series(columns["time"]).cast(TIME) if stamped else pl.lit(None, TIME)
    frame = pl.DataFrame({name: columns[name] for name in _NUMBERS}).with_columns(
        time.alias("time"),
        # these two make strings of their own, so that no window is kept for the sake of a few bytes
        texts["name"].str.to_lowercase().alias("name"),
        client.str.strip_chars_end(".").alias("client"),
        modern(texts["qtype"]).alias("qtype"),
        texts["flags"].alias("flags"),
        texts["rcode"].alias("rcode"),
        pl.lit(None, pl.String).alias("pod"),
    )
    rows = frame.lazy().select(
        pl.all().exclude("rcode", "tcp", "client_port", "dns_id"),
        pl.col("client_port", "dns_id").cast(pl.Int32),
        (pl.col("time") - took).cast(TIME).alias("query_time"),
        pl.when("tcp").then(pl.lit("tcp")).otherwise(pl.lit("udp")).alias("transport"),
        pl.when(pl.col("flags") == "-").then(pl.lit(NO_REPLY)).otherwise("rcode").alias("rcode"),
    )
    return rows.select(QUERY_COLUMNS).collect(), good
