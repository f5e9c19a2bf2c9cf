"""Since when and until when a service is open to whom."""

from __future__ import annotations

from typing import Any

from analyzer.facts.service_exposures import SERVICE_EXPOSURES
from analyzer.frames import AUDIT_EVENTS, AUDIT_SERVICE_PORTS
from tests.build import at, frames_for, rows
from tests.calls import call

Row = dict[str, Any]
PUBLIC: Row = {"type": "LoadBalancer", "port": 80, "internal": False, "source_ranges": ""}


def exposures(*writes: Row, deleted: float | None = None) -> list[Row]:
    named: list[Row] = [
        {"namespace": "shop", "name": "web", "verb": "update", "body": "response", "number": n + 1, "audit_id": f"s{n}"}
        | row
        for n, row in enumerate(writes)
    ]
    same: Row = {
        "resource": "services",
        "api_group": "",
        "namespace": "shop",
        "name": "web",
        "user": "alice",
        "agent": "kubectl",
    }
    calls = [
        call(row["time"], verb=row["verb"], audit_id=row["audit_id"], number=row["number"], **same) for row in named
    ]
    if deleted is not None:
        calls.append(call(deleted, verb="delete", audit_id="gone", number=99, **same))
    given = {
        AUDIT_SERVICE_PORTS: rows(AUDIT_SERVICE_PORTS, *named, source="audit.log"),
        AUDIT_EVENTS: rows(AUDIT_EVENTS, *calls, source="audit.log"),
    }
    return frames_for([SERVICE_EXPOSURES], given)[SERVICE_EXPOSURES].collect().to_dicts()


def test_it_is_open_until_another_write_closes_it() -> None:
    [row] = exposures(PUBLIC | {"time": 0}, PUBLIC | {"time": 60, "type": "ClusterIP"})
    assert (row["time"], row["until"], row["until_number"], row["reach"]) == (at(0), at(60), 2, "public")
    assert (row["actor"], row["agent"]) == ("alice", "kubectl")


def test_it_is_open_until_it_is_deleted() -> None:
    [row] = exposures(PUBLIC | {"time": 0}, deleted=30)
    assert (row["until"], row["until_number"]) == (at(30), 99)


def test_a_patch_leaves_what_it_does_not_name() -> None:
    patch = {"time": 60, "verb": "patch", "body": "request", "source_ranges": "10.0.0.0/8"}
    before, after = exposures(PUBLIC | {"time": 0}, patch)
    assert (before["reach"], before["until"], after["reach"], after["port"]) == ("public", at(60), "restricted", 80)
    other = {"time": 60, "verb": "patch", "body": "request", "port": 443}
    assert [row["port"] for row in exposures(PUBLIC | {"time": 0}, other)] == [80, 443]


def test_ranges_of_everybody_are_none() -> None:
    [row] = exposures(PUBLIC | {"time": 0, "source_ranges": "0.0.0.0/0"})
    assert row["reach"] == "public"


def test_a_balancer_that_turns_out_private_is_internal() -> None:
    status = {"time": 40, "verb": "patch", "body": "request", "balancer": "10.0.4.9"}
    [row] = exposures(PUBLIC | {"time": 0}, status)
    assert (row["reach"], row["balancer"]) == ("internal", "10.0.4.9")


def test_a_read_tells_that_it_was_open_and_nobody_opened_it() -> None:
    [row] = exposures(PUBLIC | {"time": 0, "verb": "get", "type": "NodePort", "node_port": 30080})
    assert (row["reach"], row["actor"], row["node_port"]) == ("nodes", None, 30080)


def test_a_service_inside_is_no_exposure() -> None:
    assert exposures(PUBLIC | {"time": 0, "type": "ClusterIP"}) == []
