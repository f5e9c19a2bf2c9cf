"""Cuts a JSON document into the objects it is made of, window by window, without decoding it.

For what is not one event a line: EventList objects, arrays, and pretty-printed events. Cost is linear in the bytes and
memory is one window plus one element.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, repeat

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from analyzer.sources.audit.around import Around
from analyzer.sources.contract import Ledger
from analyzer.sources.textwindow import LINE_LIMIT

DAMAGES = 100
"""Times that reading goes on behind damage; each costs a pass over the rest of the window."""

_DELTA = np.zeros(256, np.int8)
_DELTA[[ord("{"), ord("[")]] = 1
_DELTA[[ord("}"), ord("]")]] = -1

_QUOTE, _BACKSLASH, _NEWLINE = 34, 92, 10

Positions = npt.NDArray[np.int64]


class Element(Struct, frozen=True):
    """One object with its 1-based place among its like, and the physical line on which it begins. `around`: the
    document in whose list it lies, with that list empty; only where that was asked for."""

    ordinal: int
    line: int
    data: bytes
    around: bytes = b""


class Splitter(Struct):
    """Gives the values that open at nesting `base`: 0 for a series of values, 1 inside an array, 2 in items.

    With `around` each element is given what stands around its list.
    """

    base: int
    depth: int = 0
    quoted: bool = False
    line: int = 1
    ordinal: int = 0
    start_line: int = 1
    held_back: bytes = b""
    open_parts: list[bytes] = field(default_factory=list)
    open_bytes: int = 0
    damaged: bool = False
    rest: bytes = b""
    around: Around | None = None

    @property
    def unfinished(self) -> bool:
        return bool(self.open_parts) or self.quoted

    def swallowed(self, opening: bytes) -> bool:
        """Whether the element that was never finished seems to hold the next ones."""
        return bool(opening) and any(part.find(opening, index == 0) >= 0 for index, part in enumerate(self.open_parts))

    def feed(self, chunk: bytes) -> list[Element]:
        """The elements that end in this chunk. At damage `damaged` is set, and `rest` is what follows."""
        data = self.held_back + chunk
        self.rest = b""
        # a run of backslashes may go on in the next chunk, so its parity is not known yet
        whole = len(data.rstrip(b"\\"))
        data, self.held_back = data[:whole], data[whole:]
        if not data or self.damaged:
            return []
        codes = np.frombuffer(data, np.uint8)
        quotes, newlines = _quotes(codes), np.flatnonzero(codes == _NEWLINE)
        places = np.flatnonzero(_DELTA[codes])
        places = places[(np.searchsorted(quotes, places) + self.quoted) % 2 == 0]
        depths = self.depth + np.cumsum(_DELTA[codes[places]], dtype=np.int64)
        # JSON strings hold no raw newline, nothing closes what was not opened, and no quote is escaped outside a string
        broken = newlines[(np.searchsorted(quotes, newlines) + self.quoted) % 2 == 1]
        turned = places[codes[np.minimum(places + 1, len(codes) - 1)] == _BACKSLASH]
        wrong = np.concatenate([broken[:1], places[depths < 0][:1], turned[:1]])
        everything = data
        if len(wrong):
            self.damaged, end = True, int(wrong.min())
            self.rest, data = data[end:], data[:end]
            quotes, newlines = quotes[quotes < end], newlines[newlines < end]
            places, depths = places[places < end], depths[places < end]
        found = self._cut(data, places, depths, newlines)
        if self.damaged and self.base and not self.open_parts:
            # what follows the last element may have been taken for text
            ends = places[(_DELTA[codes[places]] < 0) & (depths == self.base)]
            behind = int(ends[-1]) + 1 if len(ends) else 0
            self.rest, newlines = everything[behind:], newlines[newlines < behind]
        self.depth = int(depths[-1]) if len(depths) else self.depth
        self.quoted = bool((len(quotes) + self.quoted) % 2)
        self.line += len(newlines)
        return found

    def _cut(self, data: bytes, places: Positions, depths: Positions, newlines: Positions) -> list[Element]:
        opening = _DELTA[np.frombuffer(data, np.uint8)[places]] > 0
        begins = places[opening & (depths == self.base + 1)]
        ends = places[~opening & (depths == self.base)] + 1
        lines = self.line + np.searchsorted(newlines, begins)
        found: list[Element] = []
        told: Iterator[bytes] = repeat(b"")
        if self.around is not None:
            told = iter(self.around.of(data, places, opening, depths))
        if self.open_parts:
            if not len(ends):
                self._hold(data)
                return []
            self.ordinal += 1
            whole = b"".join([*self.open_parts, data[: ends[0]]])
            found.append(Element(self.ordinal, self.start_line, whole, next(told)))
            self.open_parts, self.open_bytes, ends = [], 0, ends[1:]
        for begin, end, line in zip(begins.tolist(), ends.tolist(), lines.tolist(), strict=False):
            self.ordinal += 1
            found.append(Element(self.ordinal, line, data[begin:end], next(told)))
        if len(begins) > len(ends):
            self.start_line = int(lines[-1])
            self._hold(data[int(begins[-1]) :])
        return found

    def _hold(self, data: bytes) -> None:
        self.open_parts.append(data)
        self.open_bytes += len(data)
        if self.open_bytes > LINE_LIMIT:
            self.damaged = True


def _quotes(codes: npt.NDArray[np.uint8]) -> Positions:
    """Places of the quotes that begin or end a string: those after an even run of backslashes."""
    quotes = np.flatnonzero(codes == _QUOTE)
    slashes = np.flatnonzero(codes == _BACKSLASH)
    if not len(slashes) or not len(quotes):
        return quotes
    order = np.arange(len(slashes))
    first = np.maximum.accumulate(np.where(np.diff(slashes, prepend=-2) != 1, order, 0))
    run = order - first + 1
    at = np.searchsorted(slashes, quotes - 1)
    behind = (at < len(slashes)) & (slashes[np.minimum(at, len(slashes) - 1)] == quotes - 1)
    escaped: npt.NDArray[np.bool_] = behind & (run[np.minimum(at, len(run) - 1)] % 2 == 1)
    plain: Positions = quotes[~escaped]
    return plain


def elements(
    chunks: Iterator[bytes], ledger: Ledger, base: int, around: Around | None = None
) -> Iterator[list[Element]]:
    """The elements of the whole document, a list for each window. Damage and a cut end are counted in the ledger.

    After damage a series of values goes on at the next line that begins with a brace, and a list at the next place
    that begins as its first element did, with the same key. Where there is none, the rest is left unread, which is
    noted.
    """
    splitter, damages, opening = Splitter(base, around=around), 0, b""
    found: list[Element] = []
    for chunk in chain(chunks, (None,)):
        if chunk is not None:
            found = splitter.feed(chunk)
            opening = opening or (_opening(found) if base else b"")
            yield found
        splitter.damaged |= chunk is None and splitter.swallowed(opening)
        while splitter.damaged:
            # an element that was closed too soon is counted by who decodes it
            if not (base and found and not splitter.open_parts and not _is_json(found[-1].data)):
                ledger.skip("damaged JSON", [splitter.start_line if splitter.open_parts else splitter.line])
            damages += 1
            if (base and not opening) or damages > DAMAGES:
                ledger.note(f"the JSON is damaged in line {splitter.line}: nothing after it could be read")
                return
            where = splitter.line
            splitter = _resume_in_list(splitter, chunks, opening) if base else _resume(splitter, chunks)
            if base and not splitter.rest:
                ledger.note(f"the JSON is damaged in line {where}: nothing after it could be read")
            found = splitter.feed(splitter.rest)
            yield found
            splitter.damaged |= chunk is None and splitter.swallowed(opening)
    if splitter.unfinished:
        ledger.tail()


_FIRST_KEY = re.compile(rb'[\[{]\s*(?:\{\s*)?"[^"\\]{1,64}"\s*:\s*(?:"Event"|"@timestamp"|"@message")?')


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def _opening(found: list[Element]) -> bytes:
    """How the elements of a list begin: with the brace and the first key of the first of them."""
    told = _FIRST_KEY.match(found[0].data) if found else None
    return told[0] if told else b""


def _resume_in_list(damaged: Splitter, chunks: Iterator[bytes], opening: bytes) -> Splitter:
    """A splitter that begins inside the list, where the next element seems to begin.

    A lost quote turns texts and structure round, so that the elements behind it were taken for a part of the damaged
    one: they are looked for in what was held of it.
    """
    held = b"".join(damaged.open_parts)
    data, line = held[1:] + damaged.rest + damaged.held_back, damaged.start_line if held else damaged.line
    while data:
        at = data.find(opening)
        if at >= 0:
            line += data.count(b"\n", 0, at)
            # which document the next element lies in is not known
            around = None if damaged.around is None else Around(depth=damaged.base)
            ordinal = damaged.ordinal + 1
            return Splitter(damaged.base, damaged.base, line=line, ordinal=ordinal, rest=data[at:], around=around)
        more = next(chunks, b"")
        keep = len(opening) - 1 if more else 0
        line += data.count(b"\n", 0, len(data) - keep)
        data = data[len(data) - keep :] + more
    return Splitter(0, line=line, ordinal=damaged.ordinal)


def _resume(damaged: Splitter, chunks: Iterator[bytes]) -> Splitter:
    """A splitter that begins at the next line after the damage that begins with a brace, holding that as its rest."""
    data, line = damaged.rest + damaged.held_back, damaged.line
    while data:
        at = data.find(b"\n{")
        if at >= 0:
            line += data.count(b"\n", 0, at) + 1
            return Splitter(0, line=line, ordinal=damaged.ordinal, rest=data[at + 1 :])
        line += data.count(b"\n", 0, len(data) - 1)
        more = next(chunks, b"")
        data = data[-1:] + more if more else b""
    return Splitter(0, line=line, ordinal=damaged.ordinal)


def nesting(data: bytes) -> tuple[Positions, npt.NDArray[np.int64]]:
    """Places of the brackets outside strings, and the nesting behind each."""
    codes = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(_DELTA[codes])
    places = places[np.searchsorted(_quotes(codes), places) % 2 == 0]
    return places, np.cumsum(_DELTA[codes[places]], dtype=np.int64)


def pieces(data: bytes) -> list[bytes]:
    """The top-level objects of one line that holds more than one; empty where its brackets do not match."""
    splitter = Splitter(0)
    found = splitter.feed(data)
    return [] if splitter.damaged or splitter.unfinished else [element.data for element in found]
