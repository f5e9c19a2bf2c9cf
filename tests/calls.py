"""Requests to kube-apiserver for tests: audit events of the last stage, of which a test states what it is about."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyzer.frames import AUDIT_EVENTS, Table
from tests.build import rows

CALL: dict[str, Any] = {
    "level": "Metadata",
    "stage": "ResponseComplete",
    "code": 200,
    "decision": "allow",
    "event_bytes": 800,
    "request_body_bytes": 0,
    "response_body_bytes": 0,
    "truncated": False,
}


def call(at: float, took: float = 0.005, **same: Any) -> dict[str, Any]:
    """One request, received `at` seconds after T0."""
    return CALL | {"time": at, "stage_time": at + took} | same


def listed(at: float, resource: str = "pods", *, query: str = "", node: str = "", **same: Any) -> dict[str, Any]:
    """A list of a whole cluster's resource of the core group; `node` selects the pods of one node."""
    query += f"&fieldSelector=spec.nodeName%3D{node}" if node else ""
    uri = f"/api/v1/{resource}" + (f"?{query.lstrip('&')}" if query else "")
    return call(at, verb="list", api_group="", resource=resource, uri=uri, **same)


def audit(*parts: list[dict[str, Any]]) -> dict[Table, pl.LazyFrame]:
    """The audit events of these requests, in order of time, each with an id of its own."""
    events = sorted((event for part in parts for event in part), key=lambda event: (event["time"], str(event)))
    named = [{"audit_id": f"id-{number}"} | event for number, event in enumerate(events)]
    return {AUDIT_EVENTS: rows(AUDIT_EVENTS, *named)}
