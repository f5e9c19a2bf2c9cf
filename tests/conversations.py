"""TCP conversations as rows of the packets table: a test states who sends which octets when."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyzer.frames import PACKETS
from tests.build import rows

CLIENT, SERVER = "10.0.0.7", "192.0.2.80"
PORT, SERVICE = 40000, 443
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
WORD = 1 << 32

Row = dict[str, Any]


def client(
    time: float | None, seq: int, ack: int = 0, size: int = 0, flags: int = ACK, *, port: int = PORT, **more: Any
) -> Row:
    """A packet of the client."""
    ends = {"src": CLIENT, "src_port": port, "dst": SERVER, "dst_port": SERVICE}
    return _packet(time, seq, ack, size, flags, ends) | more


def server(
    time: float | None, seq: int, ack: int = 0, size: int = 0, flags: int = ACK, *, port: int = PORT, **more: Any
) -> Row:
    """A packet of the server."""
    ends = {"src": SERVER, "src_port": SERVICE, "dst": CLIENT, "dst_port": port}
    return _packet(time, seq, ack, size, flags, ends) | more


def _packet(time: float | None, seq: int, ack: int, size: int, flags: int, ends: Row) -> Row:
    numbers = {"seq": seq % WORD, "ack": ack % WORD, "payload_bytes": size, "tcp_flags": flags, "window": 500}
    return {"time": time, "protocol": "TCP", "duplicate": False} | ends | numbers


def handshake(time: float = 0, *, isn: int = 100, answer: int = 900, took: float = 0.01, port: int = PORT) -> list[Row]:
    """SYN, SYN-ACK and ACK; the client goes on with isn + 1, the server with answer + 1."""
    return [
        client(time, isn, flags=SYN, port=port),
        server(time + took, answer, isn + 1, flags=SYN | ACK, port=port),
        client(time + took, isn + 1, answer + 1, port=port),
    ]


def capture(*packets: Row, source: str = "node.pcap") -> pl.LazyFrame:
    """The packets as a capture, numbered from 1 in this order."""
    return rows(PACKETS, *packets, source=source)
