"""Pods that wait for a node, by Events, audit log and klog of the scheduler."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyzer.frames import AUDIT_EVENTS, KUBE_EVENTS, Table
from analyzer.model import Finding
from tests.build import at, rows

Given = dict[Table, pl.LazyFrame]
Row = dict[str, Any]

CPU = "0/5 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
CPU += "4 Insufficient cpu. preemption: 0/5 nodes are available: 5 Preemption is not helpful for scheduling."
TAINT = "0/3 nodes are available: 1 node(s) had untolerated taint {batch: true}, 2 node(s) didn't match Pod's node "
TAINT += "affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
VOLUME = "0/4 nodes are available: 4 node(s) didn't match PersistentVolume's node affinity. no new claims to deallocate"
WEB = "web-5d9c7f6b8-x2k8"
OLDEST = "No nodes are available that match all of the {}."
KEPT = "node(s) had taint {{{}}}, that the pod didn't tolerate"
BOUND = "didn't match PersistentVolume's node affinity"
ALL_TOLD = "0/2125 nodes are available: 11 Insufficient memory, 1263 node(s) didn't match node selector, 1354 "
ALL_TOLD += "Insufficient cpu, 2111 node(s) had taints that the pod didn't tolerate."
LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def pod(number: int, owner: str = "web-5d9c7f6b8") -> str:
    """A name that a ReplicaSet gives."""
    return f"{owner}-x2k{LETTERS[number // 27]}{LETTERS[number % 27]}"


def failed(seconds: float | None, name: str = pod(0), message: str = CPU, **changed: Any) -> Row:
    """A FailedScheduling Event of one pod; it occurred once unless told otherwise."""
    made = {"time": seconds, "first_time": seconds, "count": 1, "reason": "FailedScheduling", "message": message}
    return made | {"kind": "Pod", "namespace": "shop", "name": name, "type": "Warning"} | changed


def placed(seconds: float, name: str = pod(0), **changed: Any) -> Row:
    return failed(seconds, name, f"Successfully assigned shop/{name} to node-1", reason="Scheduled") | changed


def other(seconds: float) -> Row:
    """An Event that has nothing to do with it: the evidence goes on."""
    return failed(seconds, "x", "x", reason="Pulled")


def events(*given: Row) -> Given:
    ordered = sorted(given, key=lambda row: row["time"] if row["time"] is not None else -1)
    return {KUBE_EVENTS: rows(KUBE_EVENTS, *ordered)}


def audit(*given: Row) -> Given:
    full = [
        {"stage": "ResponseComplete", "stage_time": row["time"], "code": 200, "audit_id": f"a{i}"} | row
        for i, row in enumerate(given)
    ]
    return {AUDIT_EVENTS: rows(AUDIT_EVENTS, *full)}


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


NEW: Row = {"message": "Unable to schedule pod; no fit; waiting", "pod": f"shop/{WEB}b", "error": CPU, "text": "x"}
OLD: Row = {"text": f"Unable to schedule shop/{WEB}b: no fit: {CPU}; waiting", "message": "x"}


def runs(count: int, period: int = 600, ends: float | None = None) -> list[Row]:
    """Runs of a CronJob, each with a pod that waits, for ever or for so long. The first is due at T0."""
    minutes = int(at(0).timestamp()) // 60
    names = [f"report-{minutes + i * period // 60}-x2k8b" for i in range(count)]
    waiting = [failed(i * period + 1, name, TAINT) for i, name in enumerate(names)]
    placing = [placed(i * period + ends, name) for i, name in enumerate(names) if ends is not None]
    return [*waiting, *placing, other(count * period)]


def node_deleted(seconds: float, **changed: Any) -> Row:
    made = {"time": seconds, "verb": "delete", "resource": "nodes", "name": "node-2", "code": 200}
    return made | {"user": "system:serviceaccount:kube-system:cloud-node-lifecycle-controller"} | changed


def daemonset(seconds: float, **changed: Any) -> Row:
    made = {"time": seconds, "verb": "patch", "resource": "daemonsets", "namespace": "monitoring", "name": "agent"}
    return made | {"user": "system:serviceaccount:ci:deployer"} | changed
