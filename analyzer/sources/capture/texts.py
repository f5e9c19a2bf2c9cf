"""Texts of addresses and names: each distinct key is spelled once, rows only point at the text."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyzer import kernels
from analyzer.sources.capture.arrays import I64, U8, U64, Flags, run_starts

NO_TEXTS = pl.Series([], dtype=pl.String)
_SLOT_BITS = 17
_TEXTS_MOST = 1 << 16
"""Texts remembered from window to window; beyond it the memory starts anew, so that it stays bounded."""
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5] * 8, np.uint64)

_ALL = np.uint64(0x0101010101010101)
"""Eight true flags side by side."""


def mixed(keys: U64) -> U64:
    """A 64-bit hash of each row of an (N, words) matrix. Not secret: equal hashes must be checked for equal keys."""
    total = np.zeros(len(keys), np.uint64)
    for word in range(keys.shape[1]):
        total ^= keys[:, word]
        total *= _MIX[word % len(_MIX)]
        total ^= total >> np.uint64(29)
    return total


def equal_rows(left: U64, right: U64) -> Flags:
    """Which rows of two (N, words) matrices are equal; NumPy's own all(axis=1) is slow on short rows."""
    same = left == right
    width = same.shape[1]
    if width % 8 == 0 and same.flags.c_contiguous:
        # Eight answers at a time, as one word.
        same, width = same.view(np.uint64) == _ALL, width // 8
    out: Flags = same[:, 0].copy()
    for word in range(1, width):
        out &= same[:, word]
    return out


def indices(places: NDArray[Any]) -> pl.Series:
    """Places in the one type that polars takes as it is."""
    return pl.Series(places.astype(np.uint32, copy=False))


def pick(texts: pl.Series, places: NDArray[Any]) -> pl.Series:
    """The texts at these places. Indexing is eager; Series.gather would plan a query first."""
    return texts[indices(places)]


class Interner:
    """Small ids for equal keys of a fixed number of 64-bit words; `texts` holds the text of each id.

    A direct-mapped table remembers keys: one gather and one comparison per row find all keys seen before. `first` are
    texts that no key has.
    """

    def __init__(self, width: int, spell: Callable[[U64], pl.Series], first: pl.Series = NO_TEXTS) -> None:
        self._spell = spell
        self._first = first
        self._keys = np.zeros((1 << _SLOT_BITS, width), np.uint64)
        self._ids = np.full(1 << _SLOT_BITS, -1, np.int64)
        self.texts = first

    @property
    def table(self) -> tuple[U64, I64]:
        """What a kernel looks keys up in: the keys of the slots, and their ids."""
        return self._keys.reshape(-1), self._ids

    def forget(self) -> None:
        """Start anew if too much is remembered. Ids given before are void afterwards."""
        if len(self.texts) > _TEXTS_MOST:
            self._ids[:] = -1
            self.texts = self._first

    def ids(self, keys: U64) -> I64:
        """The id of each row's key."""
        mix = mixed(keys)
        first = (mix >> np.uint64(64 - _SLOT_BITS)).view(np.int64)
        out = self._found(first, keys)
        missing = np.flatnonzero(out < 0)
        if len(missing):
            second = (mix[missing] & np.uint64((1 << _SLOT_BITS) - 1)).astype(np.int64)
            out[missing] = self._found(second, keys[missing])
            missing = missing[out[missing] < 0]
        if len(missing):
            out[missing] = self._learn(keys[missing], mix[missing], first[missing])
        return out

    def _found(self, slot: I64, keys: U64) -> I64:
        out = self._ids.take(slot)
        if not (same := equal_rows(self._keys.take(slot, axis=0), keys)).all():
            out[~same] = -1
        return out

    def _learn(self, keys: U64, mix: U64, slot: I64) -> I64:
        """Ids of keys not seen before. A key goes to its first slot, or to its second if that one is taken."""
        one, group = _distinct(keys, mix)
        fresh = keys[one]
        new = np.arange(len(self.texts), len(self.texts) + len(fresh))
        self.texts = pl.concat([self.texts, self._spell(fresh)]).rechunk()
        second = (mix[one] & np.uint64((1 << _SLOT_BITS) - 1)).astype(np.int64)
        for slots in (np.where(self._ids[slot[one]] < 0, slot[one], second), second):
            # Of several new keys for one slot the last stays; the others get their second chance.
            lost = self._ids[slots] != new
            lost &= ~self._holds(slot[one], fresh)
            self._keys[slots[lost]] = fresh[lost]
            self._ids[slots[lost]] = new[lost]
        return new[group]

    def _holds(self, slot: I64, keys: U64) -> Flags:
        return self._found(slot, keys) >= 0


def _distinct(keys: U64, mix: U64) -> tuple[I64, I64]:
    """Place of the first of each distinct key, and the group of each row."""
    order = np.argsort(mix, kind="stable")
    starts = run_starts(mix[order])
    first, group = order[starts], np.empty(len(mix), np.int64)
    group[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(mix)))
    if not equal_rows(keys[first[group]], keys).all():
        _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return first, group.reshape(-1)


_OCTETS = pl.Series([str(octet) for octet in range(256)])


def _spell4(keys: U64) -> pl.Series:
    value = keys[:, 0].astype(np.uint32)
    parts = {f"o{place}": pick(_OCTETS, (value >> np.uint32(24 - 8 * place)) & 0xFF) for place in range(4)}
    return pl.DataFrame(parts).select(pl.concat_str(list(parts), separator=".").alias("t"))["t"]


def _spell6(keys: U64) -> pl.Series:
    packed = np.ascontiguousarray(keys.astype(">u8")).view(np.uint8).reshape(-1, 16)
    return pl.Series([_text6(IPv6Address(row.tobytes())) for row in packed], dtype=pl.String)


def _text6(address: IPv6Address) -> str:
    """RFC 5952, section 5: a mapped address ends in dots. Python writes it so from 3.13 on only."""
    return f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else str(address)


class Addresses:
    """Canonical texts of IPv4 and IPv6 addresses (RFC 5952 for the latter). One thread at a time looks them up."""

    def __init__(self) -> None:
        self._four = Interner(1, _spell4)
        self._six = Interner(2, _spell6)
        self._lock = Lock()

    def texts(self, six: Flags, high: U64, low: U64) -> pl.Series:
        """The text of each address; `six` says which are IPv6, an IPv4 address is in the low word."""
        with self._lock:
            return self._texts(six, high, low)

    def ends(self, version: U8, rows: I64, src: tuple[U64, U64], dst: tuple[U64, U64]) -> tuple[pl.Series, pl.Series]:
        """The texts of sources and destinations of these frames, whose addresses are in upper and lower words."""
        with self._lock:
            self._four.forget()
            self._six.forget()
            ids = np.empty((2, len(rows)), np.uint32)
            fours, words = self._four.texts, (np.ascontiguousarray(version), rows, *src, *dst)
            missing = kernels.call("packet_ends", *words, *self._four.table, *self._six.table, ids, len(fours))
            if missing != 0:
                six = version[rows] == 6
                return self._texts(six, src[0][rows], src[1][rows]), self._texts(six, dst[0][rows], dst[1][rows])
            texts = pl.concat([fours, self._six.texts]).rechunk() if len(self._six.texts) else fours
        # What was found stays as it is, whatever others learn.
        return texts[pl.Series(ids[0])], texts[pl.Series(ids[1])]

    def _texts(self, six: Flags, high: U64, low: U64) -> pl.Series:
        self._four.forget()
        self._six.forget()
        six, high, low = np.ascontiguousarray(six), np.ascontiguousarray(high), np.ascontiguousarray(low)
        ids = np.empty(len(low), np.int64)
        missing = kernels.call(
            "addresses_known", six.view(np.uint8), high, low, *self._four.table, *self._six.table, ids
        )
        if missing is None:
            ids[:] = -1
        if missing != 0:
            new = np.flatnonzero(ids < 0)
            four, other = new[~six[new]], new[six[new]]
            ids[four] = self._four.ids(low[four, None])
            ids[other] = self._six.ids(np.column_stack([high[other], low[other]]))
        if not six.any():
            return pick(self._four.texts, ids)
        ids[six] += len(self._four.texts)
        return pick(pl.concat([self._four.texts, self._six.texts]).rechunk(), ids)
