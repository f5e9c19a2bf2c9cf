"""Finds DNS messages in the packets of a window and makes rows of them. Messages over TCP may span segments."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from analyzer.sources.capture import dns, dns_codes
from analyzer.sources.capture.arrays import I64, U8, Flags, gather, halves, no_offsets, padded
from analyzer.sources.capture.dns_names import Names
from analyzer.sources.capture.layers import LATER, TCP, UDP, WHOLE
from analyzer.sources.capture.packets import Packets, numbers
from analyzer.sources.capture.reasons import BAD_DNS
from analyzer.sources.capture.streams import Direction
from analyzer.sources.contract import Ledger

PORT = 53
SEGMENT_MESSAGES_MOST = 256
"""Messages looked for in one TCP segment; more do not fit into 4 KiB."""
OPEN_MOST = 4096
"""Connections whose messages are being put together at one time."""
MESSAGE_MOST = (1 << 16) + 1
INCOMPLETE = "incomplete DNS message over TCP"

RESPONSE, AUTHORITATIVE, TRUNCATED = 0x8000, 0x0400, 0x0200

_Key = tuple[int, ...]


@dataclass(slots=True)
class _Found:
    """Places of messages in one buffer, and the frame that each belongs to."""

    frame: I64
    start: I64
    end: I64
    whole: Flags
    tcp: bool


@dataclass(slots=True)
class _Open:
    stream: Direction
    numbers: list[int] = field(default_factory=list)


@dataclass(slots=True)
class DnsReader:
    """Goes from window to window. `deferred` counts frames whose fate is open: part of a message not yet complete."""

    ledger: Ledger
    source: str
    names: Names = field(default_factory=Names)
    cut: int = 0
    unchecked: int = 0
    reassembled: int = 0
    _open: OrderedDict[_Key, _Open] = field(default_factory=OrderedDict)
    _given_up: int = 0

    def read(self, packets: Packets) -> tuple[pl.DataFrame, I64]:
        """Rows of the window's messages, and the frames whose ledger entry waits for the rest of a message.

        Sets the reason of frames whose message is malformed.
        """
        head, data = packets.headers, packets.window.data
        port = (head.src_port[packets.rows] == PORT) | (head.dst_port[packets.rows] == PORT)
        claimed = packets.rows[port & (head.payload_bytes[packets.rows] > 0)]
        claimed = claimed[head.fragment[claimed] != LATER]
        parts = [self._rows(packets, data, self._datagrams(packets, claimed))]
        segments = claimed[head.protocol[claimed] == TCP]
        waiting: list[int] = []
        if len(segments):
            inside, rest = _segments(packets, segments)
            parts.append(self._rows(packets, data, inside))
            buffer, spanning = self._spanning(packets, rest, waiting)
            parts.append(self._rows(packets, buffer, spanning))
        filled = [part for part in parts if part.height] or parts[:1]
        # Datagrams alone are in file order already.
        frame = parts[0] if filled[-1] is parts[0] else pl.concat(filled).sort("number", maintain_order=True)
        return frame, np.array(waiting, np.int64)

    def _datagrams(self, packets: Packets, claimed: I64) -> _Found:
        head = packets.headers
        rows = claimed[head.protocol[claimed] == UDP]
        end = np.minimum(head.payload_end[rows], packets.window.end[rows])
        cut = packets.window.end[rows] - packets.window.start[rows] < packets.window.wire[rows]
        whole = (head.fragment[rows] == WHOLE) & ((head.payload_end[rows] <= packets.window.end[rows]) | ~cut)
        self.cut += int((cut & ~whole).sum())
        return _Found(rows, head.payload[rows], end, whole, False)

    def _rows(self, packets: Packets, data: U8, found: _Found) -> pl.DataFrame:
        """Decode the messages, mark malformed ones at their frame, and make rows of the rest."""
        made = dns.decode(data, found.start, found.end, found.whole)
        packets.headers.reason[found.frame[made.state == dns.MALFORMED]] = BAD_DNS
        self.unchecked += made.unchecked
        good = np.flatnonzero(made.state == dns.GOOD)
        names = self.names.texts(data, made.name_at[good], made.name_length[good])
        if made.odd_names:
            known = {row: place for place, row in enumerate(good.tolist())}
            odd = [(known[row], name) for row, name in made.odd_names.items() if row in known]
            names = names.scatter([place for place, _ in odd], [name for _, name in odd])
        frame, flags = found.frame[good], made.flags[good]
        response = (flags & RESPONSE) != 0
        columns = packets.where(frame, self.source) | packets.ends(frame)
        columns |= {
            "interface": numbers(packets.interface[frame], pl.Int32()),
            "transport": pl.Series(["tcp" if found.tcp else "udp"]).new_from_index(0, len(good)),
            "dns_id": pl.Series(made.id[good], dtype=pl.Int32),
            "response": pl.Series(response),
            "rcode": dns_codes.rcode_texts(np.where(response, flags & 15, -1)),
            "name": names,
            "qtype": dns_codes.type_texts(made.qtype[good]),
            "answers": numbers(np.where(response, made.answers[good], -1), pl.Int32()),
            "truncated": pl.Series((flags & TRUNCATED) != 0),
            "authoritative": pl.Series((flags & AUTHORITATIVE) != 0),
            "negative_ttl": numbers(_negative(made, good, flags), pl.Int64()),
            "wire_bytes": pl.Series(packets.window.wire[frame], dtype=pl.Int64),
            "duplicate": pl.Series(packets.duplicate[frame]),
        }
        return pl.DataFrame(columns)

    def _spanning(self, packets: Packets, segments: I64, waiting: list[int]) -> tuple[U8, _Found]:
        """Put messages together that span segments. Python per segment: only those that hold a part of a message."""
        frames: list[int] = []
        messages: list[bytes] = []
        for frame in segments[~packets.duplicate[segments]].tolist():
            held = self._stream(packets, frame)
            if held is None:
                continue
            held.numbers.append(int(packets.window.number[frame]))
            waiting.append(frame)
            done = _complete(held.stream.data)
            messages += done
            frames += [frame] * len(done)
            self.reassembled += len(done)
            if done:
                self.ledger.use(len(held.numbers))
                held.numbers.clear()
        length = np.array([len(message) for message in messages], np.int64)
        end = np.cumsum(length) if messages else no_offsets()
        found = _Found(np.array(frames, np.int64), end - length, end, np.ones(len(frames), bool), True)
        return padded(b"".join(messages)), found

    def _stream(self, packets: Packets, frame: int) -> _Open | None:
        """The stream that this segment went into; None where it fits none and does not begin a message."""
        head = packets.headers
        key = tuple(
            int(getattr(head, name)[frame])
            for name in ("src_high", "src_low", "dst_high", "dst_low", "src_port", "dst_port")
        )
        start, end = int(head.payload[frame]), int(head.payload_end[frame])
        payload = packets.window.data[start : min(end, int(packets.window.end[frame]))].tobytes()
        seq, held = int(head.seq[frame]), self._open.get(key)
        if held is not None and held.stream.data and held.stream.add(seq, payload):
            return held
        if held is not None and held.stream.behind(seq, end - start):
            return None
        if end > packets.window.end[frame] or not _may_begin(payload):
            self._given_up += 1
            return None
        if held is not None:
            self._drop(held)
        held = _Open(Direction(2 * MESSAGE_MOST))
        held.stream.begin(seq)
        held.stream.add(seq, payload)
        self._open[key] = held
        if len(self._open) > OPEN_MOST:
            self._drop(self._open.popitem(last=False)[1])
        return held

    def _drop(self, held: _Open) -> None:
        if held.numbers:
            self.ledger.skip(INCOMPLETE, held.numbers, len(held.numbers))
            held.numbers.clear()

    def close(self) -> None:
        """Count what never became whole."""
        for held in self._open.values():
            self._drop(held)
        if self._given_up:
            self.ledger.note(f"{self._given_up} TCP segments of port 53 hold parts of DNS messages not put together")
        if self.unchecked:
            self.ledger.note(
                f"{self.unchecked} DNS messages have too many RRs; only the first {dns.RECORDS_MOST} were checked"
            )


def _negative(made: dns.Messages, good: I64, flags: I64) -> I64:
    """Life of a negative answer; absent in queries and in answers that failed otherwise."""
    rcode = flags & 15
    negative = ((flags & RESPONSE) != 0) & ((rcode == dns_codes.NOERROR) | (rcode == dns_codes.NXDOMAIN))
    return np.where(negative, made.negative_ttl[good], -1)


def _segments(packets: Packets, segments: I64) -> tuple[_Found, I64]:
    """Messages of segments that hold whole messages only, and the other segments."""
    head, data = packets.headers, packets.window.data
    at, end = head.payload[segments].copy(), head.payload_end[segments]
    inside = end <= packets.window.end[segments]
    frames, starts, ends = [no_offsets()], [no_offsets()], [no_offsets()]
    rows = np.flatnonzero(inside)
    exact = np.zeros(len(segments), bool)
    for _ in range(SEGMENT_MESSAGES_MOST):
        start = at[rows] + 2
        stop = start + halves(gather(data, at[rows], 2), 0)
        fits = (stop <= end[rows]) & (stop - start >= dns.HEADER)
        rows, start, stop = rows[fits], start[fits], stop[fits]
        if not len(rows):
            break
        frames.append(rows)
        starts.append(start)
        ends.append(stop)
        at[rows] = stop
        exact[rows[stop == end[rows]]] = True
        rows = rows[stop < end[rows]]
    row = np.concatenate(frames)
    keep = exact[row]
    start, stop = np.concatenate(starts)[keep], np.concatenate(ends)[keep]
    return _Found(segments[row[keep]], start, stop, np.ones(len(start), bool), True), segments[~exact]


def _may_begin(payload: bytes) -> bool:
    """Whether a segment may begin a message: a sensible length, known opcode, one question."""
    if len(payload) < 8:
        return len(payload) < 2 or int.from_bytes(payload[:2], "big") >= dns.HEADER
    length, questions = int.from_bytes(payload[:2], "big"), int.from_bytes(payload[6:8], "big")
    return length >= dns.HEADER and questions == 1 and (payload[4] >> 3 & 15) <= 6 and not payload[5] & 0x40


def _complete(data: bytearray) -> list[bytes]:
    """Take whole messages from the front."""
    out = []
    while len(data) >= 2 and len(data) >= 2 + (length := int.from_bytes(data[:2], "big")):
        out.append(bytes(data[2 : 2 + length]))
        del data[: 2 + length]
    return out
