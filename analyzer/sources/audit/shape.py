"""In which shape the events of an input lie: one a line, or inside a JSON document of many lines or one."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from analyzer.sources.audit.split import Element, elements
from analyzer.sources.contract import ByteStream, Ledger
from analyzer.sources.lines import WINDOW, text_head, windows

HEAD = 64 << 10
"""Bytes that decide the shape."""

DOCUMENT_LIMIT = 512 << 20
"""Longest line of a JSON document, which may have no line break at all; it is held in memory."""

LINES = -1
"""The shape of one event a line; the other shapes are the nesting at which the events of a document lie."""

_ITEMS = re.compile(rb'"items"\s*:\s*\[')
_BRACKETED = re.compile(rb"\[\[?\s*[0-9a-z]")
"""What kubectl's --prefix, a journal's monotonic time and Fluent Bit write before a line; no array of events."""

_OPENING = re.compile(rb'[\[{]\s*|[\[{]\s*"[^"]*"\s*:\s*[^\s].*')


class Ahead:
    """A stream whose first bytes have been looked at."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        parts, held = [], 0
        while held < HEAD and (part := stream.read(HEAD - held)):
            parts.append(part)
            held += len(part)
        self.head = b"".join(parts)
        self._rest = self.head

    def read(self, size: int) -> bytes:
        if self._rest:
            part, self._rest = self._rest[:size], self._rest[size:]
            return part
        return self._stream.read(size)


def shape_of(head: bytes) -> int:
    """LINES, 0 for events written over several lines, 1 for an array of events, 2 for the items of an EventList."""
    text = text_head(head).lstrip()
    first, _, rest = text.partition(b"\n")
    first = first.strip().rstrip(b",")
    if _BRACKETED.match(text):
        return LINES
    if text[:1] == b"[":
        alone = _whole(first) and first != b"[" and rest.lstrip()[:1] == b"{"
        return LINES if alone else 1
    if text[:1] != b"{":
        return LINES
    pretty = bool(_OPENING.fullmatch(first)) and bool(rest.strip()) and not _whole(first)
    if pretty or not rest.strip() or b'"EventList"' in first[:200]:
        if _first_list(text):
            return 2
        if pretty and rest.lstrip(b" \t\r\n")[:1] in (b'"', b"}"):
            return 0
    return LINES


def _whole(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _first_list(text: bytes) -> bool:
    """Whether the first object has a field `items` that is an array, by the brackets before it."""
    found = _ITEMS.search(text)
    if found is None:
        return False
    before = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", text[: found.start()])
    return before.count(b"{") + before.count(b"[") - before.count(b"}") - before.count(b"]") == 1


def document(stream: ByteStream, ledger: Ledger, base: int) -> Iterator[list[Element]]:
    """The elements of a document whose events lie at nesting `base`, in batches of a window."""
    chunks = (window.data for window in windows(stream, ledger, WINDOW, DOCUMENT_LIMIT))
    return elements(chunks, ledger, base)


def number_of(element: Element, base: int) -> int:
    """How an element is named: by its line where it has lines of its own, by its place in a list."""
    return element.ordinal if base else element.line
