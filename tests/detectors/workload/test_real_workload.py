"""The detectors of workloads against recordings of real components, counted independently from their JSON."""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import cache
from typing import Any

import polars as pl
import pytest

from analyzer.detector import Detector, NotObservable, Remark
from analyzer.detectors.workload import admission_denial_loop, replica_collapse, unschedulable_backlog
from analyzer.frames import Table
from analyzer.model import Finding
from analyzer.sources import audit, klog
from tests.build import outcome, run
from tests.recordings import RECORDED, needed, read

pytestmark = needed

FOLDERS = (
    *("a_baseline", "c_audit_flood", "e_webhook_latest", "f_discovery", "h_node_delete_localpv"),
    *("j0_evictions_instant", "k_kubelet_faults"),
)


@cache
def evidence(folder: str) -> dict[Table, pl.LazyFrame]:
    """Audit log and logs of the control plane. klog has no year; its times stay unknown unless JSON tells them."""
    names = sorted(path.name for path in (RECORDED / folder).iterdir())
    logs = [f"{folder}/{name}" for name in names if name.startswith("kube-") and name.endswith(".json")]
    events = [f"{folder}/{name}" for name in names if name.startswith("audit") and ".log" in name]
    found = read(audit.SOURCE, *events)
    return found | (read(klog.SOURCE, *logs) if logs else {})


def denials(folder: str, text: str) -> int:
    """Lines of the audit log in which a controller's pod was refused with that text."""
    lines = (RECORDED / folder / "audit.log").read_text().splitlines()
    events = [json.loads(line) for line in lines if '"verb":"create"' in line and re.search(text, line)]
    return sum(
        event["stage"] == "ResponseComplete"
        and event["objectRef"]["resource"] == "pods"
        and event["responseStatus"]["code"] >= 400
        for event in events
    )


def test_a_webhook_that_refuses_and_then_cannot_be_called() -> None:
    denied, failing = run(admission_denial_loop.DETECTOR, evidence("e_webhook_latest"))
    assert denied.figure("denials") == denials("e_webhook_latest", "denied the request") == 14
    assert failing.figure("denials") == denials("e_webhook_latest", "failed calling webhook") == 26
    assert (denied.figure("replicas missing"), failing.figure("owners stuck")) == (3, 2)
    assert denied.evidence.tables[0].rows[0][0] == "payments/ledger"
    assert failing.subject == "image-policy.example.com (unreachable)"


def test_a_volume_on_a_deleted_node() -> None:
    [finding] = run(unschedulable_backlog.DETECTOR, evidence("h_node_delete_localpv"))
    assert (finding.subject, finding.variant) == ("data/db", "dead-node volume")
    assert "ip-10-0-12-32.ec2.internal" in finding.summary
    lines = (RECORDED / "h_node_delete_localpv" / "kube-scheduler.klog.json").read_text().splitlines()
    tried = [json.loads(line) for line in lines if "Unable to schedule pod" in line and "node affinity" in line]
    assert finding.figure("scheduling attempts") == len(tried) == 1
    assert finding.start is not None
    assert finding.start.timestamp() == pytest.approx(tried[0]["ts"] / 1000, abs=0.001)
    assert isinstance(finding.start, datetime)


def found(detector: Detector[Any], folder: str) -> list[Finding | Remark]:
    """What a detector says of a recording; nothing where it says that it cannot see."""
    try:
        return outcome(detector, evidence(folder))
    except NotObservable:
        return []


@pytest.mark.parametrize("folder", [name for name in FOLDERS if name != "e_webhook_latest"])
def test_no_check_blocks_a_workload_elsewhere(folder: str) -> None:
    """In h and k a namespace that is being deleted refuses pods, which is no admission check."""
    assert found(admission_denial_loop.DETECTOR, folder) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_deployment_collapses(folder: str) -> None:
    assert found(replica_collapse.DETECTOR, folder) == []


@pytest.mark.parametrize("folder", [name for name in FOLDERS if name != "h_node_delete_localpv"])
def test_no_pod_waits_elsewhere(folder: str) -> None:
    assert found(unschedulable_backlog.DETECTOR, folder) == []
