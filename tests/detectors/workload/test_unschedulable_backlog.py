"""Pods wait for a node that does not come."""

from __future__ import annotations

import polars as pl
import pytest

from analyzer.detectors.workload.unschedulable_backlog import DETECTOR
from analyzer.facts import scheduling_reasons
from analyzer.frames import KLOG_LINES
from analyzer.model import Confidence, Severity
from tests.build import at, rows, run
from tests.detectors.workload.waits import (
    ALL_TOLD,
    BOUND,
    KEPT,
    NEW,
    OLD,
    OLDEST,
    TAINT,
    VOLUME,
    WEB,
    Row,
    audit,
    daemonset,
    events,
    failed,
    figures,
    node_deleted,
    other,
    placed,
    pod,
    runs,
)


def test_fires_on_pods_that_wait_for_resources() -> None:
    given = events(
        failed(0, count=9, time=500), failed(10, pod(1)), failed(20, pod(2)), placed(720, pod(2)), other(900)
    )
    [finding] = run(DETECTOR, given)
    assert finding.subject == "shop/web"
    assert finding.summary == (
        "3 pods of shop/web waited 41.5 pod-minutes for a node, 3 at once, 2 to the end of the evidence: resources."
    )
    assert (finding.start, finding.end) == (at(0), at(900))
    assert figures(finding) == {
        "pods pending": 3,
        "pods pending at the end": 2,
        "most pods pending at once": 3,
        "scheduling attempts": 11,
        "pod-seconds pending": 2490.999999,
    }
    assert finding.severity is Severity.MEDIUM
    assert finding.confidence is Confidence.MEDIUM
    assert finding.stories == (11,)
    assert finding.evidence.tables[0].rows == (("shop/web", "Deployment", 3, 2, 11, 890.0, 900.0),)
    assert [row[:4] for row in finding.evidence.tables[1].rows] == [
        ("resources", "Insufficient cpu", 4, 5),
        ("unschedulable", "node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }", 1, 5),
    ]
    assert [record.number for record in finding.evidence.records] == [1, 2, 3]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("0/5 nodes are available: 5 Insufficient nvidia.com/gpu.", "resources"),
        ("0/5 nodes are available: 5 Too many pods.", "resources"),
        (OLDEST.format("predicates: Insufficient cpu (3), PodToleratesNodeTaints (1)"), "resources"),
        (OLDEST.format("following predicates:: MatchNodeSelector (3)"), "node selector"),
        ("0/5 nodes are available: 5 node(s) had taints that the pod didn't tolerate.", "taint"),
        (f"0/5 nodes are available: 2 {KEPT.format('a: b')}, 3 {KEPT.format('c: ')}.", "taint"),
        ("0/5 nodes are available: 5 node(s) had untolerated taint {a: b}. preemption: 0/5 nodes: 5 x.", "taint"),
        ("0/5 nodes are available: 5 node(s) had untolerated taint(s). no new claims, preemption: x", "taint"),
        ("0/5 nodes are available: 5 node(s) didn't match node selector.", "node selector"),
        ("0/5 nodes are available: 5 node(s) didn't match Pod's node affinity/selector.", "node selector"),
        ("0/5 nodes are available: 5 node(s) had volume node affinity conflict.", "volume on a node"),
        ("0/5 nodes are available: 1 node(s) were unschedulable, 4 node(s) " + BOUND + ".", "volume on a node"),
        ("0/5 nodes are available: 5 node(s) didn't find available persistent volumes to bind.", "volume"),
        ("0/5 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: x", "volume"),
        ('persistentvolumeclaim "data" not found', "volume"),
        ("0/5 nodes are available: 5 node(s) didn't have free ports for the requested pod ports.", "ports"),
        ("0/5 nodes are available: 5 node(s) didn't satisfy existing pods anti-affinity rules.", "spread"),
        ("0/5 nodes are available: 5 node(s) didn't match pod topology spread constraints.", "spread"),
        ("0/5 nodes are available: 5 node(s) were unschedulable.", "unschedulable"),
        ("0/5 nodes are available: 5 node(s) were not ready.", "unschedulable"),
        ("(combined from similar events): 0/5 nodes are available: 5 Insufficient cpu.", "resources"),
        (ALL_TOLD, "taint"),
        ("no nodes available to schedule pods", "other"),
    ],
)
def test_reads_the_reasons_of_every_version(message: str, told: str) -> None:
    [finding] = run(DETECTOR, events(failed(0, message=message), other(600)))
    assert finding.variant == told


def test_a_comma_inside_a_taint_does_not_end_a_reason() -> None:
    text = "0/5 nodes are available: 2 node(s) had taint {a: b}, that the pod didn't tolerate, 3 Insufficient cpu."
    found = scheduling_reasons.split(pl.LazyFrame({"message": [text]})).select("reason", "nodes", "of").collect()
    assert found.rows() == [
        ("node(s) had taint {a: b}, that the pod didn't tolerate", 2, 5),
        ("Insufficient cpu", 3, 5),
    ]


@pytest.mark.parametrize("line", [NEW, OLD])
@pytest.mark.parametrize(
    "end",
    [
        {"message": "Successfully bound pod to node", "pod": f"shop/{WEB}b", "text": "x"},
        {"text": f'pod shop/{WEB}b is bound successfully on node "n", 5 nodes evaluated', "message": "x"},
    ],
)
def test_fires_on_the_log_of_the_scheduler_in_its_forms(line: Row, end: Row) -> None:
    lines = [*({**line, "time": s} for s in (0, 300)), {**end, "time": 700}]
    [finding] = run(DETECTOR, {KLOG_LINES: rows(KLOG_LINES, *lines, component="kube-scheduler")})
    assert figures(finding) == {
        "pods pending": 1,
        "pods pending at the end": 0,
        "most pods pending at once": 1,
        "scheduling attempts": 2,
        "pod-seconds pending": 700,
    }
    assert finding.subject == "shop/web"
    assert finding.severity is Severity.LOW


def test_events_and_log_of_the_same_attempts_count_once_and_agree() -> None:
    lines = rows(
        KLOG_LINES, *(NEW | {"time": s, "pod": f"shop/{pod(0)}"} for s in (0, 300)), component="kube-scheduler"
    )
    [finding] = run(DETECTOR, events(failed(300, first_time=0, count=2), other(700)) | {KLOG_LINES: lines})
    assert finding.figure("scheduling attempts") == 2
    assert finding.figure("pods pending") == 1
    assert finding.confidence_reason == "Events and the scheduler's log agree"


def test_an_event_that_was_saved_several_times_counts_once() -> None:
    saved = [failed(s, count=n, event_uid="u", first_time=0) for s, n in ((1, 1), (100, 4), (300, 7))]
    [finding] = run(DETECTOR, events(*saved, other(700)))
    assert finding.figure("scheduling attempts") == 7


def test_an_event_without_a_uid_is_known_by_what_it_says() -> None:
    saved = [failed(s, count=n, first_time=0) for s, n in ((1, 1), (100, 4), (300, 7))]
    [finding] = run(DETECTOR, events(*saved, other(700)))
    assert finding.figure("scheduling attempts") == 7


def test_events_without_a_time_are_a_backlog_by_their_number_only() -> None:
    assert run(DETECTOR, events(*(failed(None, pod(i)) for i in range(49)))) == []
    [finding] = run(DETECTOR, events(*(failed(None, pod(i)) for i in range(50))))
    assert finding.confidence is Confidence.LOW
    assert (finding.start, finding.figure("pods pending")) == (None, 50)


@pytest.mark.parametrize(("end", "findings"), [(600, 1), (599, 0)])
def test_threshold_of_the_median_wait(end: float, findings: int) -> None:
    waits = [failed(0), failed(0, pod(1)), placed(100, pod(1)), failed(0, pod(2)), placed(650, pod(2))]
    assert len(run(DETECTOR, events(*waits, other(end + 50), placed(end)))) == findings


@pytest.mark.parametrize(("count", "findings"), [(50, 1), (49, 0)])
def test_threshold_of_pods_that_wait_at_once(count: int, findings: int) -> None:
    waits = [row for i in range(count) for row in (failed(i / 10, pod(i)), placed(30 + i / 10, pod(i)))]
    assert len(run(DETECTOR, events(*waits))) == findings


def test_brief_waits_one_after_another_are_not_many_at_once() -> None:
    waits = [row for i in range(200) for row in (failed(5 * i, pod(i)), placed(5 * i + 2.5, pod(i)))]
    assert run(DETECTOR, events(*waits)) == []


def test_fires_on_a_cron_job_whose_runs_pile_up() -> None:
    [finding] = run(DETECTOR, events(*runs(6)))
    assert finding.subject == "shop/report"
    assert finding.variant == "cron backlog"
    assert figures(finding) == {
        "pods pending": 6,
        "pods pending at the end": 6,
        "most pods pending at once": 6,
        "pods added per period": 1,
        "scheduling attempts": 6,
        "pod-seconds pending": 12594,
    }
    assert finding.confidence_reason == "the backlog grows by 1 pods with every run"
    assert finding.saving is not None
    assert (finding.saving.fix, finding.saving.observed, finding.saving.modelled) == (
        "concurrencyPolicy: Forbid",
        12594,
        3599,
    )
    assert [(s.fix, s.modelled) for s in finding.alternatives[:1]] == [("activeDeadlineSeconds: 600", 3599)]
    assert [(s.fix, s.observed, s.modelled) for s in finding.alternatives[1:]] == [("the taint is tolerated", 6, 0)]
    assert "concurrencyPolicy: Forbid" in finding.remedies[0].snippet
    assert "activeDeadlineSeconds: 540" in finding.remedies[0].snippet
    assert 'key: "batch", operator: Equal, value: "true"' in finding.remedies[1].snippet


@pytest.mark.parametrize(("count", "findings"), [(5, 1), (4, 0)])
def test_threshold_of_the_runs_over_which_a_backlog_grows(count: int, findings: int) -> None:
    assert len(run(DETECTOR, events(*runs(count, period=60)), pending_seconds=1e6)) == findings


def test_silent_on_runs_that_wait_and_go() -> None:
    assert run(DETECTOR, events(*runs(12, ends=20))) == []


def test_silent_on_one_run_that_waits_under_forbid() -> None:
    """Its pod is ended by a deadline before the next comes."""
    assert run(DETECTOR, events(*runs(12, ends=540))) == []


def test_fires_on_a_single_pod_whose_volume_lies_on_a_deleted_node() -> None:
    given = events(failed(55, "db-0", VOLUME), other(65)) | audit(node_deleted(0))
    [finding] = run(DETECTOR, given)
    assert finding.subject == "shop/db"
    assert finding.variant == "dead-node volume"
    assert "deleted before: node-2" in finding.summary
    assert "the volume is on a node that is gone" in finding.summary
    assert finding.severity is Severity.HIGH
    assert finding.confidence is Confidence.HIGH
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (10, 0)
    assert "kubectl -n shop delete pod db-0" in finding.remedies[0].snippet
    assert [row[:2] for row in finding.evidence.tables[2].rows] == [("node-2", -55.0)]


def test_a_node_that_events_tell_of_is_as_good() -> None:
    gone = failed(0, "node-2", "Deleting node node-2 because it does not exist", reason="DeletingNode", kind="Node")
    [finding] = run(DETECTOR, events(gone, failed(55, "db-0", VOLUME), other(65)))
    assert finding.variant == "dead-node volume"


def test_silent_on_a_volume_that_waits_briefly_while_no_node_was_deleted() -> None:
    waits = events(failed(55, "db-0", VOLUME), other(65))
    assert run(DETECTOR, waits) == []
    assert run(DETECTOR, waits | audit(node_deleted(100))) == []
    assert run(DETECTOR, waits | audit(node_deleted(0, code=404))) == []
    assert run(DETECTOR, waits | audit(node_deleted(0, uri="/api/v1/nodes/node-2?dryRun=All"))) == []


def test_silent_on_a_volume_of_a_deleted_node_that_was_bound_anew() -> None:
    given = events(failed(55, "db-0", VOLUME), placed(60, "db-0"), other(90)) | audit(node_deleted(0))
    assert run(DETECTOR, given) == []


def test_the_pods_of_a_stateful_set_have_one_name_in_several_lives() -> None:
    bound = {
        "time": 2,
        "verb": "create",
        "resource": "pods",
        "subresource": "binding",
        "name": "db-0",
        "namespace": "shop",
    }
    given = events(failed(1, "db-0", TAINT), failed(300, "db-0", TAINT), other(1000)) | audit(bound | {"code": 201})
    [finding] = run(DETECTOR, given)
    assert (finding.figure("pods pending"), finding.figure("pod-seconds pending")) == (2, 701)


def test_fires_on_a_daemon_set_that_takes_the_room_of_others() -> None:
    given = events(
        *(failed(100 + i, pod(i % 3, f"{w}-5d9c7f6b8")) for i, w in enumerate(["web"] * 3 + ["api"] * 3)), other(900)
    )
    [finding] = run(DETECTOR, given | audit(daemonset(0)))
    assert finding.subject == "resources (2 workloads)"
    assert finding.variant == "DaemonSet squeeze"
    assert "written before: monitoring/agent)" in finding.summary
    assert finding.confidence is Confidence.LOW  # no body tells whether it asks for anything
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (4785, 0)


@pytest.mark.parametrize(("seconds", "variant"), [(0, "DaemonSet squeeze"), (-1, "resources"), (1801, "resources")])
def test_threshold_of_half_an_hour_between_a_daemon_set_and_the_first_wait(seconds: float, variant: str) -> None:
    given = events(failed(1800), other(3000)) | audit(daemonset(seconds))
    [finding] = run(DETECTOR, given)
    assert finding.variant == variant


def test_waits_before_a_daemon_set_would_remain() -> None:
    before = [failed(0, pod(9)), placed(30, pod(9))]
    [finding] = run(DETECTOR, events(*before, failed(200), other(1200)) | audit(daemonset(100)))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (1030.999999, 30.999999)


def test_fires_on_pods_that_wait_because_others_have_priority() -> None:
    victim = failed(0, pod(20), "Preempted by pod 9b4d on node node-1", reason="Preempted", type="Normal")
    deleted = {
        "time": 1,
        "verb": "delete",
        "resource": "pods",
        "namespace": "shop",
        "name": pod(21),
        "user": "system:kube-scheduler",
    }
    waits = [failed(10, pod(0)), failed(10, pod(0, "api-5d9c7f6b8"))]
    [finding] = run(DETECTOR, events(victim, *waits, other(800)) | audit(deleted))
    assert finding.variant == "priority preemption"
    assert "2 pods preempted" in finding.summary
    assert finding.confidence is Confidence.HIGH
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (1580, 790)
    assert "preemptionPolicy: Never" in finding.remedies[0].snippet
