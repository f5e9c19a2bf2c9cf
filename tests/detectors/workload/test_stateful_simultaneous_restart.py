"""Replicas of a stateful workload restart at the same time."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.workload.stateful_simultaneous_restart import DETECTOR
from analyzer.frames import AUDIT_EVENTS, AUDIT_OBJECTS, KLOG_LINES, KUBE_EVENTS, Table
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run

Given = dict[Table, pl.LazyFrame]
Row = dict[str, Any]
SETS = "system:serviceaccount:kube-system:statefulset-controller"
OPERATOR = "system:serviceaccount:redis:redis-operator"


def request(seconds: float, **changed: Any) -> Row:
    made: Row = {"time": seconds, "stage_time": seconds, "stage": "ResponseComplete", "namespace": "shop", "code": 200}
    return made | {"verb": "patch", "resource": "pods", "user": OPERATOR, "agent": "redis-operator"} | changed


def gone(seconds: float, number: int, name: str = "rfr-cache", **changed: Any) -> Row:
    return request(seconds, verb="delete", name=f"{name}-{number}") | changed


def bound(seconds: float, number: int, name: str = "rfr-cache") -> Row:
    changed = {"subresource": "binding", "user": "system:kube-scheduler", "code": 201}
    return request(seconds, verb="create", name=f"{name}-{number}", **changed)


def template(seconds: float, **changed: Any) -> Row:
    return request(seconds, verb="update", resource="statefulsets", api_group="apps", name="rfr-cache") | changed


def custom(seconds: float, **changed: Any) -> Row:
    made = {"api_group": "databases.example.com", "resource": "redisfailovers", "name": "cache"}
    return request(seconds, user="ops", agent="kubectl", **made) | changed


def log(*events: Row, objects: tuple[Row, ...] = ()) -> Given:
    ordered = sorted(events, key=lambda row: float(row["time"]))
    made = [{"audit_id": f"a{number}", "number": number} | row for number, row in enumerate(ordered, 1)]
    return {
        AUDIT_EVENTS: rows(AUDIT_EVENTS, *made, source="audit.log"),
        AUDIT_OBJECTS: rows(AUDIT_OBJECTS, *objects, source="audit.log"),
    }


def down(start: float, *numbers: int, spread: float = 1, back: float = 60, name: str = "rfr-cache") -> list[Row]:
    """These replicas are deleted one after the other, and placed again `back` seconds after their deletion."""
    made = []
    for turn, number in enumerate(numbers):
        made += [gone(start + turn * spread, number, name), bound(start + turn * spread + back, number, name)]
    return made


WRITE = template(300)
INCIDENT = (custom(298), WRITE, *down(310, 0, 1, 2))


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_on_replicas_that_an_operator_restarts_together() -> None:
    [finding] = run(DETECTOR, log(*INCIDENT))
    assert finding.subject == "shop/rfr-cache"
    assert finding.summary == (
        "3 of 3 replicas of shop/rfr-cache were down together, stopped within 2.0 s, 10 s after a write of "
        "statefulsets rfr-cache by redis-operator; for 58 s none was left."
    )
    assert figures(finding) == {
        "replicas restarted together": 3,
        "replicas in all": 3,
        "seconds between first and last": 2,
        "seconds from the write to the first": 10,
        "seconds without any replica": 58,
        "replica-seconds down": 180,
    }
    assert (finding.start, finding.end) == (at(310), at(372))
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.HIGH)
    assert [record.number for record in finding.evidence.records] == [2, 3, 4, 5]
    assert [row[0] for row in finding.evidence.tables[0].rows] == ["rfr-cache-0", "rfr-cache-1", "rfr-cache-2"]
    assert finding.stories == DETECTOR.stories == (32,)


def test_the_saving_is_one_after_the_other() -> None:
    [finding] = run(DETECTOR, log(*INCIDENT))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (3, 1)
    assert [(one.observed, one.modelled) for one in finding.alternatives] == [(58, 0)]
    assert "name: rfr-cache" in finding.remedies[0].snippet
    assert "maxUnavailable: 1" in finding.remedies[0].snippet


def test_a_custom_resource_whose_name_is_alike_is_less_sure_than_one_that_owns_it() -> None:
    alike = (custom(298), *down(310, 0, 1, 2))
    [finding] = run(DETECTOR, log(*alike))
    assert (finding.confidence, finding.variant) == (Confidence.MEDIUM, "custom resource")
    assert finding.figure("seconds from the write to the first") == 12
    owned = {"time": 1, "resource": "statefulsets", "namespace": "shop", "name": "rfr-cache", "body": "response"}
    owned |= {"owner_kind": "RedisFailover", "owner_name": "cache", "audit_id": "x"}
    [finding] = run(DETECTOR, log(*alike, objects=(owned,)))
    assert finding.confidence is Confidence.HIGH


def test_a_write_that_was_only_tried_precedes_nothing() -> None:
    tried = custom(298, uri="/apis/databases.example.com/v1/namespaces/shop/redisfailovers/cache?dryRun=All")
    assert len(run(DETECTOR, log(custom(298), *down(310, 0, 1, 2)))) == 1
    assert run(DETECTOR, log(tried, *down(310, 0, 1, 2))) == run(DETECTOR, log(*down(310, 0, 1, 2)))


def test_replicas_in_all_are_those_that_a_body_names() -> None:
    body = {"time": 300, "resource": "statefulsets", "namespace": "shop", "name": "rfr-cache", "replicas": 6}
    [finding] = run(DETECTOR, log(*INCIDENT, objects=(body,)))
    assert figures(finding)["replicas in all"] == 6
    assert finding.severity is Severity.MEDIUM
    assert "seconds without any replica" not in figures(finding)
    assert run(DETECTOR, log(*INCIDENT, objects=(body | {"replicas": 7},))) == []


def klog(*lines: tuple[float, str, str, str]) -> Given:
    made = [
        {"time": time, "text": text, "pod": pod, "host": host, "message": text.split('"')[1]}
        for time, text, pod, host in lines
    ]
    return {KLOG_LINES: rows(KLOG_LINES, *made, source="kubelet.log")}


def died(start: float, numbers: int = 3, back: float = 20, host: str = "") -> list[tuple[float, str, str, str]]:
    """Containers die on their nodes and start again."""
    lines = []
    for number in range(numbers):
        pod, on = f"shop/kafka-{number}", host or f"n{number}"
        for seconds, kind in ((start + number, "ContainerDied"), (start + number + back, "ContainerStarted")):
            text = f'"SyncLoop (PLEG): event for pod" pod="{pod}" event={{"ID":"x","Type":"{kind}","Data":"y"}}'
            lines.append((seconds, text, pod, on))
    return lines


def test_kubelets_alone_tell_of_it_where_several_nodes_do() -> None:
    [finding] = run(DETECTOR, klog(*died(310)))
    assert (finding.subject, finding.confidence) == ("shop/kafka", Confidence.LOW)
    assert finding.figure("replica-seconds down") == 60
    given = klog(*died(310, host="n1"))
    assert run(DETECTOR, given) == []
    assert "on one node" in remarks(DETECTOR, given)[0]


def test_with_the_write_the_kubelets_make_it_sure() -> None:
    [finding] = run(DETECTOR, klog(*died(310)) | log(template(305, name="kafka")))
    assert finding.confidence is Confidence.HIGH
    assert "the nodes tell of the stops too" in finding.confidence_reason
    assert finding.evidence.records[0].source == "audit.log"


def test_events_tell_of_it() -> None:
    made = []
    for number in range(3):
        event = {"kind": "Pod", "namespace": "shop", "name": f"kafka-{number}", "count": 1, "node": f"n{number}"}
        made.append(event | {"time": 310, "reason": "Killing", "message": "Stopping", "event_uid": f"k{number}"})
        made.append(event | {"time": 340, "reason": "Started", "message": "Started", "event_uid": f"s{number}"})
    [finding] = run(DETECTOR, {KUBE_EVENTS: rows(KUBE_EVENTS, *made)})
    assert finding.figure("replicas restarted together") == 3


@pytest.mark.parametrize(("spread", "found"), [(30, 1), (30.5, 0)])
def test_threshold_of_the_window(spread: float, found: int) -> None:
    given = log(WRITE, *down(310, 0, 1, 2, spread=spread, back=200))
    assert len(run(DETECTOR, given, share=0.9)) == found


@pytest.mark.parametrize(("numbers", "found"), [((0, 1, 2), 1), ((0, 1), 0)])
def test_threshold_of_replicas(numbers: tuple[int, ...], found: int) -> None:
    assert len(run(DETECTOR, log(WRITE, *down(310, *numbers)), replicas=3)) == found


@pytest.mark.parametrize(("replicas", "found"), [(4, 1), (5, 0)])
def test_threshold_of_the_share(replicas: int, found: int) -> None:
    body = {"time": 1, "resource": "statefulsets", "namespace": "shop", "name": "rfr-cache", "replicas": replicas}
    assert len(run(DETECTOR, log(WRITE, *down(310, 0, 1), objects=(body,)))) == found


@pytest.mark.parametrize(("seconds", "found"), [(600, 1), (601, 0)])
def test_threshold_of_the_time_since_the_write(seconds: float, found: int) -> None:
    assert len(run(DETECTOR, log(template(900 - seconds), *down(900, 0, 1, 2)))) == found


@pytest.mark.parametrize(("after", "found"), [(1, 1), (1.1, 0)])
def test_threshold_of_clocks_that_differ(after: float, found: int) -> None:
    """The write is stamped after the first stop."""
    assert len(run(DETECTOR, log(template(900 + after), *down(900, 0, 1, 2)))) == found


@pytest.mark.parametrize(("back", "severity"), [(62, Severity.CRITICAL), (61.9, Severity.HIGH)])
def test_severity_by_the_time_without_any_replica(back: float, severity: Severity) -> None:
    assert run(DETECTOR, log(WRITE, *down(310, 0, 1, 2, back=back)))[0].severity is severity


def test_two_workloads_and_two_restarts_are_findings_of_their_own() -> None:
    again = [template(1300), *down(1310, 0, 1, 2)]
    other = [template(400, name="zk"), *down(410, 0, 1, name="zk")]
    findings = run(DETECTOR, log(*INCIDENT, *again, *other))
    assert [(one.subject, one.start) for one in findings] == [
        ("shop/rfr-cache", at(310)),
        ("shop/zk", at(410)),
        ("shop/rfr-cache", at(1310)),
    ]


def test_silent_on_a_rolling_update() -> None:
    """Each waits for the one before, and all is done within a minute."""
    rolled = [row for number in (2, 1, 0) for row in down(310 + (2 - number) * 15, number, back=12)]
    assert run(DETECTOR, log(WRITE, *rolled)) == []
    assert remarks(DETECTOR, log(WRITE, *rolled)) == []


def test_silent_on_a_rolling_update_that_waits_for_readiness() -> None:
    """By what kubelets tell: a replica starts, is ready, and the next one is deleted."""
    lines = []
    for turn in range(3):
        pod, host, start = f"shop/kafka-{2 - turn}", f"n{turn}", 310 + 18 * turn
        told = (
            (0, f'"SyncLoop DELETE" source="api" pods=["{pod}"]'),
            (2, f'"SyncLoop (PLEG): event for pod" pod="{pod}" event={{"ID":"x","Type":"ContainerDied","Data":"y"}}'),
            (
                4,
                f'"SyncLoop (PLEG): event for pod" pod="{pod}" event={{"ID":"z","Type":"ContainerStarted","Data":"y"}}',
            ),
            (17, f'"SyncLoop (probe)" probe="readiness" status="ready" pod="{pod}"'),
        )
        lines += [(start + seconds, text, pod, host) for seconds, text in told]
    assert run(DETECTOR, klog(*lines)) == []


def test_silent_on_one_replica() -> None:
    assert run(DETECTOR, log(WRITE, *down(310, 0))) == []


def test_silent_on_a_drain() -> None:
    drained = [row | {"verb": "create", "subresource": "eviction", "code": 201} if row["verb"] == "delete" else row
               for row in down(310, 0, 1, 2)]  # fmt: skip
    given = log(WRITE, *drained)
    assert run(DETECTOR, given) == []
    assert "were evicted or moved for their node's sake" in remarks(DETECTOR, given)[0]


def test_silent_on_a_node_that_takes_them_along() -> None:
    by = {"user": "system:serviceaccount:kube-system:taint-eviction-controller"}
    moved = [row | by if row["verb"] == "delete" else row for row in down(310, 0, 1, 2)]
    assert run(DETECTOR, log(WRITE, *moved)) == []


def test_silent_on_a_scale_down_and_on_a_deletion() -> None:
    """What is gone for good does not come again."""
    given = log(WRITE, *(gone(310 + number, number) for number in range(3)))
    assert run(DETECTOR, given) == []
    assert "did not come again" in remarks(DETECTOR, given)[0]


def test_silent_on_a_scale_to_none_and_back() -> None:
    given = log(template(300, subresource="scale", user="ops"), *down(310, 0, 1, 2))
    assert run(DETECTOR, given) == []
    assert "after its number of replicas was changed" in remarks(DETECTOR, given)[0]


def test_silent_on_deletions_by_hand() -> None:
    given = log(*down(310, 0, 1, 2))
    assert run(DETECTOR, given) == []
    assert "without a write of its template or custom resource before" in remarks(DETECTOR, given)[0]


def test_silent_on_an_operator_whose_loop_writes_its_resource() -> None:
    loop = [custom(10 + 5 * i, user=OPERATOR) for i in range(60)]
    assert run(DETECTOR, log(*loop, *down(310, 0, 1, 2))) == []


def test_silent_on_a_deployment() -> None:
    name = "web-5d9c7f6b8-x2kb"
    pods = [row | {"name": name + "bcd"[int(row["name"][-1])]} for row in down(310, 0, 1, 2)]
    assert run(DETECTOR, log(template(300, name="web"), *pods)) == []


def test_silent_on_static_pods_of_nodes_with_numbers() -> None:
    lines = []
    for number in range(3):
        pod, host = f"kube-system/etcd-master-{number}", f"master-{number}.example.com"
        for seconds, kind in ((310, "ContainerDied"), (330, "ContainerStarted")):
            text = f'"SyncLoop (PLEG): event for pod" pod="{pod}" event={{"ID":"x","Type":"{kind}","Data":"y"}}'
            lines.append((seconds, text, pod, host))
    assert run(DETECTOR, klog(*lines)) == []


def test_silent_without_stops_and_not_observable_without_rows() -> None:
    assert run(DETECTOR, log(bound(10, 0))) == []
    with pytest.raises(NotObservable, match="anything of the life of a pod"):
        run(DETECTOR, log())


def test_cost_is_bounded_where_a_log_tells_of_thousands_of_stops_at_once() -> None:
    many = [gone(310 + number / 1000, number) for number in range(1500)]
    assert run(DETECTOR, log(WRITE, *many)) == []


@pytest.mark.parametrize("name", ["a; rm -rf /-0", "$(id)-0"])
def test_a_name_that_is_not_well_formed_is_not_written_into_a_command(name: str) -> None:
    base = name.removesuffix("-0")
    [finding] = run(DETECTOR, log(template(300, name=base), *down(310, 0, 1, name=base)))
    assert finding.remedies[0].snippet == ""
    assert base not in "".join(finding.verify)


def test_without_the_evidence_the_finding_goes_and_other_rows_change_nothing() -> None:
    [finding] = run(DETECTOR, log(*INCIDENT))
    assert run(DETECTOR, log(*(row for row in INCIDENT if row["resource"] == "pods"))) == []
    assert run(DETECTOR, log(custom(298), WRITE, bound(400, 0))) == []
    given = log(*INCIDENT)
    noise = [request(400 + i, verb="list", number=1000 + i, audit_id=f"n{i}") for i in range(500)]
    events = pl.concat([given[AUDIT_EVENTS], rows(AUDIT_EVENTS, *noise, source="audit.log")])
    [again] = run(DETECTOR, given | {AUDIT_EVENTS: events})
    assert again == finding


def test_the_command_prints_the_same_write(tmp_path: Path) -> None:
    if not shutil.which("jq"):
        pytest.skip("jq is not here")
    [finding] = run(DETECTOR, log(*INCIDENT))
    line = {"stage": "ResponseComplete", "requestReceivedTimestamp": "T", "user": {"username": "op"}, "verb": "update"}
    lines = [line | {"objectRef": {"resource": "statefulsets", "name": name}} for name in ("rfr-cache", "other")]
    (tmp_path / "audit.log").write_text("\n".join(json.dumps(one) for one in lines))
    out = subprocess.run(["sh", "-c", finding.verify[0]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["T", "update", "op", "statefulsets", "rfr-cache"]


def morning(number: int, *, starts: bool = True) -> list[Row]:
    """A node's kubelet finds the container of before the boot dead, and starts it."""
    pod, uid = f"db/redis-{number}", f"11111111-1111-4111-8111-00000000000{number}"

    def line(seconds: float, text: str, message: str, of: str | None = None) -> Row:
        told = {"host": f"node{number}", "component": "kubelet", "text": text, "message": message, "pod": of}
        return {"time": seconds + number} | told

    def turn(seconds: float, kind: str) -> Row:
        event = f'{{"ID":"{uid}","Type":"{kind}","Data":"{number:064x}"}}'
        head = "SyncLoop (PLEG): event for pod"
        return line(seconds, f'"{head}" pod="{pod}" event={event}', head, pod)

    begun = [line(0, '"Starting kubelet main sync loop"', "Starting kubelet main sync loop")] if starts else []
    return [*begun, turn(6, "ContainerDied"), turn(9, "ContainerStarted")]


@pytest.mark.parametrize("starts", [True, False])
def test_a_cluster_that_is_switched_on_in_the_morning_is_no_restart_of_a_workload(starts: bool) -> None:
    lines = [row for number in (1, 2, 3) for row in morning(number, starts=starts)]
    given = {KLOG_LINES: rows(KLOG_LINES, *lines, source="kubelet.log")}
    assert bool(run(DETECTOR, given)) is not starts
    said = "3 replicas of db/redis stopped together as the kubelets of their nodes began."
    assert (said in remarks(DETECTOR, given)) is starts
