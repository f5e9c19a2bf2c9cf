"""Text that stands in a window at many places: taken out at once, without Python per text."""

from __future__ import annotations

import numpy as np
import polars as pl

from analyzer.sources.capture.arrays import I64, U8, padded
from analyzer.sources.capture.http_head import TEXT_MOST, printable

_ODD = np.ones(256, bool)
_ODD[0x20:0x7F] = False
LONG = 128
"""Bytes of a span from which on it is copied by itself."""
COMPACT_BELOW = 8
"""Spans that make up less than this part of a window are copied out before they are searched."""


def places(start: I64, length: I64) -> I64:
    """The offset of every byte of the spans, one span behind the other."""
    ends = np.cumsum(length)
    out: I64 = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(start - (ends - length), length)
    return out


def copied(data: U8, start: I64, length: I64) -> U8:
    """The spans one behind the other, padded. An index of every byte costs more than Python per span where spans are
    long."""
    if len(start) and int(length.sum()) > LONG * len(start):
        view = data.data
        ends = (start + length).tolist()
        return padded(b"".join(view[at:end] for at, end in zip(start.tolist(), ends, strict=True)))
    return padded(data[places(start, length)])


def compact(data: U8, start: I64, end: I64) -> tuple[U8, I64, I64]:
    """The spans in a buffer of their own where they are a small part of the window; else the window as it is."""
    length = end - start
    if not len(start) or int(length.sum()) * COMPACT_BELOW > len(data):
        return data, start, end
    ends = np.cumsum(length)
    return copied(data, start, length), ends - length, ends


def texts(data: U8, start: I64, length: I64, most: int = TEXT_MOST) -> pl.Series:
    """The text of each span up to `most` characters, octets that do not print as \\xNN; null where `start` < 0."""
    known = start >= 0
    if not known.all():
        out = pl.Series([None], dtype=pl.String).new_from_index(0, len(start))
        at = np.flatnonzero(known)
        return out.scatter(at, texts(data, start[at], length[at], most)) if len(at) else out
    if not len(start):
        return pl.Series([], dtype=pl.String)
    length = np.minimum(length, most)
    plain = data[places(start, length)]
    ends = np.cumsum(length)
    odd = np.flatnonzero(_ODD[plain])
    # A line break never stands in what prints: one text of all of them, split once.
    rows = np.unique(np.searchsorted(ends, odd, side="right")) if len(odd) else odd
    plain[odd] = ord("?")
    lines = np.insert(plain, ends[:-1], ord("\n"))
    out = pl.Series([lines.tobytes().decode("ascii")]).str.split("\n").explode().head(len(start))
    if len(rows):
        wild = [printable(data[start[row] : start[row] + length[row]].tobytes())[:most] for row in rows.tolist()]
        out = out.scatter(rows, wild)
    return out


def first_at_or_after(sorted_places: I64, at: I64) -> I64:
    """The first of the sorted places that is not before `at`; a place behind every window where there is none."""
    if not len(sorted_places):
        return np.full(len(at), FAR)
    found = np.searchsorted(sorted_places, at)
    return np.where(found < len(sorted_places), sorted_places[np.minimum(found, len(sorted_places) - 1)], FAR)


FAR = np.iinfo(np.int64).max // 2
"""A place that no window reaches."""
