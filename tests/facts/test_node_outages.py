"""Times at which a node was not heard of, was told not ready, or came back from a boot."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import pytest

from analyzer.facts.node_outages import NODE_OUTAGES
from analyzer.frames import AUDIT_EVENTS, KERNEL_MESSAGES, KLOG_LINES, KUBE_EVENTS, Table
from tests.build import at, frames_for, rows

Given = dict[Table, pl.LazyFrame]


def outages(given: Given) -> list[tuple[Any, ...]]:
    frame = frames_for([NODE_OUTAGES], given)[NODE_OUTAGES].collect()
    return frame.select("time", "node", "until", "silent_seconds", "rebooted", "told_by").rows()


def lease(seconds: float, node: str, **changed: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"time": seconds, "stage": "ResponseComplete", "verb": "update", "code": 200, "node": node}
    return made | {"resource": "leases", "namespace": "kube-node-lease", "user": f"system:node:{node}"} | changed


def audit(*events: dict[str, Any]) -> Given:
    ordered = sorted(events, key=lambda row: float(row["time"]))
    return {AUDIT_EVENTS: rows(AUDIT_EVENTS, *[row | {"audit_id": f"a{n}"} for n, row in enumerate(ordered)])}


def beats(node: str, *times: range) -> list[dict[str, Any]]:
    return [lease(time, node) for part in times for time in part]


N1 = "n1.example.com"
GAP = beats(N1, range(0, 101, 10), range(150, 301, 10))
OTHER = beats("n2", range(1, 300, 10))
OUTAGE = (at(100), "n1", at(150), 50.0, False, "silence")


def test_a_kubelet_that_is_silent_while_another_is_heard() -> None:
    assert outages(audit(*GAP, *OTHER)) == [OUTAGE]


def test_a_silence_that_all_share_is_the_servers() -> None:
    assert outages(audit(*GAP, *beats("n2", range(1, 100, 10), range(151, 300, 10)))) == []


def test_a_kubelet_without_heartbeats_in_the_log_is_not_judged_by_its_silence() -> None:
    """The policy leaves leases out: what is left comes with pods."""
    pods = [lease(time, N1, resource="pods", namespace="shop", verb="patch") for time in range(100)]
    assert outages(audit(*pods, *OTHER)) == []
    status = [lease(time, N1, resource="nodes", namespace=None, subresource="status") for time in range(0, 3000, 300)]
    assert outages(audit(*status, *beats("n2", range(1, 3000, 10)))) == []


def test_a_silence_up_to_the_end_has_no_end() -> None:
    assert outages(audit(*beats(N1, range(0, 101, 10)), *OTHER)) == [(at(100), "n1", None, 191.0, False, "silence")]
    assert outages(audit(*beats(N1, range(0, 261, 10)), *OTHER)) == []


def event(seconds: float, reason: str, node: str = N1) -> dict[str, Any]:
    return {"time": seconds, "reason": reason, "kind": "Node", "name": node, "count": 1, "event_uid": f"{seconds}"}


def test_events_of_one_outage_are_one_row() -> None:
    told = (event(145, "NodeNotReady"), event(200, "Rebooted"), event(230, "NodeReady"), event(900, "NodeNotReady"))
    assert outages({KUBE_EVENTS: rows(KUBE_EVENTS, *told)}) == [
        (at(145), "n1", at(230), None, True, "Event NodeNotReady, Event Rebooted"),
        (at(900), "n1", None, None, False, "Event NodeNotReady"),
    ]
    assert outages(audit(*GAP, *OTHER) | {KUBE_EVENTS: rows(KUBE_EVENTS, event(145, "NodeNotReady"))}) == [
        (at(100), "n1", at(150), 50.0, False, "Event NodeNotReady, silence")
    ]


def test_a_node_that_becomes_ready_for_the_first_time_is_no_outage() -> None:
    assert outages({KUBE_EVENTS: rows(KUBE_EVENTS, event(10, "NodeReady"), event(11, "Starting"))}) == []


def test_the_node_controller_writes_the_status_of_a_node_that_is_gone() -> None:
    user = "system:serviceaccount:kube-system:node-controller"
    marked = {"resource": "nodes", "namespace": None, "name": N1, "subresource": "status", "user": user, "node": None}
    written = lease(145, N1) | marked
    assert outages(audit(written)) == [(at(145), "n1", None, None, False, "node controller")]
    shared = {"user": "system:kube-controller-manager"}
    assert outages(audit(written | shared | {"controller": user})) == outages(audit(written))
    assert outages(audit(written | shared)) == []
    assert outages(audit(written | {"user": "ops"})) == []
    assert outages(audit(written | {"subresource": None})) == []


def test_the_log_of_the_controller_manager_tells_it() -> None:
    text = '"Recording status change event message for node" status="NodeNotReady" node="n1.example.com"'
    line = {"time": 5, "message": "Recording status change event message for node", "text": text}
    assert [row[1:] for row in outages({KLOG_LINES: rows(KLOG_LINES, line)})] == [
        ("n1", None, None, False, "node controller")
    ]


@pytest.mark.parametrize("colon", ["", ":"])
def test_the_log_of_an_old_controller_manager_tells_it(colon: str) -> None:
    text = f"Recording status change NodeNotReady event message for node{colon} n1.example.com"
    assert [row[1:] for row in outages({KLOG_LINES: rows(KLOG_LINES, {"time": 5, "message": text, "text": text})})] == [
        ("n1", None, None, False, "node controller")
    ]
    ready = text.replace("NodeNotReady", "NodeReady")
    assert outages({KLOG_LINES: rows(KLOG_LINES, {"time": 5, "message": ready, "text": ready})}) == []


@pytest.mark.parametrize(
    ("fell", "back"),
    [
        ("Node became not ready", "Fast updating node status as it just became ready"),
        ("Node became not ready: {Type:Ready Status:False}", "Recording NodeReady event message for node n1"),
    ],
)
@pytest.mark.parametrize(("start", "young"), [(0, False), (99, False), (100, True)])
def test_a_kubelet_says_that_its_node_is_not_ready_unless_it_just_began(
    fell: str, back: str, start: float, young: bool
) -> None:
    said = ((start, "Kubelet version"), (400, fell), (460, back))
    told = [{"time": time, "message": message} for time, message in said]
    given = {KLOG_LINES: rows(KLOG_LINES, *told, component="kubelet", host=N1, text="x")}
    assert outages(given) == [(at(400), "n1", at(460), None, False, "kubelet")] * (not young)


def lines(*times: float, start: float) -> Given:
    made: list[dict[str, Any]] = [{"time": time, "message": "Probe failed"} for time in times]
    made.append({"time": start, "message": "Kubelet version"})
    return {KLOG_LINES: rows(KLOG_LINES, *made, component="kubelet", host=N1, text="x")}


def test_a_kubelet_that_starts_after_a_silence() -> None:
    steady = [float(time) for time in range(0, 101, 10)]
    assert outages(lines(*steady, start=140)) == [(at(100), "n1", at(140), 40.0, False, "kubelet start")]
    assert outages(lines(*steady, start=139)) == []
    assert outages(lines(0, 60, 120, 180, 240, 300, start=360)) == [], "it always speaks that seldom"


def test_a_boot_stands_in_the_kernels_log() -> None:
    booted = {"time": 7, "text": "Linux version 6.8.0-1021-aws (buildd@lcy02)", "host": N1, "kind": "other"}
    when: datetime = at(7)
    assert outages({KERNEL_MESSAGES: rows(KERNEL_MESSAGES, booted)}) == [(when, "n1", when, None, True, "boot")]
