"""Newline-aligned windows over a byte stream: lines are never cut, never copied twice, and numbered from 1.

Text is made UTF-8 here: a byte order mark is taken off and UTF-16 is decoded, and documents that hold log lines are
made lines (`analyzer.sources.exports`), so that nobody behind this module has to think of them. Lines end at a line
feed and nowhere else; a carriage return before it belongs to the ending. Of a hole full of NULs, which a crash of a
node leaves in a file, one NUL stays; the others are counted.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from io import BytesIO
from itertools import chain

import numpy as np
import numpy.typing as npt
import polars as pl

from analyzer import kernels
from analyzer.sources.contract import ByteStream, Ledger
from analyzer.sources.exports import export_of
from analyzer.sources.textwindow import LINE_LIMIT, Window
from analyzer.sources.views import views

Numbers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

WINDOW = 8 << 20
"""Bytes per window; 8 to 16 MiB keeps columns in cache and memory flat."""

QUOTE_LIMIT = 2048
"""Bytes of one quoted line."""

_USUAL = 64
"""Bytes of a line; in logs with shorter ones the line feeds are looked for twice."""

HOLE = 64
"""NUL bytes in a row from which they are a hole: file systems leave whole blocks, text has none."""

_HOLE = re.compile(rb"\0{%d,}" % HOLE)
_NEWLINE, _RETURN = 10, 13
_VIEW_INLINE = 12
"""Strings up to this length lie inside their Arrow view itself (Arrow columnar format, variable-size binary view)."""

_MARKS = {codecs.BOM_UTF8: None, codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def windows(stream: ByteStream, ledger: Ledger, size: int = WINDOW, limit: int = LINE_LIMIT) -> Iterator[Window]:
    """All lines of the stream in order. A line over `limit` is skipped, counted and replaced by an empty line."""
    number = 1
    parts: list[bytes] = []
    held = 0
    dropping = False
    holes = _Holes()
    for chunk in _utf8_chunks(stream, ledger, size):
        if bytes(HOLE) in chunk:
            chunk = holes.closed(chunk, number)
        cut = chunk.rfind(b"\n")
        if dropping:
            first = chunk.find(b"\n")
            if first < 0:
                continue
            dropping = False
            ledger.skip("line too long", [number])
            chunk, cut = chunk[first:], cut - first
        if cut < 0:
            parts.append(chunk)
            held += len(chunk)
            if held > limit:
                parts, held, dropping = [], 0, True
                ledger.note(f"line {number} is longer than {limit >> 20} MiB and was left out")
            continue
        data = b"".join([*parts, memoryview(chunk)[: cut + 1]])
        rest = chunk[cut + 1 :]
        parts, held = ([rest], len(rest)) if rest else ([], 0)
        yield Window(number, data)
        number += newlines(data)
    holes.tell(ledger)
    if dropping:
        ledger.skip("line too long", [number])
    elif parts:
        yield Window(number, b"".join(parts))


def newlines(data: bytes) -> int:
    """How many line feeds these are."""
    codes = np.frombuffer(data, np.uint8)
    count = kernels.call("lines_ends", codes, np.empty(0, np.int64))
    # without kernels NumPy compares many bytes at a time; bytes.count takes six times as long
    return int(np.count_nonzero(codes == _NEWLINE)) if count is None else count


def line_ends(data: bytes) -> Numbers:
    """Where the line feeds are."""
    codes = np.frombuffer(data, np.uint8)
    places = np.empty(len(data) // _USUAL + 1, np.int64)
    count = kernels.call("lines_ends", codes, places)
    if count is None:
        return np.flatnonzero(codes == _NEWLINE)
    if count > len(places):
        places = np.empty(count, np.int64)
        kernels.call("lines_ends", codes, places)
    return places[:count]


def chunks(stream: ByteStream, ledger: Ledger, size: int = WINDOW) -> Iterator[bytes]:
    """The text of a document in chunks that end anywhere: it need not have lines; who reads it keeps what is open."""
    holes, number = _Holes(), 1
    for chunk in _utf8_chunks(stream, ledger, size, exports=False):
        yield holes.closed(chunk, number) if bytes(HOLE) in chunk else chunk
        number += newlines(chunk)
    holes.tell(ledger)


class _Holes:
    """Counts what NUL-filled holes take away."""

    def __init__(self) -> None:
        self._lost = self._count = self._first = 0

    def closed(self, chunk: bytes, number: int) -> bytes:
        """The chunk, which begins in that line, with one NUL for each hole."""
        made = _HOLE.sub(b"\0", chunk)
        if not self._count:
            found = _HOLE.search(chunk)
            self._first = number + chunk.count(b"\n", 0, found.start() if found else 0)
        self._lost += len(chunk) - len(made)
        self._count += 1
        return made

    def tell(self, ledger: Ledger) -> None:
        if self._lost:
            ledger.note(
                f"line {self._first}: {self._lost:,} NUL bytes stand where text was lost, as a crash of the node "
                "leaves them; they were left out"
            )


def quote_lines(stream: ByteStream, numbers: frozenset[int], most: int = QUOTE_LIMIT) -> dict[int, str]:
    """The text of the physical lines of those numbers, each cut at `most` bytes; invalid UTF-8 becomes U+FFFD."""
    wanted = sorted(numbers)
    found: dict[int, str] = {}
    for window in windows(stream, Ledger()):
        if len(found) == len(wanted):
            break
        starts, ends = _edges(window.data)
        for number in wanted[len(found) :]:
            at = number - window.first_number
            if at >= len(starts):
                break
            line = window.data[starts[at] : ends[at]]
            found[number] = line[:most].decode("utf-8", "replace").rstrip("\r")
    return found


def text_head(head: bytes, *, exports: bool = True) -> bytes:
    """The first bytes of an input as `windows` would give them: UTF-8 without a mark."""
    text = b"".join(_utf8_chunks(BytesIO(head), Ledger(), max(1, len(head)), guess=True, exports=exports))
    return _HOLE.sub(b"\0", text) if bytes(HOLE) in text else text


def line_frame(window: Window) -> pl.DataFrame:
    """The lines of a window as columns, blank ones left out.

    `number` Int64: physical line. `text` String: the line without its ending; invalid UTF-8 becomes U+FFFD, NUL bytes
    before the text (left by a power loss or a sparse copy) are taken off. `line_bytes` Int64: length with the ending.
    The text is not copied: it keeps the window alive.
    """
    data = window.data
    starts, ends = _edges(data)
    line_bytes = np.minimum(ends + 1, len(data)) - starts
    if not data.isascii():
        data, starts, ends = _valid(data, starts, ends)
    lengths = ends - starts
    buffer = np.frombuffer(data, np.uint8)
    if b"\r" in data:
        lengths = lengths - ((lengths > 0) & (buffer[np.maximum(ends - 1, 0)] == _RETURN))
    if b"\0" in data:
        starts, lengths = _without_nuls(buffer, starts, lengths)
    frame = pl.DataFrame(
        {
            "number": np.arange(window.first_number, window.first_number + len(starts), dtype=np.int64),
            "text": _text(data, buffer, starts, lengths),
            "line_bytes": line_bytes.astype(np.int64),
        },
        schema={"number": pl.Int64, "text": pl.String, "line_bytes": pl.Int64},
    )
    return frame.filter(pl.lit(pl.Series(lengths > 0)))


def physical_lines(window: Window) -> pl.Series:
    """The text of every line of a window, blank ones too: what stands at n is line `first_number` + n."""
    data = window.data if window.data.isascii() else window.data.decode("utf-8", "replace").encode()
    starts, ends = _edges(data)
    return _text(data, np.frombuffer(data, np.uint8), starts, ends - starts) if data else pl.Series(dtype=pl.String)


def line_places(window: Window) -> tuple[Numbers, Numbers]:
    """Physical number, and length with the ending, of every line that is not blank."""
    starts, ends = _edges(window.data)
    there = ends > starts
    line_bytes = np.minimum(ends + 1, len(window.data)) - starts
    numbers = np.arange(window.first_number, window.first_number + len(starts), dtype=np.int64)
    return (numbers, line_bytes) if there.all() else (numbers[there], line_bytes[there])


def ends_open(window: Window) -> bool:
    """True where the last line has no newline: the input was cut there or is still being written."""
    return not window.data.endswith(b"\n")


def _utf8_chunks(
    stream: ByteStream, ledger: Ledger, size: int, *, guess: bool = False, exports: bool = True
) -> Iterator[bytes]:
    """Chunks of about `size` bytes, in UTF-8, without a byte order mark, and of lines; of a document that breaks off
    before its first record ends, what can be had of that if `guess`."""
    chunks = _decoded_chunks(stream, ledger, size)
    first = next(chunks, b"")
    export = export_of(first) if exports else None
    if export is None:
        if first:
            yield first
        yield from chunks
        return
    ledger.note(f"{export.name}: its records are numbered in their order")
    given = False
    for chunk in chain([first], chunks):
        if made := export.feed(chunk):
            given = True
            yield made
    if rest := export.guess() if guess and not given else export.end(ledger):
        yield rest


def _decoded_chunks(stream: ByteStream, ledger: Ledger, size: int) -> Iterator[bytes]:
    """Chunks in UTF-8 and without a byte order mark."""
    chunk = _read_full(stream, size)
    mark = next((mark for mark in _MARKS if chunk.startswith(mark)), None)
    encoding = _bare_utf16(chunk) if mark is None else _MARKS[mark]
    chunk = chunk[len(mark or b"") :]
    if encoding is None:
        while chunk:
            yield chunk
            chunk = _read_full(stream, size)
        return
    ledger.note(f"{encoding.upper()} text was decoded")
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    while chunk:
        yield decoder.decode(chunk).encode("utf-8", "replace")
        chunk = _read_full(stream, size)
    if rest := decoder.decode(b"", final=True):
        yield rest.encode("utf-8", "replace")


def _bare_utf16(head: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of the first line's start is NUL."""
    first = head[:32]
    if len(first) < 32 or first.count(0) != 16:
        return None
    if not any(first[1::2]):
        return "utf-16-le"
    return "utf-16-be" if not any(first[::2]) else None


def _read_full(stream: ByteStream, size: int) -> bytes:
    """As many bytes as asked for, unless the stream ends: short reads would make many small windows."""
    chunk = stream.read(size)
    if not chunk or len(chunk) >= size:
        return chunk
    parts, held = [chunk], len(chunk)
    while held < size and (chunk := stream.read(size - held)):
        parts.append(chunk)
        held += len(chunk)
    return b"".join(parts)


def _edges(data: bytes) -> tuple[Numbers, Numbers]:
    """Start and end (at the newline) of every line."""
    ends = line_ends(data)
    if data and not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.empty_like(ends)
    starts[:1], starts[1:] = 0, ends[:-1] + 1
    return starts, ends


def _valid(data: bytes, starts: Numbers, ends: Numbers) -> tuple[bytes, Numbers, Numbers]:
    """The data if it is UTF-8, else repaired; a repair never touches a newline, so lines stay in step."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        data = data.decode("utf-8", "replace").encode("utf-8")
        starts, ends = _edges(data)
    return data, starts, ends


def _without_nuls(buffer: Bytes, starts: Numbers, lengths: Numbers) -> tuple[Numbers, Numbers]:
    """Move the start of lines that begin with NUL bytes to their text; a line of NULs alone keeps one of them."""
    begins = (lengths > 1) & (buffer[np.minimum(starts, len(buffer) - 1)] == 0)
    if not begins.any():
        return starts, lengths
    other = np.append(np.flatnonzero(buffer != 0), len(buffer))
    text = np.minimum(other[np.searchsorted(other, starts)], starts + lengths - 1)
    moved = np.where(begins, text - starts, 0)
    return starts + moved, lengths - moved


def _text(data: bytes, buffer: Bytes, starts: Numbers, lengths: Numbers) -> pl.Series:
    """Strings that point into the window instead of copying it (Arrow views: length, prefix, buffer, offset)."""
    made = np.zeros((len(starts), 4), np.uint32)
    made[:, 0] = lengths
    made[:, 3] = starts
    at = np.minimum(starts[:, None] + np.arange(4), len(buffer) - 1)
    made[:, 1] = buffer[at].view(np.uint32)[:, 0]
    short = np.flatnonzero(lengths <= _VIEW_INLINE)
    if len(short):
        place = np.arange(_VIEW_INLINE)
        letters = buffer[np.minimum(starts[short][:, None] + place, len(buffer) - 1)]
        letters = np.where(place < lengths[short][:, None], letters, 0).astype(np.uint8)
        made[short, 1:] = letters.view(np.uint32)
    return views(data, made.view(np.uint64))
