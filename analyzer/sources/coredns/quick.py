"""The common format read straight from the bytes of a window: NumPy finds every space once, and each column is a few
operations on eight bytes at a time.

A line is taken only where every part is in its usual place and form; all others are left to whoever reads them with
more patience. So this module decides nothing that is not decided again, in the same way, by `cells.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from analyzer.frames import NO_REPLY, TIME
from analyzer.sources.coredns.values import (
    ANSWER_LIMIT,
    FLAGS,
    NAME_LIMIT,
    QTYPE,
    QUERY_COLUMNS,
    RCODE,
    addresses,
    fits,
    modern,
)
from analyzer.sources.coredns.views import LOW_BYTES, view, views
from analyzer.sources.lines import Window

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Columns = dict[str, npt.NDArray[Any]]

ENOUGH = 0.9
"""Share of the lines of a window from which this way pays."""

BLOCK = 1 << 21
"""Bytes that are worked on at once: what is made of them stays in the cache."""

_NUMBERS = (
    *("number", "line_bytes", "client_port", "dns_id", "query_bytes", "answer_bytes", "duration_seconds", "tcp"),
)

_SPACE, _NEWLINE, _COLON, _DOT, _QUOTE = 32, 10, 58, 46, 34
_CELLS = 15
"""Of the format: level, client, dash, id, type, class, name, proto, size, do, bufsize, code, flags, size, duration."""

_PAD = bytes(16)
_ZEROS = np.uint64(0x3030303030303030)
_HIGH = np.uint64(0x8080808080808080)
_EXACT = 1 << 53
"""Below this a double holds every whole number, so that one division by a power of ten rounds as a parser would."""
_TENS = np.array([10**n for n in range(16)], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Quick:
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
        part = _part(_Bytes(data, start, end), number, lead)
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


@dataclass(frozen=True, slots=True)
class _Part:
    """Of one block: how many lines; the numbers of those that are not blank, and whether each is left to others; the
    columns of the rows."""

    lines: int
    numbers: I64
    left: Flags
    columns: Columns


class _Bytes:
    """Eight bytes at any place of a block, as little-endian numbers."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self.start, self.size = start, end - start
        padded = data[start:end] + _PAD
        self.single = np.frombuffer(padded, np.uint8)
        self._eight = np.ndarray((len(padded) - 7,), "V8", padded, strides=(1,))

    def at(self, places: I64) -> U64:
        return self._eight[places].view("<u8")


def _part(whole: _Bytes, number: int, lead: tuple[str, ...]) -> _Part | None:
    """The rows of one block; None where too few of its lines are such."""
    text = whole.single[: whole.size]
    ends = np.flatnonzero(text == _NEWLINE)
    if np.count_nonzero(text < _SPACE) != len(ends):
        return None
    spaces = np.flatnonzero(text == _SPACE)
    begins = np.concatenate([[0], ends[:-1] + 1])
    wanted = len(lead) + _CELLS - 1
    cells, every = _in_step(spaces, begins, ends, wanted)
    lines = np.arange(len(ends))
    if not every:
        first = np.searchsorted(spaces, begins)
        counts = np.searchsorted(spaces, ends) - first
        if "part" in lead and not _whole_lines(whole, spaces, ends, first, counts):
            return None
        lines = np.flatnonzero(counts == wanted)
        if len(lines) < ENOUGH * len(ends):
            return None
        cells = spaces[first[lines][:, None] + np.arange(wanted)]
    elif "part" in lead and not _whole_lines(whole, spaces, ends, np.arange(len(ends)) * wanted, None):
        return None
    columns, good = _Rows(whole, begins[lines], ends[lines], cells, len(lead)).columns(bool(lead))
    columns["number"] = number + lines
    columns["line_bytes"] = ends[lines] + 1 - begins[lines]
    if not good.all():
        columns = {name: values[good] for name, values in columns.items()}
    left = np.ones(len(ends), np.bool_)
    left[lines[good]] = False
    there = ends > begins
    return _Part(len(ends), number + np.flatnonzero(there), left[there], columns)


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


def _in_step(spaces: I64, begins: I64, ends: I64, wanted: int) -> tuple[I64, bool]:
    """The spaces of each line, where every line has as many as wanted."""
    if len(spaces) != len(ends) * wanted:
        return spaces, False
    cells = spaces.reshape(-1, wanted)
    return cells, bool((cells[:, 0] >= begins).all() and (cells[:, -1] < ends).all())


def _whole_lines(whole: _Bytes, spaces: I64, ends: I64, first: I64, counts: I64 | None) -> bool:
    """Whether CRI marks every line as whole: `F` is the third cell."""
    if counts is not None:
        long = counts >= 2
        first, counts, ends = first[long], counts[long], ends[long]
    start = spaces[first + 1] + 1
    after = np.minimum(spaces[np.minimum(first + 2, len(spaces) - 1)], ends)
    if counts is not None:
        after = np.where(counts > 2, after, ends)
    return bool(((after - start == 1) & (whole.single[start] == ord("F"))).all())


class _Rows:
    """The lines of a block that have as many cells as they should."""

    def __init__(self, whole: _Bytes, begins: I64, ends: I64, cells: I64, lead: int) -> None:
        self._whole = whole
        self._begins = begins
        self._ends = ends
        self._cells = cells
        self._lead = lead
        self._good: Flags = np.ones(len(begins), np.bool_)

    def columns(self, stamped: bool) -> tuple[Columns, Flags]:
        """Numbers, and texts as views, of every line; and which lines hold what they should."""
        self._is(0, b"[INFO]")
        self._is(2, b"-")
        start, end = self._cell(4)
        self._good &= self._whole.single[start] == _QUOTE
        made: Columns = {
            "qtype": self._view(start + 1, end),
            "rcode": self._view(*self._cell(11)),
            "flags": self._view(*self._cell(12)),
            "name": self._name(),
            "tcp": self._tcp(),
            "dns_id": self._number(3, 65_535),
            "query_bytes": self._number(8, 65_535),
            "answer_bytes": self._number(13, ANSWER_LIMIT),
            "duration_seconds": self._seconds(),
        }
        made["client"], made["client_port"] = self._client()
        if stamped:
            made["time"] = self._time()
        return made, self._good

    def _some(self, rows: I64) -> _Rows:
        return _Rows(self._whole, self._begins[rows], self._ends[rows], self._cells[rows], self._lead)

    def _cell(self, at: int) -> tuple[I64, I64]:
        """Start and end of a cell of every line."""
        at += self._lead
        start = self._cells[:, at - 1] + 1 if at else self._begins
        return start, self._cells[:, at] if at < self._cells.shape[1] else self._ends

    def _is(self, at: int, text: bytes) -> None:
        start, end = self._cell(at)
        wanted = np.uint64(int.from_bytes(text, "little"))
        self._good &= (end - start == len(text)) & (self._whole.at(start) & LOW_BYTES[len(text)] == wanted)

    def _view(self, start: I64, end: I64) -> U64:
        length = end - start
        second = self._whole.at(start + 8) if (length > 8).any() else None
        return view(start + self._whole.start, length, self._whole.at(start), second)

    def _digits(self, end: I64, length: I64) -> I64:
        """The number of at most eight digits that ends there; lines that have none are marked."""
        fine = (length > 0) & (length <= 8)
        self._good &= fine
        there = self._whole.at(np.maximum(end - 8, 0))
        rest = LOW_BYTES[8 - np.where(fine, length, 0)]
        word = (there & ~rest) | (_ZEROS & rest)
        self._good &= end >= 8
        return self._eight_digits(word)

    def _eight_digits(self, word: U64) -> I64:
        """Eight digits, the first one lowest; each step adds neighbours up (D. Lemire, 2022)."""
        over = (word + np.uint64(0x4646464646464646)) | (word - _ZEROS)
        self._good &= (over & _HIGH) == 0
        value = word - _ZEROS
        value = value * np.uint64(10) + (value >> np.uint64(8))
        tens, hundreds = np.uint64(0x000000FF000000FF), np.uint64(0x000F424000000064)
        ones = np.uint64(0x0000271000000001)
        value = ((value & tens) * hundreds + ((value >> np.uint64(16)) & tens) * ones) >> np.uint64(32)
        return value.astype(np.int64)

    def _number(self, at: int, limit: int) -> I64:
        start, end = self._cell(at)
        value = self._digits(end, end - start)
        self._good &= value <= limit
        return value

    def _client(self) -> tuple[U64, I64]:
        """Address and port of an IPv4 client."""
        start, end = self._cell(1)
        tail = self._whole.at(np.maximum(end - 8, 0))
        length = np.zeros(len(start), np.int64)
        for digits in range(1, 6):
            found = (tail >> np.uint64(8 * (7 - digits))) & np.uint64(0xFF) == _COLON
            length = np.where((length == 0) & found, digits, length)
        self._good &= length > 0
        port = self._digits(end, length)
        self._good &= port <= 65_535
        stop = np.maximum(end - length - 1, start)
        return self._view(start, stop), port

    def _name(self) -> U64:
        """Without its final dot."""
        start, end = self._cell(6)
        self._good &= (end - start <= NAME_LIMIT) & (end > start) & (self._whole.single[end - 1] == _DOT)
        return self._view(start, np.maximum(end - 1, start))

    def _tcp(self) -> Flags:
        start, end = self._cell(7)
        word = self._whole.at(start) & LOW_BYTES[3]
        udp, tcp = (word == np.uint64(int.from_bytes(text, "little")) for text in (b"udp", b"tcp"))
        self._good &= (end - start == 3) & (udp | tcp)
        return np.asarray(tcp)

    def _seconds(self) -> npt.NDArray[np.float64]:
        """`0.000123s`: one digit, a point, at most fifteen digits."""
        start, end = self._cell(14)
        decimals = end - start - 3
        self._good &= (decimals > 0) & (decimals <= 15)
        decimals = np.clip(decimals, 1, 15)
        self._good &= (self._whole.single[start + 1] == _DOT) & (self._whole.single[end - 1] == ord("s"))
        low = np.minimum(decimals, 8)
        high = decimals - low
        value = self._digits(end - 1, low)
        if high.any():
            longer = np.flatnonzero(high)
            part = self._some(longer)
            upper = part._digits(end[longer] - 9, high[longer])
            value[longer] += upper * 100_000_000
            self._good[longer] &= part._good
        whole = self._whole.single[start].astype(np.int64) - 48
        self._good &= (whole >= 0) & (whole <= 9)
        value += whole * _TENS[decimals]
        self._good &= value < _EXACT
        return np.asarray(value / _TENS[decimals])

    def _time(self) -> I64:
        """RFC 3339 with up to nine decimals, in UTC or with an offset, as microseconds since 1970."""
        start, end = self._begins, self._cells[:, 0]
        length = end - start
        self._good &= length >= 20
        day, clock, rest = self._whole.at(start), self._whole.at(start + 8), self._whole.at(start + 16)
        for word, shape in ((day, b"dddd-dd-"), (clock, b"ddTdd:dd"), (rest, b":dd")):
            self._shaped(word, shape)
        hour, minute, second = self._pair(clock, 3), self._pair(clock, 6), self._pair(rest, 1)
        self._good &= (hour < 24) & (minute < 60) & (second < 60)
        utc = self._whole.single[end - 1] == ord("Z")
        shift = self._offset(end, utc)
        decimals = length - np.where(utc, 21, 26)
        point = (rest >> np.uint64(24)) & np.uint64(0xFF) == _DOT
        self._good &= ((decimals > 0) & (decimals <= 9) & point) | (decimals == -1)
        kept = np.where(point, np.clip(decimals, 0, 6), 0)
        mask = LOW_BYTES[kept]
        micros = self._eight_digits((self._whole.at(start + 20) & mask) | (_ZEROS & ~mask)) // 100
        year = 100 * self._pair(day, 0) + self._pair(day, 2)
        days = self._days(10_000 * year + 100 * self._pair(day, 5) + self._pair(clock, 0))
        return (days * 86_400 + hour * 3600 + minute * 60 + second - shift) * 1_000_000 + micros

    def _offset(self, end: I64, utc: Flags) -> I64:
        """Seconds east of UTC by `+01:00` at the end; lines that end otherwise are marked."""
        shift = np.zeros(len(end), np.int64)
        other = np.flatnonzero(~utc)
        if not len(other):
            return shift
        part = self._some(other)
        word = self._whole.at(np.maximum(end[other] - 6, 0))
        sign = word & np.uint64(0xFF)
        part._shaped(word, b"?dd:dd")
        hours, minutes = part._pair(word, 1), part._pair(word, 4)
        part._good &= ((sign == ord("+")) | (sign == ord("-"))) & (hours < 24) & (minutes < 60)
        self._good[other] &= part._good
        shift[other] = (hours * 3600 + minutes * 60) * np.where(sign == ord("+"), 1, -1)
        return shift

    def _shaped(self, word: U64, shape: bytes) -> None:
        """`d` is a digit, `?` anything, the rest is itself."""
        for at, letter in enumerate(shape):
            byte = (word >> np.uint64(8 * at)) & np.uint64(0xFF)
            if letter == ord("d"):
                self._good &= (byte >= 48) & (byte <= 57)
            elif letter != ord("?"):
                self._good &= byte == letter

    def _pair(self, word: U64, at: int) -> I64:
        """Two digits as a number."""
        tens, ones = ((word >> np.uint64(8 * place)) & np.uint64(0xFF) for place in (at, at + 1))
        return tens.astype(np.int64) * 10 + ones.astype(np.int64) - 528

    def _days(self, dates: I64) -> I64:
        """Days since 1970 of dates as 20260314; a window has few of them."""
        if (dates == dates[0]).all():
            distinct, place = dates[:1], np.zeros(len(dates), np.int64)
        else:
            distinct, place = np.unique(dates, return_inverse=True)
        known = np.array([_day(int(one)) for one in distinct], dtype=np.int64)
        found = known[place]
        self._good &= found != _NO_DAY
        return found


_NO_DAY = np.iinfo(np.int64).min
_EPOCH = date(1970, 1, 1).toordinal()


def _day(number: int) -> int:
    try:
        return date(number // 10_000, number // 100 % 100, number % 100).toordinal() - _EPOCH
    except ValueError:
        return int(_NO_DAY)
