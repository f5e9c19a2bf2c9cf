"""Fragments of IP packets: counted, never put together. A first fragment without any other is incomplete."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analyzer.sources.capture.arrays import I64, U64, no_offsets
from analyzer.sources.capture.layers import FIRST, LATER, Headers
from analyzer.sources.capture.window import Window
from analyzer.sources.contract import Ledger

HELD_MOST = 1 << 20
"""First fragments that wait for another; more are taken for used."""


@dataclass(slots=True)
class Fragments:
    """Goes from window to window: the fragments of a packet may be far apart."""

    ledger: Ledger
    _first: list[U64] = field(default_factory=list)
    _numbers: list[I64] = field(default_factory=list)
    _later: list[U64] = field(default_factory=list)
    _held: int = 0

    def take(self, window: Window, head: Headers, rows: I64) -> I64:
        """The frames whose ledger entry waits: first fragments."""
        pieces: I64 = rows[head.fragment[rows] != 0]
        first: I64 = pieces[head.fragment[pieces] == FIRST]
        later: I64 = pieces[head.fragment[pieces] == LATER]
        if self._held + len(pieces) > HELD_MOST:
            return no_offsets()
        self._held += len(pieces)
        if len(first):
            self._first.append(_keys(head, first))
            self._numbers.append(window.number[first])
        if len(later):
            self._later.append(_keys(head, later))
        return first

    def close(self) -> None:
        """Count the first fragments: used where another fragment of the packet was seen."""
        if not self._first:
            return
        keys, numbers = np.concatenate(self._first), np.concatenate(self._numbers)
        others = np.concatenate(self._later) if self._later else np.empty((0, keys.shape[1]), np.uint64)
        group = np.unique(np.concatenate([keys, others]), axis=0, return_inverse=True)[1].reshape(-1)
        alone = ~np.isin(group[: len(keys)], group[len(keys) :])
        self.ledger.use(int((~alone).sum()))
        self.ledger.skip("incomplete fragment", numbers[alone][:3].tolist(), int(alone.sum()))
        self._first, self._numbers, self._later = [], [], []


def _keys(head: Headers, rows: I64) -> U64:
    """What the fragments of one packet share (RFC 791 section 3.2, RFC 8200 section 4.5)."""
    columns = [head.src_high[rows], head.src_low[rows], head.dst_high[rows], head.dst_low[rows]]
    columns.append(head.fragment_id[rows].astype(np.uint64))
    return np.column_stack([*columns, head.version[rows].astype(np.uint64)])
