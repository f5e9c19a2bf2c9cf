"""Where the table cannot hold the evidence, a detector of API server and workloads says so, and is never quiet.

Policies leave out verbs, stages or bodies, exports of clouds leave out columns (AKS: `AKSAuditAdmin` holds no reads;
Google: Admin Activity holds no reads either; CSV exports hold what was chosen).
"""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.detector import Detector, NotObservable
from analyzer.detectors.apiserver.apiserver_overload import DETECTOR as OVERLOAD
from analyzer.detectors.apiserver.apiserver_throttle_storm import DETECTOR as STORM
from analyzer.detectors.apiserver.audit_log_flood import DETECTOR as FLOOD
from analyzer.detectors.apiserver.discovery_burst import DETECTOR as DISCOVERY
from analyzer.detectors.apiserver.watch_list_amplification import DETECTOR as LISTS
from analyzer.detectors.workload.admission_denial_loop import DETECTOR as DENIALS
from analyzer.detectors.workload.replica_collapse import DETECTOR as COLLAPSE
from analyzer.detectors.workload.unschedulable_backlog import DETECTOR as BACKLOG
from analyzer.frames import AUDIT_EVENTS
from tests.build import rows, run

WHOLE: dict[str, Any] = {
    "stage": "ResponseComplete",
    "stage_time": 1,
    "audit_id": "a",
    "code": 200,
    "user": "alice",
    "agent": "kubectl",
    "source_ip": "192.0.2.1",
    "decision": "allow",
    "event_bytes": 900,
}
LIST = WHOLE | {"verb": "list", "resource": "pods", "api_group": ""}
DISCOVER = WHOLE | {"verb": "get", "path": "/apis", "uri": "/apis"}
MANAGER = "system:serviceaccount:kube-system:replicaset-controller"
MAKE = WHOLE | {"verb": "create", "resource": "pods", "namespace": "shop", "user": MANAGER}
WRITE = WHOLE | {"verb": "patch", "resource": "deployments", "namespace": "shop", "name": "web", "api_group": "apps"}
UNTIMED: dict[str, Any] = {"time": None, "stage_time": None}
UNANSWERED: dict[str, Any] = {"stage": "RequestReceived", "code": None}


@pytest.mark.parametrize(
    ("detector", "record", "reason"),
    [
        (STORM, LIST | UNTIMED, "has a time"),
        (STORM, LIST | UNANSWERED, "code of an answer"),
        (STORM, WRITE, "no get, list or watch"),
        (LISTS, WRITE, "no list or watch"),
        (LISTS, LIST | UNTIMED, "has a time"),
        (LISTS, LIST | {"resource": None}, "names the resource"),
        (LISTS, LIST | UNANSWERED, "ends a request"),
        (DISCOVERY, WRITE, "no get at all"),
        (DISCOVERY, LIST | {"verb": "get"}, "no request to a path that is no resource"),
        (DISCOVERY, DISCOVER | UNTIMED, "has a time"),
        (DISCOVERY, DISCOVER | {"user": None}, "names the user"),
        (DISCOVERY, DISCOVER | {"agent": None}, "names the user agent"),
        (DISCOVERY, DISCOVER | {"source_ip": None}, "client's address"),
        (OVERLOAD, LIST | UNTIMED, "has a time"),
        (OVERLOAD, LIST | UNANSWERED, "code of an answer"),
        (FLOOD, LIST | UNTIMED, "has a time"),
        (FLOOD, LIST | {"user": None}, "names the user"),
        (FLOOD, WRITE, "no get, list or watch"),
        (DENIALS, LIST, "no creation of a pod"),
        (DENIALS, MAKE | {"user": None}, "names the user"),
        (DENIALS, MAKE | {"code": 403, "message": None}, "1 creation of pods failed, and no answer .* says why"),
        (COLLAPSE, LIST, "no request for a Deployment"),
        (COLLAPSE, WRITE, "without the object that was stored"),
        (COLLAPSE, WRITE | {"code": None}, "no code of an answer|without the object"),
        (BACKLOG, LIST, "neither Events nor the log of kube-scheduler"),
    ],
    ids=lambda value: value.id if isinstance(value, Detector) else None,
)
def test_what_is_not_there_is_not_observable(detector: Detector[Any], record: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotObservable, match=reason):
        run(detector, {AUDIT_EVENTS: rows(AUDIT_EVENTS, record)})


@pytest.mark.parametrize("detector", [STORM, LISTS, OVERLOAD, FLOOD])
def test_one_whole_record_of_a_read_is_enough_to_be_quiet(detector: Detector[Any]) -> None:
    assert run(detector, {AUDIT_EVENTS: rows(AUDIT_EVENTS, LIST)}) == []
