"""Writes of EndpointSlices and Endpoints."""

from __future__ import annotations

from typing import Any

from analyzer.facts.endpoint_writes import ENDPOINT_WRITES
from analyzer.frames import AUDIT_ADDRESSES, AUDIT_EVENTS
from tests.build import at, frames_for, rows


def write(**changed: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"stage": "ResponseComplete", "verb": "update", "code": 200, "namespace": "shop"}
    return made | {"resource": "endpointslices", "name": "web-x2kbc"} | changed


def test_slices_name_their_service_and_bodies_their_addresses() -> None:
    events = [
        write(time=1, stage_time=1.5),
        write(time=2, resource="endpoints", name="web"),
        write(time=3, verb="get"),
        write(time=4, code=409),
        write(time=5, name="odd"),
        write(time=6, uri="/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-x2kbc?dryRun=All"),
    ]
    told = [
        {"time": 1, "number": 1, "resource": "endpointslices", "address": address, "kind": "pod"}
        | {"ready": address != "10.0.0.3"}
        for address in ("10.0.0.2", "10.0.0.1", "10.0.0.3")
    ]
    given = {
        AUDIT_EVENTS: rows(AUDIT_EVENTS, *[row | {"audit_id": f"a{n}"} for n, row in enumerate(events)]),
        AUDIT_ADDRESSES: rows(AUDIT_ADDRESSES, *told),
    }
    frame = frames_for([ENDPOINT_WRITES], given)[ENDPOINT_WRITES].collect()
    assert frame.select("time", "name", "service", "addresses", "ready").rows() == [
        (at(1.5), "web-x2kbc", "web", ["10.0.0.1", "10.0.0.2", "10.0.0.3"], ["10.0.0.1", "10.0.0.2"]),
        (at(2), "web", "web", [], []),
        (at(5), "odd", None, [], []),
    ]
