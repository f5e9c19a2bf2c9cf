"""Newline-aligned windows over a byte stream: lines are never cut, never copied twice, and numbered from 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.sources.contract import ByteStream, Ledger

WINDOW = 8 << 20
"""Bytes per window; 8 to 16 MiB keeps columns in cache and memory flat."""

LINE_LIMIT = 64 << 20
"""Longest line that is kept. An honest audit line of 2 MB was recorded; beyond this a line is damage."""

QUOTE_LIMIT = 2048
"""Bytes of one quoted line."""


@dataclass(frozen=True, slots=True)
class Window:
    """Whole physical lines. `data` ends with a newline except at the very end of an input that has none."""

    first_number: int
    data: bytes


def windows(stream: ByteStream, ledger: Ledger, size: int = WINDOW, limit: int = LINE_LIMIT) -> Iterator[Window]:
    """All lines of the stream in order. A line over `limit` is skipped, counted and replaced by an empty line."""
    number = 1
    parts: list[bytes] = []
    held = 0
    dropping = False
    while chunk := stream.read(size):
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
        number += data.count(b"\n")
    if dropping:
        ledger.skip("line too long", [number])
    elif parts:
        yield Window(number, b"".join(parts))


def quote_lines(stream: ByteStream, numbers: frozenset[int]) -> dict[int, str]:
    """The text of the physical lines of those numbers, each cut at 2 KiB; invalid UTF-8 becomes U+FFFD."""
    wanted = sorted(numbers)
    found: dict[int, str] = {}
    for window in windows(stream, Ledger()):
        count = window.data.count(b"\n")
        here = [n for n in wanted if window.first_number <= n <= window.first_number + count]
        position, at = 0, window.first_number
        for number in here:
            while at < number:
                position = window.data.index(b"\n", position) + 1
                at += 1
            end = window.data.find(b"\n", position)
            line = window.data[position : end if end >= 0 else len(window.data)]
            if line or end >= 0:
                found[number] = line[:QUOTE_LIMIT].decode("utf-8", "replace").rstrip("\r")
        if len(found) == len(wanted):
            break
    return found
