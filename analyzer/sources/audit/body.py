"""Cuts request and response bodies out of audit lines before they are decoded, and says how long they were.

At level RequestResponse bodies are nine tenths of the log, and few of them tell anything (`objects.py`): these are
found again by their places, the others are never decoded.
kube-apiserver writes the fields in the order of its Go struct, bodies last but for the times and annotations, and
quotes inside JSON strings are escaped, so the marks below cannot lie inside a string. They can lie inside a body that
holds such a field itself; then the cut leaves braces that do not match, the line fails to decode and is decoded whole.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from analyzer.sources.audit.split import nesting

HEAD = b'{"kind":"Event","apiVersion":"audit.k8s.io/'
REQUEST = b',"requestObject":'
RESPONSE = b',"responseObject":'
AFTER = b',"requestReceivedTimestamp":"'
WITHOUT_RESPONSE = b'"level":"Request",'

Sizes = npt.NDArray[np.int64]

Bodies = Callable[[int], tuple[bytes, bytes]]
"""The request and the response body of an event by its place, b"" where there is none."""


class Cut(Struct, frozen=True):
    """Where the bodies of each line of `data` were cut, and the bytes cut as request and as response; 0 if none."""

    data: bytes
    marks: Sizes
    request: Sizes
    response: Sizes

    def bodies(self, line: int) -> tuple[bytes, bytes]:
        """The request and the response body of that line, b"" where there is none."""
        start = int(self.marks[line])
        middle = start + int(self.request[line])
        end = middle + int(self.response[line])
        return self.data[start + len(REQUEST) : middle], self.data[middle + len(RESPONSE) : end]

    def left(self, starts: Sizes, ends: Sizes) -> tuple[Sizes, Sizes]:
        """Where the lines that lay there begin and end in what was left of the window."""
        gone = np.cumsum(self.request + self.response)
        return starts - np.append(0, gone[:-1]), ends - gone


def cut(data: bytes, starts: Sizes, ends: Sizes) -> tuple[bytes, Cut]:
    """The window without the bodies that could be cut, and what was cut.

    `starts` and `ends` are where the lines of `data` begin and end. Lines that are not in the apiserver's own order are
    left as they are.
    """
    request, response, marks = np.zeros((3, len(starts)), np.int64)
    parts: list[memoryview] = []
    view, kept = memoryview(data), 0
    at_request, at_response = data.find(REQUEST), data.find(RESPONSE)
    while at_request >= 0 or at_response >= 0:
        mark = min(at for at in (at_request, at_response) if at >= 0)
        line = int(np.searchsorted(starts, mark, "right")) - 1
        start, end = int(starts[line]), int(ends[line])
        after = data.rfind(AFTER, mark, end) if data.startswith(HEAD, start) else -1
        if after >= 0 and (sizes := _sizes(data, start, mark, after)):
            parts.append(view[kept:mark])
            kept = after
            marks[line] = mark
            request[line], response[line] = sizes
        if 0 <= at_request < end:
            at_request = data.find(REQUEST, end)
        if 0 <= at_response < end:
            at_response = data.find(RESPONSE, end)
    return (b"".join([*parts, view[kept:]]) if parts else data), Cut(data, marks, request, response)


def excise(line: bytes) -> tuple[bytes, int, int]:
    """One event without its bodies, wherever they stand, and the bytes of each; slower than `cut`, by the brackets."""
    places, depths = nesting(line)
    sizes = {REQUEST: 0, RESPONSE: 0}
    gone: list[tuple[int, int]] = []
    for mark in sizes:
        at = line.find(mark)
        while at >= 0:
            before = int(np.searchsorted(places, at))
            outer = np.flatnonzero(depths[before:] == 1)
            if before and depths[before - 1] == 1 and len(outer):
                end = int(places[before + int(outer[0])]) + 1
                sizes[mark] = end - at
                gone.append((at, end))
                break
            at = line.find(mark, at + 1)
    for at, end in sorted(gone, reverse=True):
        line = line[:at] + line[end:]
    return line, sizes[REQUEST], sizes[RESPONSE]


def _sizes(data: bytes, start: int, mark: int, after: int) -> tuple[int, int] | None:
    """How the bytes from the first mark to the time divide; None where a body holds the mark of another."""
    if data.startswith(RESPONSE, mark):
        return 0, after - mark
    second = data.find(RESPONSE, mark, after)
    if second < 0 or data.find(WITHOUT_RESPONSE, start, start + 120) >= 0:
        return after - mark, 0
    if data.find(RESPONSE, second + 1, after) >= 0:
        return None
    return second - mark, after - second
