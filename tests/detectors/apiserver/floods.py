"""Records of an audit log: a quiet cluster, and one controller that writes in a loop."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyzer.frames import AUDIT_EVENTS, Table
from tests.build import rows

WIDGET = "system:serviceaccount:operators:widget-operator"
LOOP: dict[str, Any] = {
    "user": WIDGET,
    "verb": "update",
    "api_group": "",
    "resource": "configmaps",
    "level": "RequestResponse",
    "stage": "ResponseComplete",
    "event_bytes": 5000,
    "request_body_bytes": 2000,
    "response_body_bytes": 2200,
    "decision": "allow",
    "code": 200,
    "truncated": False,
}
NODE: dict[str, Any] = LOOP | {
    "user": "system:node:node-1",
    "verb": "get",
    "resource": "nodes",
    "event_bytes": 900,
    "level": "Metadata",
    "request_body_bytes": 0,
    "response_body_bytes": 0,
}


def written(what: dict[str, Any], per_second: float, start: float, end: float, **same: Any) -> list[dict[str, Any]]:
    """Records of one kind, evenly spread."""
    count = round((end - start) * per_second)
    return [what | same | {"time": start + i / per_second, "stage_time": start + i / per_second} for i in range(count)]


def log(*parts: list[dict[str, Any]]) -> dict[Table, pl.LazyFrame]:
    events = sorted((event for part in parts for event in part), key=lambda event: (event["time"], event["user"]))
    return {AUDIT_EVENTS: rows(AUDIT_EVENTS, *events)}


QUIET = [
    *written(NODE, 0.5, 0, 900),
    *written(NODE | {"user": "system:kube-scheduler"}, 0.5, 0.1, 900.1),
    *written(LOOP, 0.1, 0.2, 600.2),
]
FLOOD = written(LOOP, 15, 600, 720)
