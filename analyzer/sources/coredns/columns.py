"""Columns of a block of lines: each is a few operations on eight bytes of every line at a time."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.sources.coredns.values import ANSWER_LIMIT, NAME_LIMIT
from analyzer.sources.views import LOW_BYTES, view

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Columns = dict[str, npt.NDArray[Any]]

_COLON, _DOT, _QUOTE, _DASH = 58, 46, 34, 45
_BYTES = np.array([0xFF << (8 * n) for n in range(8)], dtype=np.uint64)
"""Each of eight bytes, in little-endian order; and a colon there."""
_COLONS = np.array([_COLON << (8 * n) for n in range(8)], dtype=np.uint64)
_INFO = b"[INFO] "
_PAD = bytes(32)
_ZEROS = np.uint64(0x3030303030303030)
_HIGH = np.uint64(0x8080808080808080)
_BYTE = np.uint64(8)
_EXACT = 1 << 53
"""Below this a double holds every whole number, so that one division by a power of ten rounds as a parser would."""
_TENS = np.array([10**n for n in range(16)], dtype=np.int64)


class Block:
    """Eight and more bytes at any place of a block, as little-endian numbers. Only the end of the data is copied, so
    that it has `_PAD` behind it."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self.start, self.size = start, end - start
        self._data, self._offset = data, start
        if end + len(_PAD) > len(data):
            self._data, self._offset = data[start:end] + _PAD, 0
        self.single = np.frombuffer(self._data, np.uint8, self.size + len(_PAD), self._offset)
        self._eight = self._every(8)

    def at(self, places: I64) -> U64:
        """Eight bytes from each place."""
        return self._eight[places].view("<u8")

    def wide(self, places: I64, words: int) -> tuple[U64, ...]:
        """Those eight bytes and the next ones, up to 32: taking them at once costs as much as taking eight."""
        found = self._every(8 * words)[places].view("<u8").reshape(-1, words)
        return tuple(np.ascontiguousarray(found[:, n]) for n in range(words))

    def _every(self, width: int) -> npt.NDArray[Any]:
        """So many bytes from every place there is."""
        places = self.size + len(_PAD) - width + 1
        return np.ndarray((places,), f"V{width}", self._data, self._offset, strides=(1,))


class Rows:
    """The lines of a block that have as many cells as they should; of `cells` each row is the places of one."""

    def __init__(self, whole: Block, begins: I64, ends: I64, cells: I64, lead: int) -> None:
        self._whole = whole
        self._begins = begins
        self._ends = ends
        self._cells = cells
        self._lead = lead
        self._good: Flags = np.ones(len(begins), np.bool_)

    def columns(self, stamped: bool) -> tuple[Columns, Flags]:
        """Numbers, and texts as views, of every line; and which lines hold what they should."""
        made: Columns = {"qtype": self._qtype(), "rcode": self._text(11), "flags": self._text(12), "name": self._name()}
        made["client"], made["client_port"] = self._client()
        dash, after = self._cell(2)
        self._good &= (self._whole.single[dash] == _DASH) & (after - dash == 1)
        made |= {
            "tcp": self._tcp(),
            "dns_id": self._number(3, 65_535),
            "query_bytes": self._number(8, 65_535),
            "answer_bytes": self._number(13, ANSWER_LIMIT),
            "duration_seconds": self._seconds(),
        }
        if stamped:
            made["time"] = self._time()
        return made, self._good

    def _some(self, rows: I64) -> Rows:
        return Rows(self._whole, self._begins[rows], self._ends[rows], self._cells[:, rows], self._lead)

    def _cell(self, at: int) -> tuple[I64, I64]:
        """Start and end of a cell of every line."""
        at += self._lead
        start = self._cells[at - 1] + 1 if at else self._begins
        return start, self._cells[at] if at < len(self._cells) else self._ends

    def _text(self, at: int) -> U64:
        return self._view(*self._cell(at))

    def _view(self, start: I64, end: I64) -> U64:
        length = end - start
        if (length > 8).any():
            return view(start + self._whole.start, length, *self._whole.wide(start, 2))
        return view(start + self._whole.start, length, self._whole.at(start), None)

    def _qtype(self) -> U64:
        """Behind the quote with which the question begins."""
        start, end = self._cell(4)
        first, second = self._whole.wide(start, 2)
        self._good &= first & LOW_BYTES[1] == _QUOTE
        length = np.maximum(end - start - 1, 0)
        return view(start + 1 + self._whole.start, length, *_shifted(1, first, second))

    def _digits(self, end: I64, length: I64) -> I64:
        """The number of at most eight digits that ends there; lines that have none are marked."""
        fine = (length > 0) & (length <= 8)
        self._good &= fine
        # before the first eight bytes stands a level, else the line is not taken: other places may hold anything
        return self._digits_at_end(self._whole.at(end - 8), length if fine.all() else np.where(fine, length, 0))

    def _digits_at_end(self, word: U64, length: I64) -> I64:
        """The number that the last bytes of a word are, at most eight; 0 of none."""
        rest = LOW_BYTES[8 - length]
        return self._eight_digits((word & ~rest) | (_ZEROS & rest))

    def _eight_digits(self, word: U64) -> I64:
        """Eight digits, the first one lowest; each step adds neighbours up (D. Lemire, 2022)."""
        value = word - _ZEROS
        self._good &= ((word + np.uint64(0x4646464646464646)) | value) & _HIGH == 0
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
        """Address and port of an IPv4 client, which stands behind the level."""
        level, _ = self._cell(0)
        first, second, third, _ = self._whole.wide(level, 4)
        self._good &= first & LOW_BYTES[len(_INFO)] == np.uint64(int.from_bytes(_INFO, "little"))
        start, end = self._cell(1)
        tail = self._whole.at(end - 8)
        length = np.zeros(len(start), np.int64)
        for digits in range(5, 0, -1):  # the last colon counts
            colon = tail & _BYTES[7 - digits] == _COLONS[7 - digits]
            length = np.where(colon, digits, length)
        self._good &= length > 0
        port = self._digits_at_end(tail, length)
        self._good &= port <= 65_535
        stop = np.maximum(end - length - 1, start)
        return view(start + self._whole.start, stop - start, *_shifted(len(_INFO), first, second, third)), port

    def _name(self) -> U64:
        """Without its final dot."""
        start, end = self._cell(6)
        self._good &= (end - start <= NAME_LIMIT) & (end > start) & (self._whole.single[end - 1] == _DOT)
        return self._view(start, np.maximum(end - 1, start))

    def _tcp(self) -> Flags:
        start, _ = self._cell(7)
        word = self._whole.at(start) & LOW_BYTES[4]
        udp, tcp = (word == np.uint64(int.from_bytes(text, "little")) for text in (b"udp ", b"tcp "))
        self._good &= udp | tcp
        return np.asarray(tcp)

    def _seconds(self) -> npt.NDArray[np.float64]:
        """`0.000123s`: one digit, a point, at most fifteen digits."""
        start, end = self._cell(14)
        decimals = end - start - 3
        self._good &= (decimals > 0) & (decimals <= 15)
        decimals = np.clip(decimals, 1, 15)
        self._good &= (self._whole.single[start + 1] == _DOT) & (self._whole.single[end - 1] == ord("s"))
        upper, lower = self._whole.wide(np.maximum(end - 16, 0), 2)
        value = self._digits_at_end((lower << _BYTE) | (upper >> np.uint64(56)), np.minimum(decimals, 8))
        if (decimals > 8).any():
            value += 100_000_000 * self._digits_at_end(upper << _BYTE, np.maximum(decimals - 8, 0))
        whole = self._whole.single[start].astype(np.int64) - 48
        self._good &= (whole >= 0) & (whole <= 9)
        value += whole * _TENS[decimals]
        self._good &= value < _EXACT
        return np.asarray(value / _TENS[decimals])

    def _time(self) -> I64:
        """RFC 3339 with up to nine decimals, in UTC or with an offset, as microseconds since 1970."""
        start, end = self._begins, self._cells[0]
        length = end - start
        self._good &= length >= 20
        day, clock, rest, more = self._whole.wide(start, 4)
        seconds = self._seconds_of(day, clock, rest)
        utc = self._whole.single[end - 1] == ord("Z")
        if not utc.all():
            seconds -= self._offset(end, utc)
        decimals = length - np.where(utc, 21, 26)
        point = (rest >> np.uint64(24)) & np.uint64(0xFF) == _DOT
        self._good &= ((decimals > 0) & (decimals <= 9) & point) | (decimals == -1)
        mask = LOW_BYTES[_one_or_all(np.where(point, np.clip(decimals, 0, 6), 0))]
        fraction = (rest >> np.uint64(32)) | (more << np.uint64(32))
        micros = self._eight_digits((fraction & mask) | (_ZEROS & ~mask))
        return seconds * 1_000_000 + micros // 100

    def _seconds_of(self, day: U64, clock: U64, rest: U64) -> I64:
        """Seconds since 1970 of `2026-03-`, `14T09:00` and `:00`: told once for all lines of a second that follow each
        other."""
        fresh = np.ones(len(day), np.bool_)
        fresh[1:] = (day[1:] != day[:-1]) | (clock[1:] != clock[:-1]) | ((rest[1:] ^ rest[:-1]) & LOW_BYTES[3] != 0)
        first = np.flatnonzero(fresh)
        part = self._some(first)
        day, clock, rest = day[first], clock[first], rest[first]
        for word, shape in ((day, b"dddd-dd-"), (clock, b"ddTdd:dd"), (rest, b":dd")):
            part._shaped(word, shape)
        hour, minute, second = part._pair(clock, 3), part._pair(clock, 6), part._pair(rest, 1)
        part._good &= (hour < 24) & (minute < 60) & (second < 60)
        year = 100 * part._pair(day, 0) + part._pair(day, 2)
        days = part._days(10_000 * year + 100 * part._pair(day, 5) + part._pair(clock, 0))
        run = np.cumsum(fresh) - 1
        self._good &= part._good[run]
        return np.asarray((days * 86_400 + hour * 3600 + minute * 60 + second)[run])

    def _offset(self, end: I64, utc: Flags) -> I64:
        """Seconds east of UTC by `+01:00` at the end; lines that end otherwise are marked."""
        shift = np.zeros(len(end), np.int64)
        other = np.flatnonzero(~utc)
        if not len(other):
            return shift
        part = self._some(other)
        word = self._whole.at(end[other] - 6)
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


def _one_or_all(values: I64) -> I64 | np.int64:
    """One number where all are the same, as the lengths of times mostly are: what is made of it is made once."""
    first: np.int64 = values[0]
    return first if (values == first).all() else values


def _shifted(count: int, *words: U64) -> tuple[U64, U64]:
    """The first 16 bytes behind so many of those that lie in the words; of two words, fewer."""
    right, left = np.uint64(8 * count), np.uint64(64 - 8 * count)
    third = words[2] << left if len(words) > 2 else np.uint64(0)
    return (words[0] >> right) | (words[1] << left), (words[1] >> right) | third


_NO_DAY = np.iinfo(np.int64).min
_EPOCH = date(1970, 1, 1).toordinal()


def _day(number: int) -> int:
    try:
        return date(number // 10_000, number // 100 % 100, number % 100).toordinal() - _EPOCH
    except ValueError:
        return int(_NO_DAY)
