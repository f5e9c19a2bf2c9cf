from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.replica_counts import REPLICA_COUNTS
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.facts.workload_writes import WORKLOAD_WRITES
from analyzer.frames import AUDIT_EVENTS, AUDIT_OBJECTS, KLOG_LINES, KUBE_EVENTS, Table
from tests.build import frames_for, rows

OLD = (
    'Event(v1.ObjectReference{Kind:"Pod", Namespace:"shop", Name:"web-1", UID:"1", APIVersion:"v1", '
    'ResourceVersion:"2", FieldPath:"spec.containers{web}"}): '
    "type: 'Warning' reason: 'BackOff' Back-off it's restarting"
)
NEW = (
    '"Event occurred" object="shop/web-1" fieldPath="spec.containers{web}" kind="Pod" apiVersion="v1" type="Warning" '
    'reason="BackOff" message="Back-off it\'s restarting"'
)


@pytest.mark.parametrize("text", [OLD, NEW])
def test_events_that_a_component_logged_are_told_like_saved_ones(text: str) -> None:
    message = "Event occurred" if text == NEW else text
    lines = rows(KLOG_LINES, {"text": text, "message": message}, {"text": "other", "message": "other"})
    [row] = frames_for([TOLD_EVENTS], {KLOG_LINES: lines})[TOLD_EVENTS].collect().rows(named=True)
    told = {key: row[key] for key in ("namespace", "name", "kind", "type", "reason", "message", "count", "channel")}
    assert told == {
        "namespace": "shop",
        "name": "web-1",
        "kind": "Pod",
        "type": "Warning",
        "reason": "BackOff",
        "message": "Back-off it's restarting",
        "count": 1,
        "channel": "log",
    }


def audit(**changed: Any) -> dict[Table, pl.LazyFrame]:
    event = {"stage": "ResponseComplete", "audit_id": "a", "verb": "create", "code": 201, "namespace": "shop"}
    return {AUDIT_EVENTS: rows(AUDIT_EVENTS, event | {"resource": "pods", "user": "ops"} | changed)}


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({}, ["made"]),
        ({"code": 409}, ["failed"]),
        ({"code": 403, "decision": "forbid"}, []),
        ({"code": 403, "message": 'admission webhook "x" denied the request: no'}, ["denied"]),
        ({"subresource": "binding", "name": "web-1"}, ["bound"]),
        ({"subresource": "eviction", "name": "web-1"}, []),
        ({"verb": "delete", "code": 200, "name": "web-1"}, ["removed"]),
        ({"verb": "delete", "code": 404, "name": "web-1"}, []),
        ({"verb": "get", "code": 200}, []),
        ({"verb": "patch", "code": 200, "resource": "deployments", "name": "web"}, []),
    ],
)
def test_a_request_is_what_its_verb_and_its_answer_say(changed: dict[str, Any], what: list[str]) -> None:
    assert frames_for([WORKLOAD_WRITES], audit(**changed))[WORKLOAD_WRITES].collect()["what"].to_list() == what


def test_a_replica_set_that_is_made_has_its_replicas_from_the_start() -> None:
    body = {"resource": "replicasets", "name": "web-5d9c7f6b8", "replicas": 3, "owner_kind": "Deployment"}
    objects = rows(AUDIT_OBJECTS, body | {"owner_name": "web", "body": "response"})
    given = audit(resource="replicasets", name="web-5d9c7f6b8") | {AUDIT_OBJECTS: objects}
    found = frames_for([WORKLOAD_WRITES], given)[WORKLOAD_WRITES].collect()
    assert found.select("what", "kind", "workload_kind", "workload", "replicas").sort("what").rows() == [
        ("made", "ReplicaSet", "Deployment", "web", None),
        ("scaled", "ReplicaSet", "Deployment", "web", 3),
    ]


@pytest.mark.parametrize(
    ("reason", "kind", "message", "told"),
    [
        ("SuccessfulCreate", "ReplicaSet", "Created pod: web-5d9c7f6b8-x2k8m", ("made", "Pod", "web-5d9c7f6b8-x2k8m")),
        (
            "SuccessfulDelete",
            "ReplicaSet",
            "Deleted pod: web-5d9c7f6b8-x2k8m",
            ("removed", "Pod", "web-5d9c7f6b8-x2k8m"),
        ),
        ("SuccessfulCreate", "StatefulSet", "create Pod db-0 in StatefulSet db successful", ("made", "Pod", "db-0")),
        ("SuccessfulCreate", "CronJob", "Created job: web-29921704", ("made", "Job", "web-29921704")),
        ("FailedCreate", "ReplicaSet", "Error creating: pods is forbidden", ("failed", "Pod", None)),
        ("ReplicaSetCreateError", "Deployment", "Failed to create new replica set: x", ("failed", "ReplicaSet", None)),
    ],
)
def test_events_of_controllers_tell_the_same(
    reason: str, kind: str, message: str, told: tuple[str, str, str | None]
) -> None:
    event = {"reason": reason, "kind": kind, "namespace": "shop", "name": "web", "message": message, "count": 1}
    found = frames_for([WORKLOAD_WRITES], {KUBE_EVENTS: rows(KUBE_EVENTS, event)})[WORKLOAD_WRITES].collect()
    assert found.select("what", "kind", "name").rows() == [told]


def test_claims_of_a_stateful_set_are_no_pods() -> None:
    text = "create Claim data-db-0 Pod db-0 in StatefulSet db success"
    event = {"reason": "SuccessfulCreate", "kind": "StatefulSet", "name": "db", "message": text, "count": 1}
    assert not frames_for([WORKLOAD_WRITES], {KUBE_EVENTS: rows(KUBE_EVENTS, event)})[WORKLOAD_WRITES].collect().height


@pytest.mark.parametrize(
    ("message", "replicas", "before"),
    [
        ("Scaled up replica set web-5d9c7f6b8 to 3", 3, None),
        ("Scaled down replica set web-5d9c7f6b8 to 1 from 60", 1, 60),
        ("Scaled down replica set web-5d9c7f6b8 from 60 to 1", 1, 60),
    ],
)
def test_the_event_of_a_scaled_replica_set_in_every_form(message: str, replicas: int, before: int | None) -> None:
    event = {"reason": "ScalingReplicaSet", "kind": "Deployment", "name": "web", "message": message, "count": 1}
    found = frames_for([REPLICA_COUNTS], {KUBE_EVENTS: rows(KUBE_EVENTS, event)})[REPLICA_COUNTS].collect()
    assert found.select("what", "replicas", "before", "replicaset").rows() == [
        ("event", replicas, before, "web-5d9c7f6b8")
    ]
