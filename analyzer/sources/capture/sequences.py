"""Which messages of a direction are new: neither sent again nor bytes of the body of the message before."""

from __future__ import annotations

import numpy as np
import polars as pl
from msgspec import Struct, field

from analyzer.sources.capture.arrays import I64, U64, Flags
from analyzer.sources.capture.texts import equal_rows, mixed

REMEMBERED_MOST = 1 << 15
"""Messages that the next window's are compared with; what is sent again comes within seconds."""

_ROUND = 1 << 32


class _Messages(Struct, frozen=True):
    """Direction of each message, and where in it the message begins; lengths of its head and of all of it."""

    ends: U64
    seq: I64
    head: I64
    length: I64

    def at(self, rows: I64) -> _Messages:
        return _Messages(self.ends[rows], self.seq[rows], self.head[rows], self.length[rows])


class Sequences(Struct):
    """Goes from window to window. Copies at other interfaces are no concern of it."""

    _known: _Messages | None = field(default=None)

    def fresh(self, rows: pl.DataFrame) -> Flags:
        """Which of the rows, in file order, are new."""
        out = np.ones(rows.height, bool)
        own = np.flatnonzero(~rows["duplicate"].to_numpy())
        both, before = _messages(rows).at(own), 0
        if self._known is not None:
            both, before = _both(self._known, both), len(self._known.seq)
        old = _old(both)
        kept = np.flatnonzero(~old)
        self._known = both.at(kept[-REMEMBERED_MOST:])
        out[own] = ~old[before:]
        return out


def _messages(rows: pl.DataFrame) -> _Messages:
    version, src, dst = (rows[name].to_numpy().astype(np.uint64) for name in ("version", "src_port", "dst_port"))
    ports = version << np.uint64(32) | src << np.uint64(16) | dst
    words = [*(rows[name].to_numpy() for name in ("src_high", "src_low", "dst_high", "dst_low")), ports]
    numbers = (rows[name].cast(pl.Int64).to_numpy() for name in ("seq", "head", "length"))
    return _Messages(np.column_stack(words), *numbers)


def _both(first: _Messages, then: _Messages) -> _Messages:
    names = ("ends", "seq", "head", "length")
    return _Messages(*(np.concatenate([getattr(first, name), getattr(then, name)]) for name in names))


def _old(told: _Messages) -> Flags:
    """Messages that begin where another of their direction began, or inside the body of one before them."""
    order = np.argsort(mixed(told.ends), kind="stable")
    here = told.at(order)
    new = np.ones(len(order), bool)
    new[1:] = ~equal_rows(here.ends[1:], here.ends[:-1])
    out = np.zeros(len(order), bool)
    if not new.all():
        group = np.cumsum(new) - 1
        start = np.flatnonzero(new)[group]
        again = _again(group, here.seq)
        # A look-alike in a body claims a body too: look once more without those that the first look found.
        inside = _inside(here, start, again)
        out[order] = again | _inside(here, start, again | inside)
    return out


def _again(group: I64, seq: I64) -> Flags:
    """Rows whose sequence number an earlier row of their group has."""
    value = (group << 32) | seq
    order = np.argsort(value, kind="stable")
    out = np.zeros(len(group), bool)
    out[order[1:]] = value[order[1:]] == value[order[:-1]]
    return out


def _inside(here: _Messages, start: I64, out: Flags) -> Flags:
    """Rows that begin inside the body of the last message before them, those that are `out` not asked."""
    claims = (here.length > here.head) & ~out
    index = np.arange(len(out))
    last = np.maximum.accumulate(np.where(claims, index, -1))
    last = np.concatenate([[-1], last[:-1]])
    known = last >= start
    past = (here.seq - here.seq[last]) % _ROUND
    found: Flags = known & (past > here.head[last]) & (past < here.length[last])
    return found
