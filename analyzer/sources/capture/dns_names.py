"""Spells names from the wire: lower case, no final dot, escapes of RFC 1035 section 5.1, never a non-printable.

Case folds in ASCII only (RFC 4343). A dot or backslash inside a label is escaped, so that no two names look alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyzer import kernels
from analyzer.sources.capture.arrays import I64, U8, U64, gather, half_at
from analyzer.sources.capture.texts import Interner, pick

NAME_MOST = 255
"""Octets of a name with its length bytes (RFC 1035 section 2.3.4)."""
_SHORT, _LONG = 64, 256
_LABEL = 64
"""Octets of the longest label with its length byte."""
_UNPACKED = _LONG + _LABEL
"""Width of a row for one name without compression, and for a label copied whole at its end."""
_UNKNOWN, _NOWHERE = -1, -2
"""In the place of an id: of a name that was not met before, and of one that is not there. A kernel says the same."""
_TOGETHER = 1 << 14
"""Names that are unpacked at a time: a message of thousands of names costs no more memory."""


def _spelling() -> U8:
    table = np.zeros(256, np.uint8)
    plain = np.arange(0x21, 0x7F)
    table[plain] = plain
    table[ord("A") : ord("Z") + 1] += 32
    table[[ord("."), ord("\\")]] = 0
    return table


_TABLE = _spelling()


def spell_labels(labels: Sequence[bytes]) -> str:
    """One name from its labels; '' is the root."""
    return ".".join("".join(_spell_byte(byte) for byte in label) for label in labels)


def _spell_byte(byte: int) -> str:
    if _TABLE[byte]:
        return chr(int(_TABLE[byte]))
    return f"\\{chr(byte)}" if byte in b".\\" else f"\\{byte:03d}"


def _labels(wire: bytes) -> list[bytes]:
    labels, at = [], 0
    while at < len(wire) and wire[at]:
        labels.append(wire[at + 1 : at + 1 + wire[at]])
        at += 1 + wire[at]
    return labels


def _spell(keys: U64) -> pl.Series:
    """Texts of names whose wire form, ending in a zero byte, fills the rows."""
    wire = np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), -1)
    text = _TABLE[wire]
    rows, at = np.arange(len(wire)), np.zeros(len(wire), np.int64)
    length = np.zeros(len(wire), np.int64)
    while len(rows):
        step = wire[rows, at].astype(np.int64)
        text[rows, at] = ord(".")
        length[rows[step == 0]] = at[step == 0]
        rows, at = rows[step > 0], (at + 1 + step)[step > 0]
    column = np.arange(wire.shape[1])[None, :]
    inside = (column > 0) & (column < length[:, None])
    odd = np.flatnonzero(((text == 0) & inside).any(axis=1))
    out = _strings(text[inside], np.maximum(length - 1, 0))
    if len(odd):
        out = out.scatter(odd, [spell_labels(_labels(wire[row].tobytes())) for row in odd.tolist()])
    return out


def _strings(data: U8, lengths: I64) -> pl.Series:
    ends = np.cumsum(lengths)
    # A line break never stands in a spelled name: one text of all of them, split once.
    lines = np.insert(data, ends[:-1], ord("\n")) if len(lengths) else data
    return pl.Series([lines.tobytes().decode("ascii")]).str.split("\n").explode().head(len(lengths))


class Names:
    """Texts of names that stand in a window. One thread at a time looks them up."""

    def __init__(self) -> None:
        # The first text is the one of a name that is not there.
        self._short = Interner(_SHORT // 8, _spell, pl.Series([None], dtype=pl.String))
        self._long = Interner(_LONG // 8, _spell)
        self._lock = Lock()

    def texts(self, data: U8, at: I64, length: I64) -> pl.Series:
        """Texts of uncompressed names of `length` octets (with the final zero) at these places; null where `at` < 0."""
        with self._lock:
            return self._texts(data, at, length)

    def _texts(self, data: U8, at: I64, length: I64) -> pl.Series:
        self._short.forget()
        self._long.forget()
        ids = np.empty(len(at), np.int64)
        missing = kernels.call("names_known", data, at, length, *self._short.table, *self._long.table, ids)
        if missing is None:
            ids = np.where(at >= 0, _UNKNOWN, _NOWHERE)
        if missing != 0:
            new = np.flatnonzero(ids == _UNKNOWN)
            short, long = new[length[new] <= _SHORT], new[length[new] > _SHORT]
            ids[short] = self._short.ids(_keys(data, at[short], length[short], _SHORT))
            ids[long] = self._long.ids(_keys(data, at[long], length[long], _LONG))
        if not len(self._long.texts):
            return pick(self._short.texts, np.maximum(ids, 0, out=ids))
        ids[(ids >= 0) & (length > _SHORT)] += len(self._short.texts)
        np.maximum(ids, 0, out=ids)
        return pick(pl.concat([self._short.texts, self._long.texts]).rechunk(), ids)

    def packed(self, data: U8, at: I64, start: I64) -> pl.Series:
        """Texts of names at these places that may be compressed; `start` is where the message of each begins.

        The names must have been checked: every pointer leads backwards, no name is too long.
        """
        parts = []
        for first in range(0, len(at), _TOGETHER):
            some = slice(first, first + _TOGETHER)
            wire, length = _unpacked(data, at[some], start[some])
            parts.append(self.texts(wire.reshape(-1), np.arange(len(length)) * _UNPACKED, length))
        return pl.concat(parts) if parts else pl.Series([], dtype=pl.String)


def _unpacked(data: U8, at: I64, start: I64) -> tuple[U8, I64]:
    """Names without compression, one in a row, and their lengths with the final zero."""
    wire = np.zeros((len(at), _UNPACKED), np.uint8)
    places: NDArray[Any] = np.ndarray((wire.size - _LABEL + 1,), f"V{_LABEL}", wire, strides=(1,))
    rows, here, length = np.arange(len(at)), at.copy(), np.zeros(len(at), np.int64)
    while len(rows):
        place = here[rows]
        byte = data[place].astype(np.int64)
        pointer = byte >= 192
        jump = rows[pointer]
        here[jump] = start[jump] + (half_at(data, place[pointer]) & 0x3FFF)
        label = rows[~pointer]
        # A label is copied with what follows it; the next one overwrites that.
        places[label * _UNPACKED + length[label]] = gather(data, place[~pointer], _LABEL).view(places.dtype)[:, 0]
        here[label] += byte[~pointer] + 1
        length[label] += byte[~pointer] + 1
        rows = rows[byte > 0]
    return wire, length


_MASKS = {
    width: np.where(np.arange(width) < np.arange(width + 1)[:, None], 0xFF, 0).astype(np.uint8).view(np.uint64)
    for width in (_SHORT, _LONG)
}
"""For each length of a name the mask of its octets."""


def _keys(data: U8, at: I64, length: I64, width: int) -> U64:
    """The names' octets, zero behind their end, as rows of 64-bit words."""
    keys = gather(data, at, width).view(np.uint64)
    keys &= _MASKS[width].take(length, axis=0)
    return keys
