"""JSON objects by compiled kernels: the values of a few keys of each as columns, without decoding the rest.

A span is where a text lies in `data`: its start in the low half of 64 bits, its length in the high one; a length of 0
says that there is none.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from enum import Enum

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from analyzer import kernels
from analyzer.sources.views import views

Words = npt.NDArray[np.uint64]
Spans = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]

LARGEST = 1 << 31
"""Bytes of `data` from which spans and views (whose places Arrow has signed) have no room."""

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFF_FFFF)
_SLACK = 16
"""Bytes that are copied eight at a time may reach over the end."""

_SEED = secrets.randbits(64)
"""Whoever writes the evidence must not know which texts collide."""


class Kind(Enum):
    """What is made of the values of a key; `columns.rs` says how."""

    PLAIN = b"p"
    """Their spans."""
    DISTINCT = b"d"
    """The texts that differ, and which each object has."""
    TEXT = b"t"
    """Strings."""
    TOLD = b"n"
    """Strings that are not empty."""
    MOMENT = b"m"
    """Times, of which every object must have one, as "2006-01-02T15:04:05.000000Z"."""


class Field(Struct, frozen=True):
    """The values of one key in `size` objects, in the `words` that the kernel made of them; it counted `count`."""

    data: bytes
    size: int
    words: Words
    count: int
    strung: npt.NDArray[np.uint8]

    @property
    def spans(self) -> Spans:
        """PLAIN: the spans."""
        return self.words

    def distinct(self) -> tuple[list[bytes], Codes]:
        """DISTINCT: the texts that differ, in the order in which they first come, b"" where there is none; and which of
        them each object has."""
        return texts(self.data, self.words[self.size :][: self.count]), self.words[: self.size].astype(np.uint32)

    def strings(self, name: str) -> pl.Series:
        """TEXT, TOLD: a column of that name; null where there is no string, and for `null`."""
        if not self.count:
            return pl.Series(name, [None], dtype=pl.String).new_from_index(0, self.size)
        pairs = 2 * self.size
        valid = None if self.count == self.size else self.words[pairs:].view(np.uint8)
        return views(self.strung, self.words[:pairs].reshape(-1, 2), valid).alias(name)

    def moments(self) -> Places:
        """MOMENT: microseconds since 1970."""
        return self.words.view(np.int64)


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


def fields(data: bytes, objects: Spans, keys: Mapping[str, tuple[str, Kind]]) -> dict[str, Field] | None:
    """The columns that `keys` names, each with its key and what is made of it.

    A text of no length has no values. None where the kernels are not there; where a text is not exactly one object, or
    has one of the keys twice; where a value is not of its kind; and where something is no plain JSON, or so unusual
    that decoders differ (`analyzer/kernels/src/json.rs`). The caller then decodes the same texts by msgspec.
    """
    if len(data) >= LARGEST:
        return None
    kinds = [kind for _, kind in keys.values()]
    ends = np.cumsum([_width(kind, len(objects)) for kind in kinds])
    words, counts = np.empty(int(ends[-1]), np.uint64), np.empty(len(keys), np.uint64)
    room = np.empty(len(data) + _SLACK, np.uint8)  # hardly any of it is ever touched
    names = _bytes("".join(f"{key}\n" for key, _ in keys.values()).encode())
    letters = _bytes(b"".join(kind.value for kind in kinds))
    taken = kernels.call("json_columns", _bytes(data), objects, names, letters, words, counts, room, _SEED)
    if taken is None:
        return None
    strung, parts = room[:taken].copy(), zip(keys, np.split(words, ends[:-1]), counts.tolist(), strict=True)
    return {name: Field(data, len(objects), part, count, strung) for name, part, count in parts}


def _width(kind: Kind, size: int) -> int:
    """Words of a column, as `columns.rs` counts them."""
    if kind in (Kind.PLAIN, Kind.MOMENT):
        return size
    return 2 * size + (0 if kind is Kind.DISTINCT else -(-size // 64))


def _bytes(data: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)
