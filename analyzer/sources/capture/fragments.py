"""Fragments of IP packets: counted, and taken out of a window where they may hold DNS.

A first fragment without any other is incomplete.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct, field

from analyzer.sources.capture.arrays import I64, U64, Flags, fulls, gather, half_at, no_offsets
from analyzer.sources.capture.extracts import Extract, extract
from analyzer.sources.capture.layers import FIRST, LATER, UDP, Headers
from analyzer.sources.capture.reasons import BAD_DNS, WORDS
from analyzer.sources.capture.texts import mixed
from analyzer.sources.capture.window import Window
from analyzer.sources.contract import Ledger

HELD_MOST = 1 << 20
"""First fragments that wait for another; more are taken for used."""
STRAY_MOST = 1024
"""Fragments of one window that are kept although no first fragment in it says what they are."""
UDP_HEADER = 8
_NONE = 0


class Pieces(Struct, frozen=True):
    """The fragments of a window. `offset` is the place of a fragment's bytes in the datagram, its UDP header left out,
    and `more` whether others follow; `wanted` tells those that may hold DNS, and only these have their bytes."""

    packets: Extract
    offset: I64
    more: Flags
    wanted: Flags


def pieces(window: Window, head: Headers, interface: I64, at: I64, named: Flags) -> Pieces | None:
    """These fragments; `named` are the first ones of datagrams whose ports say DNS."""
    if not len(at):
        return None
    first = head.fragment[at] == FIRST
    place = np.where(first, 1, _places(window, head, at))
    whole = (head.payload_end[at] <= window.end[at]) & (head.protocol[at] == UDP) & (place >= 0)
    # Most fragments follow their first one in the same window, which tells whether they matter.
    key = mixed(keys(head, at))
    known = np.isin(key, key[first])
    wanted = whole & (named | (~first & np.isin(key, key[named])))
    stray = np.flatnonzero(whole & ~first & ~known)
    wanted[stray[-STRAY_MOST:]] = True
    taken = extract(window, head, interface, at, np.where(wanted, 1 << 16, _NONE))
    return Pieces(taken, np.where(first, 0, (place >> 1) * 8 - UDP_HEADER), (place & 1) != 0, wanted)


def _places(window: Window, head: Headers, at: I64) -> I64:
    """Offset in units of eight bytes, times two, plus one where more follow; -1 where the header is not found again."""
    data, payload = window.data, head.payload[at]
    out = np.full(len(at), -1)
    six = head.version[at] == 6
    # The fragment header is the last one before the payload (RFC 8200 section 4.5).
    word = half_at(data, np.maximum(payload - 6, 0)).astype(np.int64)
    out[six] = (word >> 3 << 1 | word & 1)[six]
    for words in range(5, 16):
        begin = payload - 4 * words
        here = np.flatnonzero(~six & (out < 0) & (begin >= 0))
        if not len(here):
            break
        header = gather(data, begin[here], 20)
        same = header[:, 0] == 0x40 | words
        same &= fulls(header, 12) == head.src_low[at[here]]
        same &= fulls(header, 16) == head.dst_low[at[here]]
        word = half_at(data, begin[here] + 6).astype(np.int64)
        out[here[same]] = ((word & 0x1FFF) << 1 | word >> 13 & 1)[same]
    return out


class Fragments(Struct):
    """Goes from window to window: the fragments of a packet may be far apart."""

    ledger: Ledger
    _first: list[U64] = field(default_factory=list)
    _numbers: list[I64] = field(default_factory=list)
    _later: list[U64] = field(default_factory=list)
    _held: int = 0
    _malformed: list[int] = field(default_factory=list)

    def take(self, found: Extract) -> I64:
        """The frames whose ledger entry waits: first fragments."""
        first, later = found.fragment == FIRST, found.fragment == LATER
        if self._held + len(found) > HELD_MOST:
            return no_offsets()
        self._held += len(found)
        key = keys(found, np.arange(len(found)))
        if first.any():
            self._first.append(key[first])
            self._numbers.append(found.number[first])
        if later.any():
            self._later.append(key[later])
        waiting: I64 = found.frame[first]
        return waiting

    def refuse(self, number: int) -> None:
        """The datagram that this first fragment begins holds a malformed message."""
        if self._held < HELD_MOST:
            self._malformed.append(number)

    def close(self) -> None:
        """Count the first fragments: used where another fragment of the packet was seen."""
        if not self._first:
            return
        key, numbers = np.concatenate(self._first), np.concatenate(self._numbers)
        others = np.concatenate(self._later) if self._later else np.empty((0, key.shape[1]), np.uint64)
        group = np.unique(np.concatenate([key, others]), axis=0, return_inverse=True)[1].reshape(-1)
        alone = ~np.isin(group[: len(key)], group[len(key) :])
        bad = np.isin(numbers, self._malformed) & ~alone
        self.ledger.use(int((~alone & ~bad).sum()))
        self.ledger.skip("incomplete fragment", numbers[alone][:3].tolist(), int(alone.sum()))
        self.ledger.skip(WORDS[BAD_DNS], numbers[bad][:3].tolist(), int(bad.sum()))
        self._first, self._numbers, self._later, self._malformed = [], [], [], []


def keys(head: Headers | Extract, rows: I64) -> U64:
    """What the fragments of one packet share (RFC 791 section 3.2, RFC 8200 section 4.5)."""
    columns = [head.src_high[rows], head.src_low[rows], head.dst_high[rows], head.dst_low[rows]]
    columns.append(head.fragment_id[rows].astype(np.uint64))
    columns.append(head.version[rows].astype(np.uint64) << np.uint64(8) | head.protocol[rows].astype(np.uint64))
    return np.column_stack(columns)
