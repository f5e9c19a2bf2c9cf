"""Requests of an audit log: a quiet cluster, and an agent that fills the server until it rejects requests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from analyzer.frames import AUDIT_EVENTS, Table
from tests.build import rows

AGENT: dict[str, Any] = {
    "agent": "datadog-agent",
    "user": "system:serviceaccount:datadog:datadog-agent",
    "verb": "list",
    "api_group": "",
    "resource": "pods",
    "source_ip": "192.0.2.7",
}
KUBELET: dict[str, Any] = {
    "agent": "kubelet",
    "user": "system:node:node-1",
    "verb": "update",
    "api_group": "coordination.k8s.io",
    "resource": "leases",
    "source_ip": "192.0.2.1",
}
OPERATOR: dict[str, Any] = {
    "agent": "operator",
    "user": "system:serviceaccount:shop:operator",
    "verb": "get",
    "resource": "services",
}


def asked(
    who: dict[str, Any], seconds: Iterable[float], *, code: int = 200, cost: float = 0.01
) -> list[dict[str, Any]]:
    """Requests of one client: rejected ones carry no decision, as the server's limits act before authorization."""
    decision = None if code == 429 else "allow"
    return [
        who | {"time": s, "stage_time": s + cost, "code": code, "decision": decision, "stage": "ResponseComplete"}
        for s in seconds
    ]


def every(step: float, start: float, end: float) -> list[float]:
    return [start + i * step for i in range(round((end - start) / step))]


def log(*parts: list[dict[str, Any]]) -> dict[Table, pl.LazyFrame]:
    """An audit log of these requests, in order of time, numbered by line."""
    events = sorted((event for part in parts for event in part), key=lambda event: event["time"])
    return {AUDIT_EVENTS: rows(AUDIT_EVENTS, *[{"audit_id": f"id-{i}"} | event for i, event in enumerate(events)])}


QUIET = asked(KUBELET, every(10, 0, 600)) + asked(OPERATOR, every(5, 0, 600))
STORM = (
    asked(AGENT, every(0.5, 300, 330), cost=0.4)
    + asked(AGENT, every(0.25, 300.1, 330.1), code=429, cost=0)
    + asked(KUBELET, [305.05, 315.05], code=429, cost=0)
)
