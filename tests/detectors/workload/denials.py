"""What controllers ask for and are denied, by audit log, Events and klog."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyzer.frames import AUDIT_EVENTS, AUDIT_OBJECTS, Table
from analyzer.model import Finding
from tests.build import rows

SETS = "system:serviceaccount:kube-system:replicaset-controller"
DENIED = "admission webhook \"image.example.com\" denied the request: image tag ':latest' is not allowed"
FAILING = (
    'Internal error occurred: failed calling webhook "image.example.com": failed to call webhook: '
    'Post "https://image.policy.svc:443/v?timeout=5s": {}'
)
UNREACHABLE = ("image.example.com (unreachable)", "webhook failure (unreachable)")
TIMEOUT = ("image.example.com (timeout)", "webhook failure (timeout)")
TLS = ("image.example.com (TLS)", "webhook failure (TLS)")
FORBIDDEN = 'pods "web-x" is forbidden: '
SECURITY = FORBIDDEN + 'violates PodSecurity "restricted:latest": runAsNonRoot != true'
QUOTA = FORBIDDEN + "exceeded quota: compute, requested: cpu=1, used: cpu=10, limited: cpu=10"
POLICY = FORBIDDEN + "ValidatingAdmissionPolicy 'no-latest' with binding 'all' denied request: no"
ANY = FORBIDDEN + "unable to validate against any {}: []"
OLD_EVENT = (
    'Event(v1.ObjectReference{{Kind:"DaemonSet", Namespace:"shop", Name:"agent", UID:"1", APIVersion:"apps/v1", '
    "ResourceVersion:\"2\", FieldPath:\"\"}}): type: 'Warning' reason: 'FailedCreate' Error creating: {}"
)
Given = dict[Table, pl.LazyFrame]
Body = dict[str, Any]


def create(seconds: float, code: int = 403, message: str | None = DENIED, **changed: Any) -> Body:
    """A pod that the ReplicaSet controller wants to make."""
    made: Body = {"time": seconds, "stage_time": seconds, "stage": "ResponseComplete", "verb": "create", "code": code}
    made |= {"resource": "pods", "namespace": "shop", "user": SETS, "decision": "allow"}
    return made | {"message": message if code >= 400 else None} | changed


def owned(
    event: Body, owner: str | None = "web-5d9c7f6b8", kind: str | None = "ReplicaSet", **changed: Any
) -> tuple[Body, Body]:
    """The event with the body that it carried."""
    return event, {"body": "request", "owner_kind": kind, "owner_name": owner} | changed


def log(*parts: Body | tuple[Body, Body]) -> Given:
    """An audit log of these events, each on the line of its place, with the bodies that they carried."""
    events, objects = [], []
    for number, part in enumerate(parts, 1):
        event, body = part if isinstance(part, tuple) else (part, None)
        events.append({"audit_id": f"id-{number}", "number": number} | event)
        if body:
            objects.append({"number": number, "time": event["time"]} | body)
    return {AUDIT_EVENTS: rows(AUDIT_EVENTS, *events), AUDIT_OBJECTS: rows(AUDIT_OBJECTS, *objects)}


def asked(seconds: float, name: str | None = None, **changed: Any) -> Body:
    """Any other request."""
    return create(seconds, 200, verb="get", name=name, user="ops", **changed)


LOOP = (
    owned(
        create(
            9,
            201,
            resource="replicasets",
            name="web-5d9c7f6b8",
            user="system:serviceaccount:kube-system:deployment-controller",
        ),
        owner="web",
        kind="Deployment",
        replicas=3,
        name="web-5d9c7f6b8",
    ),
    owned(create(10)),
    owned(create(11)),
    owned(create(130)),
    asked(310),
)


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def event(seconds: float | None, count: int, message: str = f"Error creating: {DENIED}", **changed: Any) -> Body:
    made = {"time": seconds, "first_time": seconds, "count": count, "reason": "FailedCreate", "message": message}
    return made | {"kind": "ReplicaSet", "namespace": "shop", "name": "web-5d9c7f6b8"} | changed
