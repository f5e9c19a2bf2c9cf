"""Connections within a cluster and to the outside as rows of the packets table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import polars as pl

from analyzer.frames import PACKETS, TIME
from tests.build import T0

ACK, RST, SYN = 0x10, 0x04, 0x02
POD, OTHER, THIRD, PEER = "10.244.1.7", "10.244.1.8", "10.244.1.9", "10.244.2.3"
OUTSIDE = ("192.0.2.17", "198.51.100.23", "203.0.113.9")
DOUBLING, LINEAR = (1, 3, 7, 15), (1, 2, 3, 4, 5, 7, 11)

Row = dict[str, Any]

_ids = count(1)


def packet(time: float, src: tuple[str, int], dst: tuple[str, int], seq: int, ack: int, **more: Any) -> Row:
    """One packet; `flags` and `size` as in `more`."""
    flags, size = more.pop("flags", ACK), more.pop("size", 0)
    ends = {"src": src[0], "src_port": src[1], "dst": dst[0], "dst_port": dst[1]}
    numbers = {"seq": seq, "ack": ack, "tcp_flags": flags, "payload_bytes": size, "window": 500}
    return (
        {"time": time, "protocol": "TCP", "duplicate": False, "ip_id": next(_ids) % 65535 + 1} | ends | numbers | more
    )


def connection(
    start: float,
    client: str,
    server: str,
    *,
    port: int = 40000,
    service: int = 443,
    data: int = 18,
    lost: int = 0,
    tries: Sequence[float] = (),
    answered: bool = True,
    size: int = 100,
    times: int = 1,
    step: float = 0.5,
) -> list[Row]:
    """A connection: `tries` are seconds at which its SYN is sent again, `data` segments of the client, of which the
    first `lost` arrive with their transmission after `times` more."""
    near, far, isn = (client, port), (server, service), (int(start * 1000) * 7919 + port + service) % 2**31
    out = [packet(start + at, near, far, isn, 0, flags=SYN) for at in (0, *tries)]
    if not answered:
        return out
    at = start + (tries[-1] if tries else 0) + 0.01
    out.append(packet(at, far, near, 900, isn + 1, flags=SYN | ACK))
    out.append(packet(at, near, far, isn + 1, 901))
    for number in range(data):
        seq, sent = isn + 1 + number * size, at + number * step
        turns = range(1 + (times if number < lost else 0))
        out += [packet(sent + turn * step * 0.6 / max(times, 1), near, far, seq, 901, size=size) for turn in turns]
    out.append(packet(at + data * step, far, near, 901, isn + 1 + data * size))
    return out


def capture(*parts: Iterable[Row], source: str = "node.pcap") -> pl.LazyFrame:
    """The packets in the order of their time, numbered from 1; made at once, for they are many."""
    made = sorted((row for part in parts for row in part), key=lambda row: row["time"])
    named = {name: [row.get(name) for row in made] for name in PACKETS.schema if name not in {"time", "source"}}
    named |= {"number": list(range(1, len(made) + 1))}
    since = pl.Series([round(row["time"] * 1e6) for row in made], dtype=pl.Int64).cast(pl.Duration("us"))
    frame = pl.DataFrame(named, schema={name: PACKETS.schema[name] for name in named})
    return PACKETS.check(frame.lazy().with_columns(time=pl.lit(T0).cast(TIME) + since, source=pl.lit(source)))


def within(connections: int = 50, **more: Any) -> list[Row]:
    """So many connections between pods, of 20 segments each."""
    return [row for i in range(connections) for row in connection(i * 10, POD, PEER, port=30000 + i, **more)]


def outward(
    connections: int = 50, *, servers: Sequence[str] = OUTSIDE, lost: Iterable[int] = (), lose: int = 1, **more: Any
) -> list[Row]:
    """So many connections to servers outside by turns, of 20 segments each; those of `lost` lose `lose` segments."""
    bad = set(lost)
    return [
        row
        for i in range(connections)
        for row in connection(
            i * 10 + 3, POD, servers[i % len(servers)], port=30000 + i, lost=lose if i in bad else 0, **more
        )
    ]
