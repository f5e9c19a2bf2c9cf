"""Rows for tests of traffic to pods that end: deletions, addresses, connections."""

from __future__ import annotations

from itertools import count
from typing import Any

import polars as pl

from analyzer.frames import AUDIT_ADDRESSES, AUDIT_EVENTS, PACKETS, Table
from tests.build import rows

Row = dict[str, Any]
Given = dict[Table, pl.LazyFrame]

SYN, RST, ACK = 0x02, 0x04, 0x10
SETS = "system:serviceaccount:kube-system:replicaset-controller"
SLICES = "system:serviceaccount:kube-system:endpointslice-controller"
CLIENT = "10.244.7.9"
OLD = "web-5d9c7f6b8-x2k{}"
"""Pods of Deployment shop/web; the last letter tells them apart."""

_ports = count(40000)


def pod(letter: str) -> str:
    return OLD.format(f"b{letter}")


def address(letter: str) -> str:
    return f"10.244.3.{20 + 'bcdfghjklm'.index(letter)}"


def request(seconds: float, **changed: Any) -> Row:
    made: Row = {"time": seconds, "stage_time": seconds, "stage": "ResponseComplete", "verb": "delete", "code": 200}
    made |= {"resource": "pods", "namespace": "shop", "user": SETS}
    return made | changed


def deleted(seconds: float, letter: str, **changed: Any) -> Row:
    return request(seconds, name=pod(letter), **changed)


def had(letter: str, seconds: float = 0, **changed: Any) -> Row:
    """The body of a status that tells a pod's address."""
    made: Row = {"time": seconds, "resource": "pods", "subresource": "status", "kubelet": True, "kind": "pod"}
    made |= {"address": address(letter), "namespace": "shop", "name": pod(letter), "uid": f"u-{letter}", "node": "n1"}
    return made | changed


def packet(seconds: float, src: str, sport: int, dst: str, dport: int, flags: int, **changed: Any) -> Row:
    made: Row = {"time": seconds, "src": src, "src_port": sport, "dst": dst, "dst_port": dport, "protocol": "TCP"}
    made |= {"tcp_flags": flags, "seq": 0, "ack": 0, "payload_bytes": 0, "window": 500, "duplicate": False}
    return made | changed


def tried(seconds: float, letter: str, outcome: str = "refused", client: str = CLIENT, to: str = "") -> list[Row]:
    """A new connection to a pod's address: refused, answered (and left open for a moment) or unanswered."""
    port, server = next(_ports), to or address(letter)
    isn = port * 7
    sent = [packet(seconds, client, port, server, 8080, SYN, seq=isn)]
    if outcome == "refused":
        sent.append(packet(seconds + 0.001, server, 8080, client, port, RST | ACK, ack=isn + 1))
    if outcome == "answered":
        sent.append(packet(seconds + 0.001, server, 8080, client, port, SYN | ACK, seq=isn * 3, ack=isn + 1))
        sent.append(packet(seconds + 0.002, client, port, server, 8080, ACK, seq=isn + 1, ack=isn * 3 + 1))
    return sent


def seen(*parts: list[Row], ends: float = 900) -> Given:
    """A capture of these packets, which goes on until `ends`."""
    packets = sorted((row for part in (*parts, tried(ends, "m", "refused", "10.0.0.1")) for row in part), key=_time)
    return {PACKETS: rows(PACKETS, *packets, source="node.pcap")}


def told(*requests: Row, addresses: tuple[Row, ...]) -> Given:
    events = [{"audit_id": f"a{at}", "number": at} | row for at, row in enumerate(sorted(requests, key=_time), 1)]
    given = {AUDIT_EVENTS: rows(AUDIT_EVENTS, *events, source="audit.log")}
    return given | {AUDIT_ADDRESSES: rows(AUDIT_ADDRESSES, *addresses, source="audit.log")}


def _time(row: Row) -> float:
    return float(row["time"])
