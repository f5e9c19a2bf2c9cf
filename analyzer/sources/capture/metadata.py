"""HTTP/1 messages of connections to instance metadata services. Few packets: Python per segment is affordable here.

Bodies are looked at for the expiry of the credential they carry and forgotten; the first 16 KiB are enough.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import numpy as np
import polars as pl
from msgspec import Struct, field

from analyzer.frames import HTTP_MESSAGES
from analyzer.sources.capture.arrays import I64, U8, U64, Flags, gather, padded
from analyzer.sources.capture.extracts import Extract
from analyzer.sources.capture.http_head import HEAD_MOST, Head, begins, expiry, looks_like_metadata, read_head
from analyzer.sources.capture.layers import LATER, TCP, Headers
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

_SERVERS = {
    version: [
        (np.uint64(int(one) >> 64), np.uint64(int(one) & (1 << 64) - 1))
        for one in map(ip_address, SERVERS)
        if one.version == version
    ]
    for version in (4, 6)
}
"""Upper and lower word of each address, by IP version."""

SERVER_WORDS = np.array(
    [(version, *words) for version, addresses in _SERVERS.items() for words in addresses], np.uint64
).ravel()
"""The same for a kernel: version, upper and lower word of each."""

_Key = tuple[int, int, int, int, int, int, int]
"""IP version; address (two words) and port of the client; the same of the server."""

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_PREFIXES = tuple(
    np.frombuffer(method + path, np.uint8)
    for method in (b"GET ", b"PUT ")
    for path in (b"/latest/", b"/computeMetadata/", b"/metadata/")
)


class _Side(Struct):
    """One direction of a connection. `place` is the frame in which its current message began."""

    response: bool
    stream: Direction = field(default_factory=lambda: Direction(4 * HEAD_MOST))
    place: dict[str, Any] = field(default_factory=dict)
    head: Head | None = None
    discard: int = 0
    early: dict[int, dict[str, Any]] = field(default_factory=dict)


def served(head: Headers, rows: I64) -> Flags:
    """Which of these frames go to or come from a metadata address; DNS to it is none of its service."""
    six = head.version[rows] == 6
    out = _is_server(six, head.src_high[rows], head.src_low[rows])
    out |= _is_server(six, head.dst_high[rows], head.dst_low[rows])
    out &= (head.src_port[rows] != DNS_PORT) & (head.dst_port[rows] != DNS_PORT)
    return out


def choose(head: Headers, rows: I64) -> I64:
    """Those of the frames that `MetadataReader` needs: segments with payload, and SYNs, of metadata services and of the
    port where a proxy may stand in for them."""
    tcp = (head.protocol[rows] == TCP) & (head.fragment[rows] != LATER) & (head.flags[rows] >= 0)
    at = rows[tcp & ((head.payload_bytes[rows] > 0) | ((head.flags[rows] & SYN) != 0))]
    proxy = (head.src_port[at] == PROXY_PORT) | (head.dst_port[at] == PROXY_PORT)
    wanted: I64 = at[proxy | served(head, at)]
    return wanted


class MetadataReader(Struct):
    """Goes from window to window."""

    source: str
    _open: OrderedDict[_Key, tuple[_Side, _Side]] = field(default_factory=OrderedDict)
    _done: list[dict[str, Any]] = field(default_factory=list)
    _proxied: set[_Key] = field(default_factory=set)

    def read(self, got: Extract, duplicate: Flags) -> pl.DataFrame | None:
        """Rows of the messages that became whole; None if there are none."""
        self._proxied = {key for key in self._open if key[-1] == PROXY_PORT}
        if len(got):
            self._segments(got, self._wanted(got, _sockets(got, np.flatnonzero(~duplicate))))
        return self._take()

    def proxied(self, rows: pl.DataFrame) -> pl.Series:
        """Which of these messages belong to connections whose proxy was asked for metadata: they are told here."""
        known = self._proxied
        maybe = (rows["src_port"] == PROXY_PORT) | (rows["dst_port"] == PROXY_PORT)
        if not known or not maybe.any():
            return maybe & False
        there = ["version", "src_high", "src_low", "src_port", "dst_high", "dst_low", "dst_port"]
        back = ["version", "dst_high", "dst_low", "dst_port", "src_high", "src_low", "src_port"]
        either = zip(rows.select(there).iter_rows(), rows.select(back).iter_rows(), strict=True)
        return pl.Series([one in known or other in known for one, other in either], dtype=pl.Boolean)

    def close(self) -> pl.DataFrame | None:
        """Rows of messages whose body never became whole."""
        for key in list(self._open):
            self._drop(key)
        return self._take()

    def _wanted(self, got: Extract, sockets: _Sockets) -> _Sockets:
        """Segments with payload, and SYNs, of metadata connections."""
        rows, server = sockets.rows, sockets.served.copy()
        to_proxy = (got.dst_port[rows] == PROXY_PORT) & (got.payload_bytes[rows] > 0)
        asks = np.flatnonzero(to_proxy & ~server)
        if len(asks):
            server[asks] = _asks_metadata(padded(got.data), got.start[rows[asks]])
        known = self._proxied
        known |= {sockets.keys[place] for place in np.flatnonzero(server & ~sockets.served).tolist()}
        if known:
            for place in np.flatnonzero(~server).tolist():
                server[place] = sockets.keys[place] in known
        at = np.flatnonzero(server)
        return _Sockets(
            rows[at], sockets.served[at], sockets.answer[at], [sockets.keys[place] for place in at.tolist()]
        )

    def _segments(self, got: Extract, wanted: _Sockets) -> None:
        for row, served, key, answer in zip(
            wanted.rows.tolist(), wanted.served.tolist(), wanted.keys, wanted.answer.tolist(), strict=True
        ):
            flags = int(got.flags[row])
            if flags & SYN and int(got.payload_bytes[row]) == 0:
                if flags & 0x10 == 0:
                    self._drop(key)
                continue
            if key not in self._open:
                self._open[key] = (_Side(response=False), _Side(response=True))
                if len(self._open) > CONNECTIONS_MOST:
                    self._drop(next(iter(self._open)))
            side = self._open[key][1 if answer else 0]
            self._feed(side, _place(got, row, self.source, proxied=not served), int(got.seq[row]), got.payload(row))

    def _drop(self, key: _Key) -> None:
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
                "host": head.host,
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


def _is_server(six: Flags, high: U64, low: U64) -> Flags:
    out = np.zeros(len(six), bool)
    for address in _SERVERS[4]:
        out |= low == address[1]
    if six.any():
        out &= ~six
        for address in _SERVERS[6]:
            out |= six & (high == address[0]) & (low == address[1])
    return out


def _asks_metadata(data: U8, payload: I64) -> Flags:
    start = gather(data, payload, 32)
    out = np.zeros(len(payload), bool)
    for prefix in _PREFIXES:
        out |= (start[:, : len(prefix)] == prefix).all(axis=1)
    return out


class _Sockets(Struct, frozen=True):
    """Rows of an extract with the connection of each: whether it is to a metadata address, and who speaks."""

    rows: I64
    served: Flags
    answer: Flags
    keys: list[_Key]


def _sockets(got: Extract, rows: I64) -> _Sockets:
    six = got.version[rows] == 6
    ends = [
        _is_server(six, got.src_high[rows], got.src_low[rows]),
        _is_server(six, got.dst_high[rows], got.dst_low[rows]),
    ]
    src = [got.src_high[rows], got.src_low[rows], got.src_port[rows]]
    dst = [got.dst_high[rows], got.dst_low[rows], got.dst_port[rows]]
    asks = ends[1] | (~ends[0] & (got.dst_port[rows] == PROXY_PORT))
    client = [np.where(asks, one, other).tolist() for one, other in zip(src, dst, strict=True)]
    server = [np.where(asks, other, one).tolist() for one, other in zip(src, dst, strict=True)]
    keys = list(zip(got.version[rows].tolist(), *client, *server, strict=True))
    return _Sockets(rows, ends[0] | ends[1], ~asks, keys)


@lru_cache(maxsize=1 << 14)
def _text(version: int, high: int, low: int) -> str:
    return str(IPv6Address(high << 64 | low) if version == 6 else IPv4Address(low))


def _place(got: Extract, row: int, source: str, *, proxied: bool) -> dict[str, Any]:
    micros, interface, version = int(got.time[row]), int(got.interface[row]), int(got.version[row])
    return {
        "time": None if micros == NO_TIME else _EPOCH + timedelta(microseconds=micros),
        "source": source,
        "number": int(got.number[row]),
        "src": _text(version, int(got.src_high[row]), int(got.src_low[row])),
        "src_port": int(got.src_port[row]),
        "dst": _text(version, int(got.dst_high[row]), int(got.dst_low[row])),
        "dst_port": int(got.dst_port[row]),
        "interface": None if interface == NO_INTERFACE else interface,
        "wire_bytes": int(got.wire[row]),
        "duplicate": False,
        "metadata": True,
        "proxied": proxied,
    }
