"""A DaemonSet squeezes others only with what it asks for, where bodies of the audit log tell that."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.detectors.workload.unschedulable_backlog import DETECTOR
from analyzer.frames import AUDIT_FIELDS
from analyzer.model import Confidence, Finding
from tests.build import rows, run
from tests.detectors.workload.waits import CPU, Given, Row, audit, daemonset, events, failed, figures, other, pod

GPU = "0/5 nodes are available: 5 Insufficient nvidia.com/gpu."
FULL = "0/5 nodes are available: 5 Too many pods."


def body(number: int, seconds: float, *, priority: str | None = None, **asks: str) -> list[Row]:
    """What one body tells of DaemonSet monitoring/agent."""
    same: Row = {"number": number, "time": seconds, "body": "response", "whole": True, "verb": "patch", "code": 200}
    same |= {"resource": "daemonsets", "namespace": "monitoring", "name": "agent"}
    told = [same | {"field": f"requests.{name}", "value": value} for name, value in asks.items()]
    return told + ([same | {"field": "priorityClassName", "value": priority}] if priority else [])


def asks(name: str, resource: str = "pods", **amounts: str) -> list[Row]:
    """What the body of one pod or workload of namespace shop tells."""
    same: Row = {"time": 50, "body": "response", "whole": True, "verb": "create", "code": 201, "namespace": "shop"}
    return [
        same | {"resource": resource, "name": name, "field": f"requests.{key}", "value": value}
        for key, value in amounts.items()
    ]


def given(*told: Row, message: str = CPU, written: float = 0, count: int = 3) -> Given:
    """Three pods that wait from 100 s on for CPU, a DaemonSet that is written before, and what bodies tell."""
    waits = events(*(failed(100, pod(i), message) for i in range(count)), other(1000))
    return waits | audit(daemonset(written)) | {AUDIT_FIELDS: rows(AUDIT_FIELDS, *told)}


def only(given: Given, **changed: Any) -> Finding:
    [finding] = run(DETECTOR, given, **changed)
    return finding


def test_what_it_asks_for_is_told_with_the_pods_for_which_that_is_room_enough() -> None:
    told = [*body(1, 0, cpu="0.5", memory="536870912"), *asks(pod(0), cpu="0.5"), *asks(pod(1), cpu="0.6")]
    finding = only(given(*told))
    assert finding.variant == "DaemonSet squeeze"
    assert finding.confidence is Confidence.MEDIUM
    assert (
        "written before: monitoring/agent, which asks for 0.5 cores of CPU and 512 MiB of memory on every node)"
        in finding.summary
    )
    told_figures = figures(finding)
    assert told_figures["CPU that DaemonSets took on every node"] == 0.5
    assert told_figures["memory that DaemonSets took on every node"] == 2**29
    assert finding.saving is not None
    took = "It took 0.5 cores of CPU and 512 MiB of memory on every node"
    assert f"{took}; of 2 pods whose requests are known, 1 ask for no more" in finding.saving.assumption
    assert (finding.saving.observed, finding.saving.modelled) == (2700, 0)
    assert ("monitoring/agent", "0.5 cores of CPU and 512 MiB of memory", None, None) in finding.evidence.tables[
        -1
    ].rows


def test_the_template_of_their_deployment_tells_what_pods_ask_for() -> None:
    finding = only(given(*body(1, 0, cpu="1", memory="0"), *asks("web", "deployments", cpu="0.25")))
    assert finding.saving is not None
    assert "of 3 pods whose requests are known, 3 ask for no more" in finding.saving.assumption


@pytest.mark.parametrize(
    ("told", "message", "variant"),
    [
        (body(1, 0, cpu="0.001", memory="0"), CPU, "DaemonSet squeeze"),
        (body(1, 0, cpu="0", memory="0"), CPU, "resources"),
        (body(1, 0, cpu="0", memory="1073741824"), CPU, "resources"),
        (body(1, 0, cpu="4", memory="1073741824"), GPU, "resources"),
        (body(1, 0, cpu="4", **{"nvidia.com/gpu": "1"}), GPU, "DaemonSet squeeze"),
        (body(1, 0, cpu="0", memory="0"), FULL, "DaemonSet squeeze"),
        (body(9, -50, cpu="2") + body(1, 0, cpu="2"), CPU, "resources"),
        (body(9, -50, cpu="2") + body(1, 0, cpu="1"), CPU, "resources"),
        (body(9, -50, cpu="2") + body(1, 0, cpu="2.5"), CPU, "DaemonSet squeeze"),
        (body(1, 0, cpu="0") + body(2, 60, cpu="1"), CPU, "DaemonSet squeeze"),
        (body(1, 101, cpu="1"), CPU, "DaemonSet squeeze"),
    ],
    ids=[
        "a little",
        "nothing",
        "other than what lacks",
        "no such device",
        "such a device",
        "every pod takes a place",
        "no more than before",
        "less than before",
        "more than before",
        "a second write",
        "a body after the onset tells nothing",
    ],
)
def test_only_a_daemon_set_that_took_what_the_pods_lack_squeezes_them(
    told: list[Row], message: str, variant: str
) -> None:
    assert only(given(*told, message=message)).variant == variant


def test_only_what_was_added_counts() -> None:
    finding = only(given(*body(9, -50, cpu="2"), *body(1, 0, cpu="2.5")))
    assert figures(finding)["CPU that DaemonSets took on every node"] == 0.5
    assert ("monitoring/agent", "2.5 cores of CPU", "2 cores of CPU", None) in finding.evidence.tables[-1].rows


@pytest.mark.parametrize(("priority", "warned"), [("system-node-critical", True), ("agents", False), (None, False)])
def test_a_system_priority_is_warned_of(priority: str | None, warned: bool) -> None:
    finding = only(given(*body(1, 0, priority=priority, cpu="1")))
    assert ("its priority system-node-critical preempts other pods" in finding.summary) is warned
    assert ("system priority sends every other pod away" in finding.remedies[0].text) is warned


def test_without_the_bodies_it_rests_on_the_order_of_time_and_says_so() -> None:
    finding = only(given())
    assert (finding.variant, finding.confidence) == ("DaemonSet squeeze", Confidence.LOW)
    assert finding.saving is not None
    assert "How much it asks for is not in the evidence" in finding.saving.assumption
    refused = [row | {"code": 409} for row in body(1, 0, cpu="0")]
    assert only(given(*refused)).confidence is Confidence.LOW


def test_without_the_waits_there_is_no_finding_and_other_bodies_change_nothing() -> None:
    told = body(1, 0, cpu="0.5", memory="0")
    noise = [row | {"name": f"other-{i}"} for i in range(250) for row in body(100 + i, 1, cpu="9", memory="9")]
    assert run(DETECTOR, given(*told, count=0)) == []
    assert only(given(*told, *noise)) == only(given(*told))
