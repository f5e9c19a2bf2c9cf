"""HTTP/1 messages of connections to instance metadata services. Few packets: Python per segment is affordable here.

Bodies are looked at for the expiry of the credential they carry and forgotten; the first 16 KiB are enough.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

import numpy as np
import polars as pl

from analyzer.frames import HTTP_MESSAGES
from analyzer.sources.capture.arrays import I64, U8, Flags, gather
from analyzer.sources.capture.http_head import HEAD_MOST, Head, begins, expiry, looks_like_metadata, read_head
from analyzer.sources.capture.layers import LATER, TCP
from analyzer.sources.capture.packets import Packets
from analyzer.sources.capture.streams import Direction
from analyzer.sources.capture.window import NO_INTERFACE, NO_TIME

SERVERS = ("169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23")
"""EC2, GCE and Azure instance metadata; ECS task credentials; EKS pod identity; the IPv6 forms of first and last."""
PROXY_PORT = 8181
"""Where kube2iam listens by default; a node may capture the traffic behind its address translation."""
DNS_PORT = 53
CONNECTIONS_MOST = 4096
BODY_MOST = 16 << 10
EARLY_MOST = 8
"""Segments that wait for an earlier one before that one counts as lost to the capture."""
SYN = 0x02

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_PREFIXES = tuple(
    np.frombuffer(method + path, np.uint8)
    for method in (b"GET ", b"PUT ")
    for path in (b"/latest/", b"/computeMetadata/", b"/metadata/")
)


@dataclass(slots=True)
class _Side:
    """One direction of a connection. `place` is the frame in which its current message began."""

    response: bool
    stream: Direction = field(default_factory=lambda: Direction(4 * HEAD_MOST))
    place: dict[str, Any] = field(default_factory=dict)
    head: Head | None = None
    discard: int = 0
    early: dict[int, dict[str, Any]] = field(default_factory=dict)


@dataclass(slots=True)
class MetadataReader:
    """Goes from window to window."""

    source: str
    _open: OrderedDict[tuple[str, int, str, int], tuple[_Side, _Side]] = field(default_factory=OrderedDict)
    _done: list[dict[str, Any]] = field(default_factory=list)

    def read(self, packets: Packets) -> pl.DataFrame | None:
        """Rows of the messages that became whole; None if there are none."""
        rows = self._wanted(packets)
        if len(rows):
            self._segments(packets, rows)
        return self._take()

    def close(self) -> pl.DataFrame | None:
        """Rows of messages whose body never became whole."""
        for key in list(self._open):
            self._drop(key)
        return self._take()

    def _wanted(self, packets: Packets) -> I64:
        """Segments with payload, and SYNs, of metadata connections."""
        head, at = packets.headers, packets.rows
        tcp = (head.protocol[at] == TCP) & (head.fragment[at] != LATER) & ~packets.duplicate[at]
        at = at[tcp & (head.flags[at] >= 0)]
        at = at[(head.payload_bytes[at] > 0) | ((head.flags[at] & SYN) != 0)]
        six = head.version[at] == 6
        server = _is_server(six, head.src_high[at], head.src_low[at])
        server |= _is_server(six, head.dst_high[at], head.dst_low[at])
        server &= (head.src_port[at] != DNS_PORT) & (head.dst_port[at] != DNS_PORT)
        to_proxy = (head.dst_port[at] == PROXY_PORT) & (head.payload_bytes[at] > 0)
        asks = np.flatnonzero(to_proxy & ~server)
        server[asks] = _asks_metadata(packets.window.data, head.payload[at[asks]])
        known = {key for key in self._open if key[3] == PROXY_PORT}
        if server[asks].any() or known:
            either = (head.dst_port[at] == PROXY_PORT) | (head.src_port[at] == PROXY_PORT)
            server |= self._of_proxy(packets, at, either & ~server, known, server)
        wanted: I64 = at[server]
        return wanted

    def _of_proxy(
        self, packets: Packets, at: I64, maybe: Flags, known: set[tuple[str, int, str, int]], chosen: Flags
    ) -> Flags:
        """Segments of proxy connections that already asked for metadata or do so in this window."""
        known = known | {_key(packets, frame) for frame in at[chosen].tolist()}
        out = np.zeros(len(at), bool)
        for place in np.flatnonzero(maybe).tolist():
            out[place] = _key(packets, int(at[place])) in known
        return out

    def _segments(self, packets: Packets, rows: I64) -> None:
        head, window = packets.headers, packets.window
        for frame in rows.tolist():
            key = _key(packets, frame)
            if int(head.flags[frame]) & SYN and int(head.payload_bytes[frame]) == 0:
                if int(head.flags[frame]) & 0x10 == 0:
                    self._drop(key)
                continue
            if key not in self._open:
                self._open[key] = (_Side(response=False), _Side(response=True))
                if len(self._open) > CONNECTIONS_MOST:
                    self._drop(next(iter(self._open)))
            answer = int(head.src_port[frame]) == key[3] and packets.src[int(packets.place[frame])] == key[2]
            side = self._open[key][1 if answer else 0]
            end = min(int(head.payload_end[frame]), int(window.end[frame]))
            payload = window.data[int(head.payload[frame]) : max(end, int(head.payload[frame]))].tobytes()
            self._feed(side, _place(packets, frame, self.source), int(head.seq[frame]), payload)

    def _drop(self, key: tuple[str, int, str, int]) -> None:
        for side in self._open.pop(key, ()):
            self._resume(side)
            self._finish(side)

    def _feed(self, side: _Side, place: dict[str, Any], seq: int, payload: bytes) -> None:
        if not side.stream.data and side.head is None:
            side.place = place
        waiting = side.stream.waiting
        if not side.stream.add(seq, payload):
            self._resume(side)
            self._restart(side, place, seq, payload)
        elif side.stream.waiting > waiting:
            side.early[seq] = place
            if side.stream.waiting > EARLY_MOST:
                self._resume(side)
        while self._message(side):
            side.place = place
        if not side.stream.waiting:
            side.early.clear()

    def _restart(self, side: _Side, place: dict[str, Any], seq: int, payload: bytes) -> None:
        """Go on behind a gap: what the message before it had is all that there is."""
        self._finish(side)
        side.stream.begin(seq)
        side.stream.add(seq, payload)
        side.place, side.discard = place, 0

    def _resume(self, side: _Side) -> None:
        """Give up waiting for a lost segment and read those that came after it."""
        early, side.early = side.early, {}
        for number, (seq, payload) in enumerate(side.stream.take_ahead()):
            place = early.get(seq, side.place)
            if number == 0:
                self._restart(side, place, seq, payload)
                while self._message(side):
                    pass
            else:
                self._feed(side, place, seq, payload)

    def _message(self, side: _Side) -> bool:
        """Take one message from the front; False where more is needed."""
        data = side.stream.data
        if side.discard:
            taken = min(side.discard, len(data))
            del data[:taken]
            side.discard -= taken
        if not data and side.head is None:
            return False
        if side.head is None:
            stop = data.find(b"\r\n\r\n", 0, HEAD_MOST)
            if not begins(data, response=side.response) or (stop < 0 and len(data) >= HEAD_MOST):
                data.clear()
                return False
            if stop < 0:
                return False
            side.head = read_head(bytes(data[:stop]), response=side.response)
            del data[: stop + 4]
            if side.head is None:
                data.clear()
                return False
        length = side.head.body
        if side.head.chunked:
            mark = data.find(b"0\r\n\r\n", 0, BODY_MOST)
            length = mark + 5 if mark >= 0 else None
        if length is None and len(data) < BODY_MOST:
            return False
        if length is not None and len(data) < min(length, BODY_MOST):
            return False
        self._finish(side, length)
        return True

    def _finish(self, side: _Side, length: int | None = None) -> None:
        """Emit the current message; its body is looked at once and dropped."""
        head, data = side.head, side.stream.data
        if head is None:
            return
        body = bytes(data[: BODY_MOST if length is None else min(length, BODY_MOST)])
        side.discard = max((length or 0) - len(body), 0)
        del data[: len(body)]
        side.head = None
        expires = expiry(body, side.place["time"]) if head.response else None
        if side.place["proxied"] and not head.response and not looks_like_metadata(head.path):
            return
        self._done.append(
            {
                **{name: value for name, value in side.place.items() if name != "proxied"},
                "response": head.response,
                "method": head.method,
                "path": head.path,
                "status": head.status,
                "user_agent": head.user_agent,
                "expires_at": expires,
                "token_ttl_seconds": head.token_ttl,
            }
        )

    def _take(self) -> pl.DataFrame | None:
        if not self._done:
            return None
        frame = pl.DataFrame(self._done, schema=HTTP_MESSAGES.schema).sort("number", maintain_order=True)
        self._done = []
        return frame


def _is_server(six: Flags, high: Any, low: Any) -> Flags:
    out = np.zeros(len(six), bool)
    for address in map(ip_address, SERVERS):
        value = int(address)
        out |= (
            (six == (address.version == 6))
            & (high == np.uint64(value >> 64))
            & (low == np.uint64(value & (1 << 64) - 1))
        )
    return out


def _asks_metadata(data: U8, payload: I64) -> Flags:
    start = gather(data, payload, 32)
    out = np.zeros(len(payload), bool)
    for prefix in _PREFIXES:
        out |= (start[:, : len(prefix)] == prefix).all(axis=1)
    return out


def _key(packets: Packets, frame: int) -> tuple[str, int, str, int]:
    """Client, its port, server, its port."""
    at = int(packets.place[frame])
    src, dst = packets.src[at], packets.dst[at]
    src_port, dst_port = int(packets.headers.src_port[frame]), int(packets.headers.dst_port[frame])
    if dst in SERVERS or (src not in SERVERS and dst_port == PROXY_PORT):
        return src, src_port, dst, dst_port
    return dst, dst_port, src, src_port


def _place(packets: Packets, frame: int, source: str) -> dict[str, Any]:
    at, window = int(packets.place[frame]), packets.window
    micros, interface = int(window.time[frame]), int(packets.interface[frame])
    return {
        "time": None if micros == NO_TIME else _EPOCH + timedelta(microseconds=micros),
        "source": source,
        "number": int(window.number[frame]),
        "src": packets.src[at],
        "src_port": int(packets.headers.src_port[frame]),
        "dst": packets.dst[at],
        "dst_port": int(packets.headers.dst_port[frame]),
        "interface": None if interface == NO_INTERFACE else interface,
        "wire_bytes": int(window.wire[frame]),
        "duplicate": False,
        "proxied": packets.src[at] not in SERVERS and packets.dst[at] not in SERVERS,
    }
