"""A node fails, its replicas come together on another node, and that fails too."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.workload.node_crash_cascade import DETECTOR
from analyzer.frames import AUDIT_EVENTS, AUDIT_OBJECTS, KLOG_LINES, KUBE_EVENTS, Table
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run

Given = dict[Table, pl.LazyFrame]
Row = dict[str, Any]
NODES = ("n1", "n2", "n3", "n4")
LETTERS = "bcdfghjklm"


def pod(number: int, turn: int = 0, name: str = "web") -> str:
    return f"{name}-5d9c7f6b8-x2k{LETTERS[turn]}{LETTERS[number]}"


def event(seconds: float, kind: str, name: str, reason: str, message: str = "", **changed: Any) -> Row:
    made: Row = {"time": seconds, "kind": kind, "name": name, "reason": reason, "message": message, "count": 1}
    return made | {"namespace": "shop" if kind == "Pod" else None, "type": "Normal"} | changed


def placed(seconds: float, node: str, *numbers: int, turn: int = 0, name: str = "web") -> list[Row]:
    text = "Successfully assigned shop/{} to {}.example.com"
    every = [pod(number, turn, name) for number in numbers]
    return [event(seconds, "Pod", one, "Scheduled", text.format(one, node)) for one in every]


def down(seconds: float, node: str, reason: str = "NodeNotReady") -> Row:
    return event(seconds, "Node", f"{node}.example.com", reason)


def told(*events: Row | list[Row]) -> Given:
    every = [row for one in events for row in (one if isinstance(one, list) else [one])]
    ordered = sorted(every, key=lambda row: float(row["time"]))
    made = [row | {"number": number, "event_uid": f"e{number}"} for number, row in enumerate(ordered, 1)]
    return {KUBE_EVENTS: rows(KUBE_EVENTS, *made, source="events.json")}


OTHERS = [*placed(11, "n2", 0, name="cart"), *placed(11, "n3", 1, name="cart"), *placed(11, "n4", 2, name="cart")]
BEFORE = [*placed(10, "n1", 0, 1, 2), *placed(10, "n3", 3), *OTHERS]
INCIDENT = (BEFORE, down(1000, "n1"), placed(1320, "n2", 0, 1, 2, turn=1), down(2000, "n2"))


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_on_replicas_that_take_one_node_after_the_other_along() -> None:
    [finding] = run(DETECTOR, told(*INCIDENT))
    assert finding.subject == "shop/web"
    assert finding.summary == (
        "3 of 4 replicas of shop/web were on node n1 when it failed; 3 pods of it came to n2, which failed too within "
        "17 min."
    )
    assert figures(finding) == {
        "nodes": 2,
        "replicas of the owner on the first node": 3,
        "replicas of the owner in all": 4,
        "pods moved": 3,
        "seconds from the first failure to the last": 1000,
    }
    assert (finding.start, finding.end) == (at(1000), at(2000))
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.HIGH)
    assert [record.number for record in finding.evidence.records] == [8, 12, 9, 10, 11]
    assert finding.evidence.tables[0].rows == (
        ("n1", 0.0, None, "Event NodeNotReady", 3),
        ("n2", 1000.0, None, "Event NodeNotReady", 3),
    )
    assert [row[0] for row in finding.evidence.tables[1].rows] == [pod(0, 1), pod(1, 1), pod(2, 1)]
    assert finding.stories == DETECTOR.stories == (33,)


def test_kubelets_that_say_that_they_are_not_ready_tell_of_outages() -> None:
    """No Event about a node is here, but the logs of both kubelets."""
    events = told(BEFORE, placed(1320, "n2", 0, 1, 2, turn=1))
    text = '"Node became not ready" node="x" condition={"type":"Ready","status":"False"}'
    said = {"component": "kubelet", "message": "Node became not ready", "text": text}
    lines = [said | {"time": 1000, "host": "n1.example.com"}, said | {"time": 2000, "host": "n2.example.com"}]
    [finding] = run(DETECTOR, events | {KLOG_LINES: rows(KLOG_LINES, *lines, source="kubelets.log")})
    assert (finding.subject, figures(finding)["nodes"], figures(finding)["pods moved"]) == ("shop/web", 2, 3)
    assert finding.confidence is Confidence.HIGH
    assert run(DETECTOR, events | {KLOG_LINES: rows(KLOG_LINES, lines[0], source="kubelets.log")}) == []


def test_the_saving_is_the_spread_over_all_nodes() -> None:
    [finding] = run(DETECTOR, told(*INCIDENT))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (3, 1)
    assert finding.saving.formula == "replicas divided by nodes, rounded up: 4 / 4"
    assert "labelSelector: {matchLabels: {app: web}}" in finding.remedies[0].snippet


def test_a_third_node_is_the_same_cascade_and_worse() -> None:
    [finding] = run(DETECTOR, told(*INCIDENT, placed(2330, "n4", 0, 1, 2, turn=2), down(3000, "n4", "Rebooted")))
    assert (figures(finding)["nodes"], figures(finding)["pods moved"]) == (3, 6)
    assert finding.severity is Severity.CRITICAL
    assert finding.evidence.tables[0].rows[2][:4] == ("n4", 2000.0, None, "Event Rebooted")


def test_severity_where_all_replicas_were_on_the_first_node() -> None:
    all_there = [*placed(10, "n1", 0, 1, 2), *OTHERS]
    [finding] = run(DETECTOR, told(all_there, *INCIDENT[1:]))
    assert finding.severity is Severity.CRITICAL


def lease(seconds: float, node: str) -> Row:
    made: Row = {"time": seconds, "stage_time": seconds, "stage": "ResponseComplete", "verb": "update", "code": 200}
    made |= {"resource": "leases", "namespace": "kube-node-lease", "name": node, "user": f"system:node:{node}"}
    return made | {"node": node, "agent": "kubelet"}


def beats(*silent: tuple[str, float, float], until: float = 3000, more: tuple[Row, ...] = ()) -> Given:
    """Leases of all nodes every 10 s, but for those silent from one time to another."""
    every = list(more)
    for number, node in enumerate(NODES):
        times = [10 * i + number for i in range(int(until / 10))]
        gone = [(start, end) for name, start, end in silent if name == node]
        every += [lease(time, node) for time in times if not any(start < time < end for start, end in gone)]
    ordered = sorted(every, key=lambda row: float(row["time"]))
    made = [{"audit_id": f"a{number}", "number": number} | row for number, row in enumerate(ordered, 1)]
    return {AUDIT_EVENTS: rows(AUDIT_EVENTS, *made, source="audit.log")}


def test_the_silence_of_kubelets_tells_of_outages() -> None:
    moves = told(BEFORE, placed(1320, "n2", 0, 1, 2, turn=1))
    [finding] = run(DETECTOR, moves | beats(("n1", 1000, 1400), ("n2", 2000, 9000)))
    assert finding.confidence is Confidence.LOW
    assert figures(finding)["longest silence of a node"] == 1002
    assert (finding.start, finding.end) == (at(1000), at(1991))
    both = told(*INCIDENT) | beats(("n1", 1000, 1400))
    assert run(DETECTOR, both)[0].confidence is Confidence.HIGH
    one = told(*INCIDENT[:3]) | beats(("n2", 2000, 9000))
    assert run(DETECTOR, one)[0].confidence is Confidence.MEDIUM


@pytest.mark.parametrize(("seconds", "found"), [(40, 1), (39, 0)])
def test_threshold_of_the_silence(seconds: float, found: int) -> None:
    """A lease lives for 40 s. The last word of n2 comes at 2001."""
    moves = told(*INCIDENT[:3])
    last = lease(2001 + seconds, "n1") | {"node": None, "user": "ops"}
    assert len(run(DETECTOR, moves | beats(("n2", 2001, 9000), until=2030, more=(last,)))) == found


def test_silent_on_an_api_server_that_nobody_reaches() -> None:
    """All kubelets fall silent at once, one after the other comes back."""
    moves = told(BEFORE, placed(1120, "n2", 0, 1, 2, turn=1))
    assert run(DETECTOR, moves | beats(*((node, 1000, 1100) for node in NODES))) == []


@pytest.mark.parametrize(("there", "found"), [((0, 1), 1), ((0,), 0)])
def test_threshold_of_replicas(there: tuple[int, ...], found: int) -> None:
    before = [*placed(10, "n1", *there), *OTHERS]
    given = told(before, down(1000, "n1"), placed(1320, "n2", *there, turn=1), down(2000, "n2"))
    assert len(run(DETECTOR, given)) == found


@pytest.mark.parametrize(("elsewhere", "found"), [((3, 4, 5), 1), ((3, 4, 5, 6), 0)])
def test_threshold_of_the_share(elsewhere: tuple[int, ...], found: int) -> None:
    before = [*placed(10, "n1", 0, 1, 2), *placed(10, "n3", *elsewhere), *OTHERS]
    assert len(run(DETECTOR, told(before, *INCIDENT[1:]))) == found


@pytest.mark.parametrize(("seconds", "found"), [(4600, 1), (4601, 0)])
def test_threshold_of_the_time_between(seconds: float, found: int) -> None:
    assert len(run(DETECTOR, told(*INCIDENT[:3], down(seconds, "n2")))) == found


def test_two_owners_are_two_findings() -> None:
    api = [*placed(12, "n1", 0, 1, name="api"), *placed(1321, "n2", 0, 1, turn=1, name="api")]
    findings = run(DETECTOR, told(*INCIDENT, api))
    assert [one.subject for one in findings] == ["shop/api", "shop/web"]


def test_silent_on_one_node_that_fails_alone() -> None:
    given = told(*INCIDENT[:3])
    assert run(DETECTOR, given) == []
    assert "1 outage of nodes after which no owner's replicas took another node along" in remarks(DETECTOR, given)[0]


def test_silent_where_another_node_fails_that_none_came_to() -> None:
    assert run(DETECTOR, told(*INCIDENT[:3], down(2000, "n4"))) == []


def test_silent_where_the_replicas_were_spread() -> None:
    """The cured system: one replica on each node."""
    spread = [row for number, node in enumerate(NODES) for row in placed(10, node, number)]
    moved = placed(1320, "n2", 0, turn=1)
    assert run(DETECTOR, told(spread, OTHERS, down(1000, "n1"), moved, down(2000, "n2"))) == []


def test_silent_on_replicas_that_came_after_the_second_failure() -> None:
    given = told(BEFORE, down(1000, "n1"), down(1300, "n2"), placed(1320, "n2", 0, 1, 2, turn=1))
    assert run(DETECTOR, given) == []


def test_silent_on_nodes_that_are_drained_one_after_the_other() -> None:
    """A rolling upgrade: evictions before each boot."""
    evictions = []
    for seconds, turn in ((900, 0), (1900, 1)):
        evictions += [
            {"time": seconds + n, "stage_time": seconds + n, "stage": "ResponseComplete", "verb": "create", "code": 201}
            | {"resource": "pods", "subresource": "eviction", "namespace": "shop", "name": pod(n, turn), "user": "ops"}
            for n in range(3)
        ]
    events = [row | {"audit_id": f"v{n}", "number": n} for n, row in enumerate(evictions, 1)]
    given = told(BEFORE, down(1000, "n1"), placed(950, "n2", 0, 1, 2, turn=1), down(2000, "n2"))
    given |= {AUDIT_EVENTS: rows(AUDIT_EVENTS, *events, source="audit.log")}
    assert run(DETECTOR, given) == []
    assert "2 outages of nodes that were cordoned, drained or deleted before: in order." in remarks(DETECTOR, given)


def test_silent_on_nodes_that_somebody_deletes() -> None:
    gone = {"time": 990, "stage_time": 990, "stage": "ResponseComplete", "verb": "delete", "code": 200, "number": 1}
    gone |= {"resource": "nodes", "name": "n1.example.com", "user": "autoscaler", "audit_id": "x", "uri": "/api"}
    deleted = {AUDIT_EVENTS: rows(AUDIT_EVENTS, gone, source="audit.log")}
    assert run(DETECTOR, told(*INCIDENT) | deleted) == []
    after = gone | {"user": "system:serviceaccount:kube-system:cloud-node-lifecycle-controller", "time": 1030}
    assert run(DETECTOR, told(*INCIDENT) | {AUDIT_EVENTS: rows(AUDIT_EVENTS, after, source="audit.log")})


def test_bodies_of_deleted_pods_tell_where_they_were() -> None:
    """A pod that nobody spoke of before its node failed: the answer to its deletion names the node."""
    who = "system:serviceaccount:kube-system:taint-eviction-controller"
    events, bodies = [], []
    for number in range(3):
        name = pod(number)
        events.append(
            {"time": 1310, "stage_time": 1310, "stage": "ResponseComplete", "verb": "delete", "code": 200}
            | {
                "resource": "pods",
                "namespace": "shop",
                "name": name,
                "user": who,
                "audit_id": name,
                "number": number + 1,
            }
        )
        bodies.append(
            {"time": 1310, "audit_id": name, "number": number + 1, "body": "response", "resource": "pods", "code": 200}
            | {"namespace": "shop", "name": name, "node_name": "n1"}
        )
    given = told(OTHERS, *INCIDENT[1:])
    given |= {AUDIT_EVENTS: rows(AUDIT_EVENTS, *events), AUDIT_OBJECTS: rows(AUDIT_OBJECTS, *bodies)}
    [finding] = run(DETECTOR, given)
    assert figures(finding)["replicas of the owner on the first node"] == 3


def test_silent_on_no_outage_and_not_observable_without_signs_or_places() -> None:
    assert run(DETECTOR, told(BEFORE)) == []
    assert run(DETECTOR, beats(until=100)) == []
    pods = lease(1, "n1") | {"namespace": "shop", "resource": "pods", "verb": "patch", "audit_id": "x"}
    with pytest.raises(NotObservable, match="no leases of nodes in an audit log"):
        run(DETECTOR, {AUDIT_EVENTS: rows(AUDIT_EVENTS, pods)})
    with pytest.raises(NotObservable, match="1 outage of nodes, and no input tells where any pod ran"):
        run(DETECTOR, told(down(1000, "n1")))


@pytest.mark.parametrize("name", ["a; rm -rf /", "$(id)"])
def test_a_name_that_is_not_well_formed_is_not_written_into_a_command(name: str) -> None:
    every = [row | {"name": str(row["name"]).replace("web", name)} for row in placed(10, "n1", 0, 1, 2)]
    moved = [row | {"name": str(row["name"]).replace("web", name)} for row in placed(1320, "n2", 0, 1, 2, turn=1)]
    [finding] = run(DETECTOR, told(every, OTHERS, down(1000, "n1"), moved, down(2000, "n2")))
    assert finding.remedies[0].snippet == ""
    assert name not in "".join(finding.verify)


def test_without_the_evidence_the_finding_goes_and_other_rows_change_nothing() -> None:
    [finding] = run(DETECTOR, told(*INCIDENT))
    assert run(DETECTOR, told(BEFORE, *INCIDENT[2:])) == []
    assert run(DETECTOR, told(BEFORE, down(1000, "n1"), down(2000, "n2"))) == []
    given = told(*INCIDENT)
    noise = [event(2100 + i, "Pod", f"job-{i}", "Pulled", node="n3", namespace="ci") for i in range(500)]
    later = rows(KUBE_EVENTS, *[row | {"number": 1000 + n} for n, row in enumerate(noise)], source="events.json")
    [again] = run(DETECTOR, {KUBE_EVENTS: pl.concat([given[KUBE_EVENTS], later])})
    assert again == finding


def test_silent_on_nodes_that_are_cordoned_one_after_the_other_as_events_alone_tell() -> None:
    """An upgrade in place: pods move only when their node is down."""
    cordons = [down(940, "n1", "NodeNotSchedulable"), down(1940, "n2", "NodeNotSchedulable")]
    given = told(*INCIDENT, *cordons)
    assert run(DETECTOR, given) == []
    assert "2 outages of nodes that were cordoned, drained or deleted before: in order." in remarks(DETECTOR, given)
    early = [down(60, "n1", "NodeNotSchedulable"), down(1060, "n2", "NodeNotSchedulable")]
    assert len(run(DETECTOR, told(*INCIDENT, *early))) == 1


def test_outages_beyond_what_is_looked_at_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.detectors.workload.node_crash_cascade.MOST", 1)
    assert "1 later outage of nodes with several replicas of an owner: not looked at." in remarks(
        DETECTOR, told(*INCIDENT)
    )
