"""Beginnings of messages that are not whole in their segment: followed until they are, or are given up.

Only a segment that begins like a message opens anything, so that time and memory do not depend on other traffic.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from msgspec import Struct, field

from analyzer.sources.capture import tls_hello
from analyzer.sources.capture.arrays import I64, U8, U64, Flags, no_offsets
from analyzer.sources.capture.extracts import Extract
from analyzer.sources.capture.layers import Headers
from analyzer.sources.capture.streams import Direction
from analyzer.sources.capture.texts import mixed

OPENING_MOST = 4096
"""Bytes of one direction that are kept until its message is whole: heads and hellos are shorter [Chrome's hello with a
post-quantum key share has 1.8 KiB]."""
OPEN_MOST = 4096
"""Openings followed at a time; the oldest is given up for a new one."""
BORDER_MOST = 256
"""Segments at the front of a window that are looked at for the rest of what the window before began: the rest follows
within a round trip, and there is no way to know here what was begun there."""

HTTP, TLS, RPC = 1, 2, 3
"""Kinds of openings; 0 is a segment that goes on with one."""

_SEQUENCES = 1 << 32
_Key = tuple[int, int, int, int, int, int]
_ENDS = ("src_high", "src_low", "dst_high", "dst_low", "src_port", "dst_port")


PLACE = ("number", "time", "interface", "wire", "version", *_ENDS, "seq")
"""What is remembered of the segment that an opening began in."""

Place = tuple[int, ...]


class Opening(Struct, frozen=True):
    """The first bytes of a message of this kind."""

    kind: int
    place: Place
    stream: Direction


class Done(Struct, frozen=True):
    """An opening that is over: whole, or all of it that was seen."""

    kind: int
    place: Place
    data: bytes


def continuing(head: Headers, opened: I64, others: I64) -> I64:
    """Those of the other segments that may go on with an opened one of this window, and those at its front."""
    if not len(others):
        return others
    chosen = np.zeros(len(others), bool)
    chosen[:BORDER_MOST] = True
    if len(opened):
        port = np.zeros(1 << 16, bool)
        port[head.src_port[opened]] = True
        maybe = np.flatnonzero(port[head.src_port[others]])
        order, mine = _ordered(head, opened), _ordered(head, others[maybe])
        order.sort()
        before = np.searchsorted(order, mine, side="right") - 1
        near = mine - order[np.maximum(before, 0)]
        chosen[maybe[(before >= 0) & (near > 0) & (near <= OPENING_MOST)]] = True
    return others[chosen]


def next_ones(head: Headers, opened: I64, others: I64) -> tuple[I64, I64]:
    """The opened segments whose next one stands among the others, and that next one of each."""
    if not len(opened) or not len(others):
        return no_offsets(), no_offsets()
    have = _ordered(head, others)
    order = np.argsort(have, kind="stable")
    want = _ordered(head, opened, head.payload_bytes[opened])
    after = others[order[np.minimum(np.searchsorted(have[order], want), len(order) - 1)]]
    same = (head.seq[opened] + head.payload_bytes[opened]) % _SEQUENCES == head.seq[after]
    for name in _ENDS:
        same &= getattr(head, name)[opened] == getattr(head, name)[after]
    return opened[same], after[same]


def _ordered(head: Headers, rows: I64, ahead: I64 | int = 0) -> U64:
    """Direction in the upper half, sequence number in the lower; who asks must see that what meets belongs together."""
    ports = (head.src_port[rows] << 16 | head.dst_port[rows]).astype(np.uint64)
    words = [head.src_high[rows], head.src_low[rows], head.dst_high[rows], head.dst_low[rows], ports]
    return (mixed(np.column_stack(words)) & ~np.uint64(_SEQUENCES - 1)) | (
        (head.seq[rows] + ahead) % _SEQUENCES
    ).astype(np.uint64)


class Openings(Struct):
    """Goes from window to window."""

    lost: dict[int, int] = field(default_factory=dict)
    _open: OrderedDict[_Key, Opening] = field(default_factory=OrderedDict)

    def take(self, got: Extract, kinds: U8, skip: Flags) -> list[Done]:
        """Follow these segments, in file order; those to `skip` are copies of others."""
        done: list[Done] = []
        if not len(got) or not (kinds.any() or self._open):
            return done
        ends = list(zip(*(getattr(got, name).tolist() for name in _ENDS), strict=True))
        for row, (kind, copy) in enumerate(zip(kinds.tolist(), skip.tolist(), strict=True)):
            if copy or not (kind or ends[row] in self._open):
                continue
            done += self._segment(got, row, kind, ends[row])
        while len(self._open) > OPEN_MOST:
            done.append(self._give_up(self._open.popitem(last=False)[1]))
        return done

    def _segment(self, got: Extract, row: int, kind: int, key: _Key) -> list[Done]:
        """Take one segment; what is over with it."""
        held, done = self._open.get(key), list[Done]()
        seq, payload = int(got.seq[row]), got.payload(row)
        if held is not None and kind and not held.stream.behind(seq, len(payload)):
            done.append(self._give_up(self._open.pop(key)))
            held = None
        if held is None:
            held = Opening(kind, tuple(int(getattr(got, name)[row]) for name in PLACE), Direction(OPENING_MOST))
            held.stream.begin(seq)
            self._open[key] = held
        fits = held.stream.add(seq, payload)
        data = _whole(held.kind, bytes(held.stream.data))
        if data is not None:
            done.append(Done(held.kind, held.place, data))
        elif not fits or len(held.stream.data) >= OPENING_MOST:
            done.append(self._give_up(held))
        else:
            return done
        del self._open[key]
        return done

    def _give_up(self, held: Opening) -> Done:
        self.lost[held.kind] = self.lost.get(held.kind, 0) + 1
        return Done(held.kind, held.place, bytes(held.stream.data))

    def close(self) -> list[Done]:
        """What never became whole, in the order in which it began."""
        done = [self._give_up(held) for held in self._open.values()]
        self._open.clear()
        return done


def _whole(kind: int, data: bytes) -> bytes | None:
    """The message, as its reader wants it; None where more is needed."""
    if kind == TLS:
        return tls_hello.whole(data)
    if kind == RPC:
        end = data.rfind(b"\n")
        return data[:end] if end >= 0 else None
    return data if b"\r\n\r\n" in data or b"\n\n" in data else None
