"""DNS over TCP (RFC 7766): messages that span segments, put together in file order.

Python per segment, but only in connections in which a message spans segments; all others were read within their
window. A message that a lost segment tears is given up, and the stream goes on with the next segment that begins one.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice

import numpy as np
from msgspec import Struct, field

from analyzer.sources.capture.arrays import I64, U64, Flags
from analyzer.sources.capture.dns_messages import Segments
from analyzer.sources.capture.dns_pieced import Carrier, Ends, Pieced, carriers, ends
from analyzer.sources.capture.dns_places import SYN
from analyzer.sources.capture.dns_records import HEADER
from analyzer.sources.capture.extracts import Extract
from analyzer.sources.capture.streams import Direction
from analyzer.sources.capture.texts import equal_rows, mixed
from analyzer.sources.contract import Ledger

OPEN_MOST = 4096
"""Connections, each direction for itself, whose messages are being put together at one time."""
BYTES_MOST = 16 << 20
"""Bytes that all of them may hold."""
MESSAGE_MOST = (1 << 16) + 1
EARLY_MOST = 8
"""Segments that wait for the one that begins a message, where the capture does not show how the connection began."""
REMEMBERED_MOST = 1 << 16
"""Segments with whole messages that are remembered, to know them again when they are sent again."""
_WHOLE = 1 << 32
INCOMPLETE = "incomplete DNS message over TCP"


class _Segment(Struct, frozen=True):
    """`read`: it holds whole messages only, and these have their rows."""

    seq: int
    payload: bytes
    carrier: Carrier
    read: bool


class _Side(Struct):
    """One direction of a connection in which a message waits. `known` holds segments that are not yet settled, by
    sequence number; `begun` is where the first byte was expected."""

    ends: Ends
    stream: Direction = field(default_factory=lambda: Direction(2 * MESSAGE_MOST))
    synced: bool = False
    begun: int = -1
    early: list[_Segment] = field(default_factory=list)
    known: dict[int, _Segment] = field(default_factory=dict)

    @property
    def held(self) -> int:
        """Bytes that wait for others."""
        return self.stream.held + (sum(len(one.payload) for one in self.early) if self.early else 0)

    @property
    def idle(self) -> bool:
        """Whether everything that came was settled."""
        return self.synced and not self.known and not self.stream.held


class DnsStreams(Struct):
    """Takes the segments of one window after the other."""

    ledger: Ledger
    _open: OrderedDict[Ends, _Side] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lost: int = 0
    _done: list[Pieced] = field(default_factory=list)
    _expected: dict[int, int] = field(default_factory=dict)
    _seen: U64 = field(default_factory=lambda: np.empty((0, 8), np.uint64))

    def take(self, segments: Segments, copies: Flags) -> tuple[list[Pieced], I64]:
        """The messages that became whole, and the frames whose ledger entry waits. `copies` are left out."""
        packets = segments.packets
        data = packets.payload_bytes > 0
        hints = mixed(_keys(packets)[:, :6])
        telling = [hints[data & ~segments.read]]
        if self._open:
            telling.append(mixed(np.array([key[1:] for key in self._open], np.uint64)))
        wanted = np.isin(hints, np.concatenate(telling)) & ~copies
        rows = np.flatnonzero(wanted)
        columns = (packets.flags[rows] & SYN != 0, packets.payload_bytes[rows], hints[rows])
        arrived = zip(_arrived(segments, rows), ends(packets, rows), *(one.tolist() for one in columns), strict=True)
        held = [self._take(*one) for one in arrived]
        self._expect(segments, hints, ~wanted)
        return self._taken(), packets.frame[rows[np.array(held, bool)]]

    def repeated(self, segments: Segments, copies: Flags) -> I64:
        """Frames that hold whole messages and were sent before: TCP retransmissions."""
        mine = np.flatnonzero(segments.read & ~copies)
        if not len(mine):
            return segments.packets.frame[:0]
        fresh = _keys(segments.packets)[mine]
        keys = np.concatenate([self._seen, fresh])
        old = len(self._seen)
        order = np.argsort(mixed(keys), kind="stable")
        again = np.zeros(len(keys), bool)
        again[order[1:]] = equal_rows(keys[order[1:]], keys[order[:-1]])
        self._seen = keys[-REMEMBERED_MOST:]
        return segments.packets.frame[mine[again[old:]]]

    def _expect(self, segments: Segments, hints: U64, others: Flags) -> None:
        """Remember how far each connection is where nothing has to be put together, for the day it has to."""
        packets = segments.packets
        syn = (packets.flags & SYN) != 0
        plain = np.flatnonzero((syn | segments.read) & others)
        after = packets.seq[plain] + np.where(syn[plain], 1, packets.payload_bytes[plain])
        self._expected.update(zip(hints[plain].tolist(), after.tolist(), strict=True))
        if len(self._expected) > REMEMBERED_MOST:
            self._expected = dict(islice(self._expected.items(), len(self._expected) // 2, None))

    def close(self) -> list[Pieced]:
        """The messages behind a gap that never closed; counts what never became whole."""
        while self._open:
            self._drop(self._open.popitem(last=False)[1])
        if self._lost:
            self.ledger.note(f"{self._lost} TCP segments of port 53 hold parts of DNS messages not put together")
        return self._taken()

    def _taken(self) -> list[Pieced]:
        done, self._done = self._done, []
        return done

    def _take(self, segment: _Segment, key: Ends, syn: bool, size: int, hint: int) -> bool:
        """Take one segment; whether its ledger entry waits from now on."""
        side = self._open.get(key)
        if syn and (side is None or side.begun != segment.seq):
            if side is not None:
                self._drop(self._open.pop(key))
                side = None
            self._expected[hint] = segment.seq
        if not size:
            return False
        if len(segment.payload) < size:
            # The capture cut it. What follows is behind a gap.
            self._lost += 1
            return False
        if side is None:
            expected = self._expected.get(hint, segment.seq if segment.read else -1)
            if segment.read and expected == segment.seq:
                self._expected[hint] = (expected + size) % _WHOLE
                return False
            side = self._open[key] = _Side(key, begun=expected)
            if expected >= 0 and (segment.seq - expected + MESSAGE_MOST) % _WHOLE < 2 * MESSAGE_MOST:
                side.stream.begin(expected)
                side.synced = True
        before = side.held
        self._put(side, segment)
        self._bytes += side.held - before
        if side.idle:
            self._expected[hint] = side.stream.front
            del self._open[key]
        else:
            self._open.move_to_end(key)
        while self._bytes > BYTES_MOST or len(self._open) > OPEN_MOST:
            self._drop(self._open.popitem(last=False)[1])
        return not segment.read

    def _put(self, side: _Side, segment: _Segment) -> None:
        if side.synced:
            if self._add(side, segment):
                return
            self._resume(side)
            if side.synced:
                if not self._add(side, segment):
                    self._lose(segment)
                return
        if not segment.read and not _may_begin(segment.payload):
            side.early.append(segment)
            if len(side.early) > EARLY_MOST:
                self._lose(side.early.pop(0))
            return
        self._sync(side, segment)

    def _sync(self, side: _Side, segment: _Segment) -> None:
        """Begin with this segment; of the early ones those in front of it are lost."""
        side.stream.begin(segment.seq)
        side.synced = True
        early, side.early = side.early, []
        self._add(side, segment)
        for one in early:
            if not side.synced or side.stream.distance(one.seq) < 0 or not self._add(side, one, segment.carrier):
                self._lose(one)

    def _add(self, side: _Side, segment: _Segment, last: Carrier | None = None) -> bool:
        """Add a segment to a stream that is in step; False where it does not fit: the gap before it is too wide.

        `last` is the packet that let it be added, if that is another one.
        """
        if side.stream.distance(segment.seq) + len(segment.payload) <= 0:
            self._settle(segment)
            return True
        if not side.stream.add(segment.seq, segment.payload):
            return False
        if (old := side.known.get(segment.seq)) is not None:
            self._settle(old)
        side.known[segment.seq] = segment
        self._drain(side, last or segment.carrier)
        return True

    def _drain(self, side: _Side, last: Carrier) -> None:
        """Take whole messages from the front."""
        data = side.stream.data
        while len(data) >= 2:
            front = side.stream.front
            one = side.known.get(front)
            if one is not None and one.read and data.startswith(one.payload):
                del data[: len(one.payload)]
                self.ledger.use(len(self._passed(side)))
                continue
            length = int.from_bytes(data[:2], "big")
            if length < HEADER:
                self._resume(side)
                return
            if len(data) < 2 + length:
                return
            message = bytes(data[2 : 2 + length])
            del data[: 2 + length]
            self._done.append(Pieced(message, last, side.ends, True, tuple(self._passed(side))))

    def _passed(self, side: _Side) -> list[int]:
        """Frames of the segments that begin in front of what is left, which are settled with that."""
        front, out = side.stream.front, []
        for seq in [seq for seq in side.known if 0 < (front - seq) % _WHOLE < 1 << 31]:
            one = side.known.pop(seq)
            if not one.read:
                out.append(one.carrier.number)
        return out

    def _resume(self, side: _Side) -> None:
        """Give up the message that a gap or nonsense tore, and go on with what came behind it."""
        later = [side.known.pop(seq) for seq, _ in side.stream.take_ahead() if seq in side.known]
        self._incomplete(side)
        side.stream.begin(0)
        side.synced = False
        for one in later:
            if side.synced:
                if not self._add(side, one):
                    self._lose(one)
            elif one.read or _may_begin(one.payload):
                self._sync(side, one)
            else:
                self._lose(one)

    def _incomplete(self, side: _Side) -> None:
        torn = sorted(one.carrier.number for one in side.known.values() if not one.read)
        self.ledger.skip(INCOMPLETE, torn, len(torn))
        side.known.clear()

    def _settle(self, segment: _Segment) -> None:
        """Nothing new in it: it was sent before."""
        if not segment.read:
            self.ledger.use(1)

    def _lose(self, segment: _Segment) -> None:
        """A part of a message that begins elsewhere."""
        if not segment.read:
            self.ledger.use(1)
            self._lost += 1

    def _drop(self, side: _Side) -> None:
        """Forget a direction: what came behind gaps is read, the rest is counted."""
        self._bytes -= side.held
        while side.synced and side.stream.waiting:
            self._resume(side)
        self._incomplete(side)
        for one in side.early:
            self._lose(one)


def _arrived(segments: Segments, rows: I64) -> list[_Segment]:
    """These segments with their payloads; the number of the first byte of data follows that of a SYN."""
    packets, data = segments.packets, segments.packets.data.data
    seq = (packets.seq[rows] + (packets.flags[rows] & SYN != 0)) % _WHOLE
    edges = zip(packets.start[rows].tolist(), packets.end[rows].tolist(), strict=True)
    payloads = [data[start:end].tobytes() for start, end in edges]
    return list(map(_Segment, seq.tolist(), payloads, carriers(packets, rows), segments.read[rows].tolist()))


def _keys(packets: Extract) -> U64:
    """Addresses, ports, sequence number and length."""
    columns = [packets.src_high, packets.src_low, packets.dst_high, packets.dst_low]
    rest = [packets.src_port, packets.dst_port, packets.seq, packets.payload_bytes]
    return np.column_stack([*columns, *(column.astype(np.uint64) for column in rest)])


def _may_begin(payload: bytes) -> bool:
    """Whether a segment may begin a message: a sensible length, known opcode, one question."""
    if len(payload) < 8:
        return len(payload) < 2 or int.from_bytes(payload[:2], "big") >= HEADER
    length, questions = int.from_bytes(payload[:2], "big"), int.from_bytes(payload[6:8], "big")
    return length >= HEADER and questions == 1 and (payload[4] >> 3 & 15) <= 6 and not payload[5] & 0x40
