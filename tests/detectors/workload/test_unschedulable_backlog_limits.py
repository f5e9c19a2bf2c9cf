"""What only looks like pods that wait for a node in vain, and how sure and severe a backlog is."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.workload.unschedulable_backlog import DETECTOR
from analyzer.frames import KLOG_LINES
from analyzer.model import Severity
from tests.build import remarks, rows, run
from tests.detectors.workload.waits import (
    TAINT,
    VOLUME,
    audit,
    events,
    failed,
    node_deleted,
    other,
    placed,
    pod,
)


def test_silent_while_the_autoscaler_brings_a_node() -> None:
    ordered = failed(20, message="pod triggered scale-up: [{group 1->2 (max: 5)}]", reason="TriggeredScaleUp")
    assert run(DETECTOR, events(failed(0), ordered, placed(840), other(2000))) == []
    assert run(DETECTOR, events(failed(0), ordered, other(920))) == []
    assert remarks(DETECTOR, events(failed(0), ordered, placed(840))) == [
        "1 pod waited for a node that the autoscaler had ordered: not counted."
    ]


def test_fires_on_a_node_that_was_ordered_and_did_not_come() -> None:
    ordered = failed(20, message="pod triggered scale-up: [{group 1->2 (max: 5)}]", reason="TriggeredScaleUp")
    assert len(run(DETECTOR, events(failed(0), ordered, other(921)))) == 1


@pytest.mark.parametrize(
    "message",
    [
        'pod group "x" is not ready, 1 Pending',
        "3/5 tasks in gang unschedulable: pod group is not ready",
        'pod "x" rejected while waiting on permit: timeout',
        "Scheduling is blocked due to non-empty scheduling gates",
    ],
)
def test_silent_on_gang_jobs(message: str) -> None:
    given = events(*(failed(i, pod(i), message) for i in range(60)), other(4000))
    assert run(DETECTOR, given) == []
    assert remarks(DETECTOR, given) == ["60 pods waited for a gang scheduler or behind scheduling gates: not counted."]


def test_silent_on_pods_that_were_removed_in_time() -> None:
    gone = {"time": 100, "verb": "delete", "resource": "pods", "namespace": "shop", "name": pod(0), "user": "ops"}
    assert run(DETECTOR, events(failed(0), other(4000)) | audit(gone)) == []


def test_silent_on_the_cured_system() -> None:
    assert run(DETECTOR, events(*(placed(i, pod(i)) for i in range(200)))) == []


def test_silent_on_no_rows_where_waits_could_be_seen() -> None:
    assert run(DETECTOR, events(other(0))) == []
    assert run(DETECTOR, {KLOG_LINES: rows(KLOG_LINES, {"component": "kube-scheduler", "text": "x"})}) == []


def test_not_observable_where_the_audit_log_has_no_text_of_events() -> None:
    made = {"time": 1, "verb": "create", "resource": "events", "user": "system:kube-scheduler", "code": 201}
    with pytest.raises(NotObservable, match="shows 1 Events of the scheduler without their text"):
        run(DETECTOR, audit(made))
    with pytest.raises(NotObservable, match="holds no Events"):
        run(DETECTOR, audit(made | {"resource": "pods"}))
    with pytest.raises(NotObservable, match="neither Events nor the log of kube-scheduler"):
        run(DETECTOR, {KLOG_LINES: rows(KLOG_LINES, {"component": "kubelet", "text": "x"})})


def test_two_workloads_with_reasons_of_their_own_are_two_findings() -> None:
    waits = [failed(0, "db-0", VOLUME), failed(0, pod(0), TAINT), failed(0, pod(1), TAINT)]
    assert [(f.subject, f.figure("pods pending")) for f in run(DETECTOR, events(*waits, other(700)))] == [
        ("shop/web", 2),
        ("shop/db", 1),
    ]


def test_a_backlog_after_a_pause_is_one_of_its_own() -> None:
    early, late = ([failed(s), placed(s + 700)] for s in (0, 5000))
    assert len(run(DETECTOR, events(*early, *late))) == 2


def test_severity_follows_what_still_waits() -> None:
    def severity(count: int, **changed: Any) -> Severity:
        [finding] = run(DETECTOR, events(*(failed(i / 10, pod(i), **changed) for i in range(count)), other(700)))
        return finding.severity

    assert severity(49) is Severity.MEDIUM
    assert severity(50) is Severity.HIGH
    assert severity(500) is Severity.CRITICAL
    assert severity(1, namespace="kube-system") is Severity.CRITICAL


@pytest.mark.parametrize("name", ["a; rm -rf /", "x\n- y", "$(id)-0", "A_B-0"])
def test_a_name_that_is_not_well_formed_is_not_written_into_a_command(name: str) -> None:
    given = events(failed(55, name, VOLUME), other(700)) | audit(node_deleted(0))
    for finding in run(DETECTOR, given):
        assert finding.remedies[0].snippet == ""


def test_without_the_evidence_the_finding_goes_and_other_rows_change_nothing() -> None:
    waits = [failed(0, count=9, time=500), failed(10, pod(1))]
    [finding] = run(DETECTOR, events(*waits, other(900)))
    noise = [placed(600 + i / 2, pod(i, "cart-6c8d7f9b5"), namespace="cart") for i in range(500)]
    [again] = run(DETECTOR, events(*waits, other(900), *noise))
    assert again == finding
    assert run(DETECTOR, events(other(900), *noise)) == []


def test_the_command_prints_the_same_events(tmp_path: Path) -> None:
    if not shutil.which("jq"):
        pytest.skip("jq is not here")
    [finding] = run(DETECTOR, events(failed(0), other(700)))
    about = {"namespace": "shop", "name": pod(0)}
    items = [
        {"reason": reason, "involvedObject": about, "count": 3, "message": "m"}
        for reason in ("FailedScheduling", "Pulled")
    ]
    (tmp_path / "t").write_text(json.dumps({"items": items}))
    out = subprocess.run(["sh", "-c", finding.verify[0]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["shop", pod(0), "3", "m"]
