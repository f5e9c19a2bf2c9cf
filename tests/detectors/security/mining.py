"""What miners and pools say, as the tables show it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from analyzer.frames import (
    DNS_ANSWERS,
    DNS_MESSAGES,
    MINING_MESSAGES,
    PACKETS,
    TLS_CLIENT_HELLOS,
    Table,
)
from tests.build import rows
from tests.conversations import ACK, SYN
from tests.lookups import exchange

MINER, POOL, NAME = "10.244.1.17", "192.0.2.80", "pool.supportxmr.com"
Row = dict[str, Any]


def says(
    time: float, method: str, *, miner: str = MINER, pool: str = POOL, back: bool = False, port: int = 3333, **more: Any
) -> Row:
    """A message of the miner, or `back` of the pool."""
    ends = {"src": miner, "src_port": 40000, "dst": pool, "dst_port": port}
    if back:
        ends = {"src": pool, "src_port": port, "dst": miner, "dst_port": 40000}
    return {"time": time, "method": method, "response": False, "duplicate": False, **ends} | more


def session(start: float, seconds: float, shares: int, **ends: Any) -> list[Row]:
    """Login, its answer, shares at equal distances, and new work after each."""
    out = [says(start, "login", agent="XMRig/6.21.0", account="48edfH...icoD", algorithm="rx/0", **ends)]
    out.append(says(start + 0.1, "login", back=True, response=True, algorithm="rx/0", **ends))
    for number in range(shares):
        at = start + (number + 1) * seconds / (shares + 1)
        out += [says(at, "submit", **ends), says(at + 0.1, "job", back=True, algorithm="rx/0", **ends)]
    return out


def connection(
    start: float,
    seconds: float,
    *,
    client: str = MINER,
    server: str = POOL,
    port: int = 3333,
    client_port: int = 40000,
    pushes: int = 0,
    answered: bool = True,
    size: int = 120,
) -> list[Row]:
    """A TCP connection: a request and its answer in the first second, then so many pushes of the server."""
    seq, ack = 1000, 5000

    def packet(at: float, out: bool, flags: int = ACK, payload: int = 0) -> Row:
        ends = {"src": client, "src_port": client_port, "dst": server, "dst_port": port}
        if not out:
            ends = {"src": server, "src_port": port, "dst": client, "dst_port": client_port}
        numbers = {"seq": seq if out else ack, "ack": (ack if out else seq) if flags & ACK else 0}
        same = {"protocol": "TCP", "duplicate": False, "window": 500, "tcp_flags": flags, "payload_bytes": payload}
        return {"time": at, **ends, **numbers, **same}

    made = [packet(start, True, SYN)]
    seq += 1
    if not answered:
        return made
    made.append(packet(start + 0.01, False, SYN | ACK))
    ack += 1
    made.append(packet(start + 0.02, True))
    made.append(packet(start + 0.03, True, ACK, size))
    seq += size
    made.append(packet(start + 0.05, False, ACK, size))
    ack += size
    for number in range(pushes):
        made.append(packet(start + (number + 1) * seconds / (pushes + 1), False, ACK, size))
        ack += size
    made.append(packet(start + seconds, True))
    return made


def given(
    *,
    spoken: Iterable[Row] = (),
    packets: Iterable[Row] = (),
    lookups: Iterable[Row] = (),
    answers: Iterable[Row] = (),
    hellos: Iterable[Row] = (),
    source: str = "node.pcap",
) -> dict[Table, pl.LazyFrame]:
    """A capture with these rows; tables are there even where they are empty, as a capture gives them."""
    parts = {
        MINING_MESSAGES: spoken,
        PACKETS: sorted(packets, key=lambda row: row["time"]),
        DNS_MESSAGES: lookups,
        DNS_ANSWERS: answers,
        TLS_CLIENT_HELLOS: hellos,
    }
    return {table: rows(table, *found, source=source) for table, found in parts.items()}


def lookup(
    time: float, name: str = NAME, *, client: str = MINER, rcode: str = "NOERROR", port: int = 41000
) -> list[Row]:
    return exchange(time, name, rcode, client=client, port=port)


def told(time: float, name: str = NAME, value: str = POOL, *, client: str = MINER) -> Row:
    """A record of an answer."""
    return {"time": time, "client": client, "name": name, "rtype": "A", "value": value, "protocol": "dns", "ttl": 60}


def hello(time: float, sni: str | None, *, client: str = MINER, server: str = POOL, port: int = 443) -> Row:
    ends = {"client": client, "client_port": 40000, "server": server, "server_port": port}
    return {"time": time, "sni": sni, "duplicate": False, **ends}
