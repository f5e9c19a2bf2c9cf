"""Requests to a metadata service as the tables show them: one exchange, one refresh, a capture of both."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

import polars as pl

from analyzer.frames import HTTP_MESSAGES, PACKETS
from tests.build import rows

POD, METADATA, SERVER = "10.0.0.7", "169.254.169.254", "192.0.2.80"
BOTOCORE = "Botocore/1.20.112 Python/3.11.7 Linux/6.1"
TOKEN = "/latest/api/token"
ROLES = "/latest/meta-data/iam/security-credentials/"
CREDENTIAL = ROLES + "example-node-role"

Row = dict[str, Any]

_ports = count(40000)


def exchange(
    time: float,
    path: str,
    status: int | None = 200,
    *,
    method: str = "GET",
    client: str = POD,
    port: int | None = None,
    server: str = METADATA,
    agent: str | None = BOTOCORE,
    after: float = 0.002,
    life: float | None = None,
    **more: Any,
) -> list[Row]:
    """A request and, unless status is None, its answer; `life` is what the credential in it has left then."""
    own = next(_ports) % 20000 + 40000 if port is None else port
    request = {
        "time": time,
        "src": client,
        "src_port": own,
        "dst": server,
        "dst_port": 80,
        "response": False,
        "method": method,
        "path": path,
        "user_agent": agent,
        "metadata": True,
        "wire_bytes": 300,
    } | more
    if status is None:
        return [request]
    answer = {
        "time": time + after,
        "src": server,
        "src_port": 80,
        "dst": client,
        "dst_port": own,
        "response": True,
        "status": status,
        "metadata": True,
        "expires_at": None if life is None else time + after + life,
        "wire_bytes": 900,
    } | more
    return [request, answer]


def refresh(time: float, *, life: float | None = 840, version: int = 1, **more: Any) -> list[Row]:
    """One refresh by botocore: a token (refused by version 1), the role, the credential; 10 ms in all."""
    return [
        *exchange(time, TOKEN, 404 if version == 1 else 200, method="PUT", **more),
        *exchange(time + 0.004, ROLES, **more),
        *exchange(time + 0.008, CREDENTIAL, life=life, **more),
    ]


def capture(*parts: Iterable[Row], source: str = "node.pcap") -> pl.LazyFrame:
    """The exchanges as a capture: frames in the order of time, numbered from 1."""
    ordered = sorted((row for part in parts for row in part), key=lambda row: row["time"])
    return rows(HTTP_MESSAGES, *ordered, source=source)


def requests(*times: float, client: str = POD, source: str = "node.pcap", **more: Any) -> pl.LazyFrame:
    """Requests on one connection to a server, each answered 5 ms later, as packets; numbers from 1001."""
    ends = {"src": client, "src_port": 50000, "dst": SERVER, "dst_port": 9000}
    back = {"src": SERVER, "src_port": 9000, "dst": client, "dst_port": 50000}
    common = {"protocol": "TCP", "payload_bytes": 100} | more
    made = [pair for time in times for pair in ({"time": time} | ends, {"time": time + 0.005} | back)]
    return rows(PACKETS, *({"number": 1001 + i} | row | common for i, row in enumerate(made)), source=source)
