"""DNS lookups as the tables show them: one exchange, one walk through a search list, a capture or a log of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

import polars as pl

from analyzer.frames import COREDNS_QUERIES, DNS_MESSAGES
from tests.build import rows

POD, DNS = "10.0.0.7", "10.96.0.10"
LIST = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "ec2.internal")

Row = dict[str, Any]

_ids = count(1)


def exchange(
    time: float,
    name: str,
    rcode: str | None = "NXDOMAIN",
    *,
    qtype: str = "A",
    client: str = POD,
    port: int = 40000,
    server: str = DNS,
    dns_id: int | None = None,
    after: float = 0.001,
    answers: int | None = None,
    **more: Any,
) -> list[Row]:
    """A query and, unless rcode is None, its answer so many seconds later; NOERROR has one record unless told."""
    number = next(_ids) % 65536 if dns_id is None else dns_id
    same = {
        "dns_id": number,
        "name": name,
        "qtype": qtype,
        "protocol": "dns",
        "transport": "udp",
        "wire_bytes": 100,
    } | more
    query = {"time": time, "src": client, "src_port": port, "dst": server, "dst_port": 53, "response": False} | same
    if rcode is None:
        return [query]
    records = answers if answers is not None else int(rcode == "NOERROR")
    answer = {"time": time + after, "src": server, "src_port": 53, "dst": client, "dst_port": port, "response": True}
    return [query, answer | same | {"rcode": rcode, "answers": records}]


def walk(
    time: float,
    base: str,
    *,
    domains: Iterable[str] = LIST,
    ends: str = "NOERROR",
    found_under: str = "",
    qtypes: Iterable[str] = ("A", "AAAA"),
    step: float = 0.002,
    **more: Any,
) -> list[Row]:
    """One lookup by a resolver with a search list: every domain in turn, then the name as it stands with `ends`;
    or up to the domain `found_under`, which answers. A and AAAA go out together."""
    made: list[Row] = []
    for i, name in enumerate([*(f"{base}.{domain}" for domain in domains), base]):
        found = name == f"{base}.{found_under}"
        rcode = "NOERROR" if found else ends if name == base else "NXDOMAIN"
        for qtype in qtypes:
            made += exchange(time + i * step, name, rcode, qtype=qtype, **more)
        if found:
            break
    return made


def capture(*parts: Iterable[Row], source: str = "node.pcap") -> pl.LazyFrame:
    """The exchanges as a capture: frames in the order of time, numbered from 1."""
    ordered = sorted((row for part in parts for row in part), key=lambda row: row["time"])
    return rows(DNS_MESSAGES, *ordered, source=source)


def log(*parts: Iterable[Row], source: str = "coredns.log", timed: bool = True) -> pl.LazyFrame:
    """The same exchanges as CoreDNS logs them: one line per answered query, in the order of the answers."""
    lines: list[Mapping[str, Any]] = []
    pending: dict[tuple[Any, ...], Row] = {}
    for row in sorted((row for part in parts for row in part), key=lambda row: row["time"]):
        ends = (row["dst"], row["dst_port"]) if row["response"] else (row["src"], row["src_port"])
        key = (*ends, row["dns_id"], row["name"], row["qtype"])
        if not row["response"]:
            pending[key] = row
            continue
        asked = pending.pop(key)
        took = row["time"] - asked["time"]
        lines.append(
            {
                "time": row["time"] if timed else None,
                "query_time": asked["time"] if timed else None,
                "client": ends[0],
                "client_port": ends[1],
                "dns_id": row["dns_id"],
                "name": row["name"],
                "qtype": row["qtype"],
                "transport": "udp",
                "rcode": row["rcode"],
                "flags": "qr,aa,rd",
                "query_bytes": 50,
                "answer_bytes": 150,
                "duration_seconds": took,
            }
        )
    return rows(COREDNS_QUERIES, *lines, source=source)
