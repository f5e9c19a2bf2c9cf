"""Marks packets that were captured more than once: at two interfaces of one node, or by a mirror.

Two frames are the same packet if addresses, protocol, ports, IP identification, sequence number, flags, payload length
and the first 16 octets of the payload are equal and 10 ms or less apart, the second being at another interface or with
another TTL; or if even those are equal within 1 ms. A TCP retransmission has a new IP identification and stays; where
there is none (IPv6, or 0), equal frames at one interface are copies only if they are DNS or carry TCP data. What
address translation changed cannot be matched. Frames without time are never marked.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from analyzer import kernels
from analyzer.sources.capture.arrays import I64, U8, U64, Flags, gather, no_offsets
from analyzer.sources.capture.layers import ICMP, ICMP6, TCP, Headers
from analyzer.sources.capture.texts import equal_rows, mixed
from analyzer.sources.capture.window import NO_TIME, Window
from analyzer.sources.contract import Ledger

APART = 10_000
"""Microseconds between the copies of a packet that a node forwards [a tenth of the least retransmission time, 200 ms,
and some way over the milliseconds that a busy node takes]."""
EXACT = 1_000
"""Microseconds between exact copies."""
CARRIED_MOST = 1 << 16
"""Frames remembered over the border of two windows."""
_POSITION_BITS = 22
_BUCKET_SHIFT = np.uint64(64 - 18)


_SHIFT = np.uint64(_POSITION_BITS)
_POSITION = np.uint64((1 << _POSITION_BITS) - 1)
_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5], np.uint64)
_FIRST = np.where(np.arange(8) < np.arange(9)[:, None], 0xFF, 0).astype(np.uint8).view(np.uint64)[:, 0]
"""For each count of octets the mask of a word that keeps them."""


class Candidates(Struct, frozen=True):
    """Packets of a window that may be copies or have some: those that are not alone, and those near its borders."""

    keys: U64
    number: I64
    time: I64
    interface: I64
    ttl: I64
    telling: Flags

    def __len__(self) -> int:
        return len(self.time)

    def take(self, places: I64 | Flags) -> Candidates:
        return Candidates(*(getattr(self, name)[places] for name in self.__struct_fields__))

    def beside(self, other: Candidates) -> Candidates:
        """These and then the others."""
        if not len(self):
            return other
        both = ((getattr(self, name), getattr(other, name)) for name in self.__struct_fields__)
        return Candidates(*(np.concatenate(pair) for pair in both))


NOBODY = Candidates(
    np.empty((0, 8), np.uint64), no_offsets(), no_offsets(), no_offsets(), no_offsets(), np.empty(0, bool)
)


def candidates(window: Window, head: Headers, interface: I64, rows: I64) -> Candidates:
    """The candidates among `rows`, the window's IP packets. A pure function of the window."""
    rows = rows[_wanted(window, head, rows)]
    if not len(rows):
        return NOBODY
    return Candidates(
        _keys(window, head, rows),
        window.number[rows],
        window.time[rows],
        interface[rows],
        head.ttl[rows],
        _telling(head, rows),
    )


class Duplicates(Struct):
    """Goes from window to window, so that copies on both sides of a border are found."""

    ledger: Ledger
    exact: int = 0
    forwarded: int = 0
    _carried: Candidates = NOBODY

    def mark(self, fresh: Candidates) -> I64:
        """The numbers of those frames of the next window that are copies of an earlier one."""
        if not len(fresh):
            return no_offsets()
        old, seen = len(self._carried), self._carried.beside(fresh)
        copy, exact = _copies(seen)
        self.exact += int(exact[old:].sum())
        self.forwarded += int((copy & ~exact)[old:].sum())
        # Copies follow within milliseconds, so the last of the file order are enough.
        late = np.flatnonzero(seen.time >= fresh.time[-1] - APART)
        self._carried = seen.take(late[-CARRIED_MOST:])
        marked: I64 = fresh.number[copy[old:]]
        return marked

    def close(self) -> None:
        """Tell how many copies were marked."""
        if self.exact:
            self.ledger.note(f"{self.exact} exact duplicates within 1 ms were marked")
        if self.forwarded:
            self.ledger.note(f"{self.forwarded} packets seen again at another interface or hop were marked")


def _bodies(window: Window, head: Headers, rows: I64 | slice, size: int) -> tuple[U8, I64]:
    """The first octets of each payload, and how many of them belong to it."""
    start, end = head.payload[rows], np.minimum(window.end[rows], head.payload_end[rows])
    # What stands in an ICMP header differs from packet to packet.
    icmp = (head.protocol[rows] == ICMP) | (head.protocol[rows] == ICMP6)
    if icmp.any():
        start = start - icmp * 8
    return gather(window.data, start, size), end - start


def _wanted(window: Window, head: Headers, rows: I64, apart: int = APART) -> Flags:
    """Which of the rows have a time and are near those at the borders, or share their hint with another: most do not,
    and need no key. Hints of a kernel and of NumPy differ, but copies share theirs: equal hints without equal packets
    cost a key, nothing else."""
    out = np.zeros(len(rows), bool)
    frames = np.ascontiguousarray(window.time), np.ascontiguousarray(window.end)
    places = head.payload, head.payload_end, head.protocol
    ends = head.src_low, head.dst_low, head.src_port, head.dst_port
    packets = rows, *frames, *places, *ends, head.ip_id, head.seq
    if kernels.call("packets_shared", window.data, *packets, out.view(np.uint8), apart) is None:
        known = np.flatnonzero(window.time[rows] != NO_TIME)
        rows, time = rows[known], window.time[rows[known]]
        out[known] = (time <= time[:1] + apart) | (time >= time[-1:] - apart)
        out[known[_not_alone(_hints(window, head)[rows])]] = True
    return out


def _hints(window: Window, head: Headers) -> U64:
    """Of every frame: to leave out the few that hold no IP packet would cost more than it saves."""
    body, held = _bodies(window, head, slice(None), 8)
    total = body.view(np.uint64)[:, 0] & _FIRST.take(held, mode="clip")
    total += head.src_low * _ODD[0]
    total ^= head.dst_low * _ODD[1]
    total *= _ODD[2]
    total ^= total >> np.uint64(29)
    ports = head.src_port << 16
    ports ^= head.dst_port
    ports <<= 32
    ports ^= head.ip_id << 16
    ports ^= head.seq
    total += ports.view(np.uint64)
    total *= _ODD[3]
    return total


def _not_alone(hint: U64) -> I64:
    """Places whose hint another place has too. Two hints that agree by chance cost a key, nothing else."""
    # Most hints are alone in their bucket already, and counting is quicker than sorting.
    bucket = (hint >> _BUCKET_SHIFT).astype(np.int64)
    some = np.flatnonzero(np.bincount(bucket)[bucket] > 1)
    order = _by_hash(hint[some])
    same = (order[1:] ^ order[:-1]) >> _SHIFT == 0
    inside = np.zeros(len(order), bool)
    inside[1:] = same
    inside[:-1] |= same
    return some[(order[inside] & _POSITION).astype(np.int64)]


def _by_hash(hashes: U64) -> U64:
    """Upper bits of the hashes with their places below them, sorted: one sort of plain words."""
    return np.sort((hashes >> _SHIFT << _SHIFT) | np.arange(len(hashes), dtype=np.uint64))


def _keys(window: Window, head: Headers, rows: I64) -> U64:
    def word(values: I64) -> U64:
        return values[rows].astype(np.uint64)

    size = word(np.maximum(head.payload_bytes, 0))
    ports = (word(head.src_port) & np.uint64(0xFFFF)) << np.uint64(16) | (word(head.dst_port) & np.uint64(0xFFFF))
    keys = np.empty((len(rows), 8), np.uint64)
    keys[:, 0] = head.src_high[rows] * np.uint64(3) ^ head.dst_high[rows]
    keys[:, 1] = head.src_low[rows]
    keys[:, 2] = head.dst_low[rows]
    keys[:, 3] = ports << np.uint64(32) | (word(head.ip_id) & np.uint64(0xFFFFFFFF))
    keys[:, 4] = (word(head.seq) << np.uint64(32)) | (word(head.ack) & np.uint64(0xFFFFFFFF))
    keys[:, 5] = size << np.uint64(32) | (word(head.flags) & np.uint64(0xFFFF)) << np.uint64(8)
    keys[:, 5] |= head.protocol[rows].astype(np.uint64)
    body, held = _bodies(window, head, rows, 16)
    body[np.arange(16)[None, :] >= held[:, None]] = 0
    keys[:, 6:] = body.view(np.uint64)
    return keys


def _telling(head: Headers, rows: I64) -> Flags:
    """Frames that two different packets at one interface would hardly share."""
    dns = (head.src_port[rows] == 53) | (head.dst_port[rows] == 53)
    data = (head.protocol[rows] == TCP) & (head.payload_bytes[rows] > 0)
    telling: Flags = (head.ip_id[rows] > 0) | dns | data
    return telling


def _copies(seen: Candidates) -> tuple[Flags, Flags]:
    """Which frames are copies of an earlier one, and which of those are exact."""
    copy, exact = np.zeros(len(seen.time), bool), np.zeros(len(seen.time), bool)
    members, group = _groups(seen)
    if not len(members):
        return copy, exact
    # At one interface: exact copies, and else the first, second ... packet of its kind there.
    place = (seen.interface[members] << 9) + seen.ttl[members]
    order = np.lexsort((members, place, group))
    here, same = members[order], np.zeros(len(order), bool)
    ordered_place, ordered_group = place[order], group[order]
    same[1:] = (ordered_place[1:] == ordered_place[:-1]) & (ordered_group[1:] == ordered_group[:-1])
    close = np.zeros(len(order), bool)
    close[1:] = np.abs(seen.time[here[1:]] - seen.time[here[:-1]]) <= EXACT
    twin = same & close & seen.telling[here]
    exact[here[twin]] = copy[here[twin]] = True
    here, same, ordered_group = here[~twin], same[~twin], ordered_group[~twin]
    count = np.arange(len(here))
    turn = count - np.maximum.accumulate(np.where(same, 0, count))
    # The n-th at one interface is the copy of the n-th at another.
    order = np.lexsort((here, turn, ordered_group))
    here, turn, ordered_group = here[order], turn[order], ordered_group[order]
    again = np.zeros(len(order), bool)
    again[1:] = (turn[1:] == turn[:-1]) & (ordered_group[1:] == ordered_group[:-1])
    copy[here[again]] = True
    return copy, exact


def _groups(seen: Candidates) -> tuple[I64, I64]:
    """Frames with an equal neighbour in time, and the number of their group."""
    order = _by_hash(mixed(seen.keys))
    position = (order & _POSITION).astype(np.int64)
    pairs = np.flatnonzero((order[1:] ^ order[:-1]) >> _SHIFT == 0)
    first, second = position[pairs], position[pairs + 1]
    same = equal_rows(seen.keys[first], seen.keys[second])
    same &= np.abs(seen.time[second] - seen.time[first]) <= APART
    linked = np.zeros(len(order) + 1, bool)
    linked[pairs[same] + 1] = True
    inside = linked[:-1] | linked[1:]
    return position[inside], np.cumsum(~linked[:-1])[inside]
