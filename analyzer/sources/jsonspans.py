"""JSON texts by compiled kernels: where the values of a few keys lie, which of them differ, and columns of them.

A span is where a text lies in `data`: its start in the low half of 64 bits, its length in the high one; a length of 0
says that there is none. Everything here returns None where the kernels are not there or refuse, which they do at all
that is not plain JSON (`analyzer/kernels/src/json.rs`); the caller then decodes the same texts by msgspec.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from analyzer import kernels
from analyzer.sources.views import views

Spans = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]

LARGEST = 1 << 31
"""Bytes of `data` from which spans and views (Arrow's are signed) have no room."""

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFF_FFFF)
_SLACK = 16
"""Bytes that are copied eight at a time may reach over the end."""

_SEED = secrets.randbits(64)
"""Whoever writes the evidence must not know which texts collide."""


def spans_of(starts: Places, ends: Places) -> Spans:
    """The spans of the texts that lie there."""
    return starts.astype(np.uint64) | (ends - starts).astype(np.uint64) << _HALF


def lengths(spans: Spans) -> Places:
    """The length of each text."""
    return (spans >> _HALF).astype(np.int64)


def texts(data: bytes, spans: Spans) -> list[bytes]:
    """The texts themselves: for the few that differ."""
    starts = (spans & _LOW).astype(np.int64)
    return [data[start:end] for start, end in zip(starts.tolist(), (starts + lengths(spans)).tolist(), strict=True)]


def scan(data: bytes, objects: Spans, names: Sequence[str]) -> Spans | None:
    """A row of spans for each name: the values that it has in the objects, each of which is one text; what is no text
    has no values. None also where a text is not exactly one object, or has one of the keys twice."""
    if len(data) >= LARGEST:
        return None
    found = np.zeros((len(names), len(objects)), np.uint64)
    keys = np.frombuffer("".join(f"{name}\n" for name in names).encode(), np.uint8)
    done = kernels.call("json_scan", _bytes(data), objects, keys, found)
    return found if done == len(objects) else None


def distinct(data: bytes, spans: Spans) -> tuple[Codes, Codes] | None:
    """For each text its number among those that differ, in the order in which they first come; and where that was."""
    codes, firsts = np.empty((2, len(spans)), np.uint32)
    count = kernels.call("distinct_texts", _bytes(data), spans, codes, firsts, _SEED)
    return None if count is None else (codes, firsts[:count])


def strings(data: bytes, spans: Spans, *, only_told: bool = False) -> pl.Series | None:
    """A column of the strings; null where there is none, for `null`, and with `only_told` for an empty text. None also
    where a value is no string."""
    words, valid = np.zeros((len(spans), 2), np.uint64), np.zeros((len(spans) + 7) // 8, np.uint8)
    room = np.empty(int(lengths(spans).sum()) + _SLACK, np.uint8)
    taken = kernels.call("json_strings", _bytes(data), spans, words, valid, room, int(only_told))
    return None if taken is None else views(room[:taken], words, valid)


def moments(data: bytes, spans: Spans) -> Places | None:
    """Microseconds since 1970. None also where a value is not a string as "2006-01-02T15:04:05.000000Z"."""
    micros = np.empty(len(spans), np.int64)
    return None if kernels.call("json_moments", _bytes(data), spans, micros) is None else micros


def _bytes(data: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)
