"""One audit event as typed structs, decoded by the line, and the tolerant way round for events whose types drifted.

The fields are those of `audit.k8s.io` v1, v1beta1 and v1alpha1 (kubernetes
`staging/src/k8s.io/apiserver/pkg/apis/audit`).
Bodies are held as undecoded bytes, for their length alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

GROUP = "audit.k8s.io/"

NO_BODY = Raw()
"""What every event without a body has in its place."""

_AUTHN = "authentication.kubernetes.io/"
_LATENCY = "apiserver.latency.k8s.io/"


class Extra(Struct, gc=False):
    """The part of `user.extra` that names the calling pod (bound service account tokens)."""

    pod: list[str] | None = field(default=None, name=f"{_AUTHN}pod-name")
    node: list[str] | None = field(default=None, name=f"{_AUTHN}node-name")


class User(Struct, gc=False):
    username: str | None = None
    extra: Extra | None = None


class ObjectRef(Struct, gc=False):
    resource: str | None = None
    namespace: str | None = None
    name: str | None = None
    api_group: str | None = field(default=None, name="apiGroup")
    subresource: str | None = None


class ResponseStatus(Struct, gc=False):
    code: int | None = None
    reason: str | None = None
    message: str | None = None


class Annotations(Struct, gc=False):
    """The annotations of use. The latencies are Go durations, as text, until they are in the table."""

    decision: str | None = field(default=None, name="authorization.k8s.io/decision")
    latency_total_seconds: str | None = field(default=None, name=f"{_LATENCY}total")
    latency_etcd_seconds: str | None = field(default=None, name=f"{_LATENCY}etcd")
    latency_queue_seconds: str | None = field(default=None, name=f"{_LATENCY}apf-queue-wait")
    truncated: str | None = field(default=None, name="audit.k8s.io/truncated")


class Event(Struct, gc=False):
    """`timestamp` is what v1alpha1 had instead of two times: when the request reached the apiserver."""

    kind: str | None = None
    api_version: str | None = field(default=None, name="apiVersion")
    level: str | None = None
    audit_id: str | None = field(default=None, name="auditID")
    stage: str | None = None
    uri: str | None = field(default=None, name="requestURI")
    verb: str | None = None
    user: User | None = None
    source_ips: list[str] | None = field(default=None, name="sourceIPs")
    user_agent: str | None = field(default=None, name="userAgent")
    object_ref: ObjectRef | None = field(default=None, name="objectRef")
    status: ResponseStatus | None = field(default=None, name="responseStatus")
    request_body: Raw = field(default=NO_BODY, name="requestObject")
    response_body: Raw = field(default=NO_BODY, name="responseObject")
    received: str | None = field(default=None, name="requestReceivedTimestamp")
    staged: str | None = field(default=None, name="stageTimestamp")
    timestamp: str | None = None
    annotations: Annotations | None = None
    collector_level: str | None = field(default=None, name="k8s_audit_level")


DECODER = msgspec.json.Decoder(Event)

REQUEST_KEY = len(',"requestObject":')
RESPONSE_KEY = len(',"responseObject":')


def is_event(event: Event) -> bool:
    """Whether it is an audit event at all: `kind: Event` alone is also what the core API calls its events."""
    if event.api_version is not None:
        return event.api_version.startswith(GROUP)
    if event.kind not in (None, "Event"):
        return False
    return event.audit_id is not None or (
        event.verb is not None and (event.uri is not None or event.object_ref is not None)
    )


def request_bytes(event: Event) -> int:
    """Length of requestObject with its key and comma; 0 if absent."""
    size = len(memoryview(event.request_body))
    return size + REQUEST_KEY if size else 0


def response_bytes(event: Event) -> int:
    """Length of responseObject with its key and comma; 0 if absent."""
    size = len(memoryview(event.response_body))
    return size + RESPONSE_KEY if size else 0


def coerce(plain: Mapping[str, Any]) -> Event:
    """The event of a decoded object whose fields have other types than the API's: `"code": "429"`, `"verb": 7`.

    `plain` maps names to decoded values, bodies to Raw. What cannot be a value of its field becomes null.
    """
    user, ref, status = (_part(plain.get(name)) for name in ("user", "objectRef", "responseStatus"))
    extra, notes = _part(user.get("extra")), _part(plain.get("annotations"))
    bodies = {
        name: plain.get(key) for name, key in (("request_body", "requestObject"), ("response_body", "responseObject"))
    }
    return Event(
        kind=_text(plain.get("kind")),
        api_version=_text(plain.get("apiVersion")),
        level=_text(plain.get("level")),
        audit_id=_text(plain.get("auditID")),
        stage=_text(plain.get("stage")),
        uri=_text(plain.get("requestURI")),
        verb=_text(plain.get("verb")),
        user=User(
            username=_text(user.get("username")),
            extra=Extra(pod=_texts(extra.get(f"{_AUTHN}pod-name")), node=_texts(extra.get(f"{_AUTHN}node-name"))),
        ),
        source_ips=_texts(plain.get("sourceIPs")),
        user_agent=_text(plain.get("userAgent")),
        object_ref=ObjectRef(
            **{name: _text(ref.get(name)) for name in ("resource", "namespace", "name", "subresource")},
            api_group=_text(ref.get("apiGroup")),
        )
        if ref
        else None,
        status=ResponseStatus(
            code=_code(status.get("code")), reason=_text(status.get("reason")), message=_text(status.get("message"))
        ),
        received=_text(plain.get("requestReceivedTimestamp")),
        staged=_text(plain.get("stageTimestamp")),
        timestamp=_text(plain.get("timestamp")),
        annotations=Annotations(
            decision=_text(notes.get("authorization.k8s.io/decision")),
            latency_total_seconds=_text(notes.get(f"{_LATENCY}total")),
            latency_etcd_seconds=_text(notes.get(f"{_LATENCY}etcd")),
            latency_queue_seconds=_text(notes.get(f"{_LATENCY}apf-queue-wait")),
            truncated=_text(notes.get("audit.k8s.io/truncated")),
        ),
        collector_level=_text(plain.get("k8s_audit_level")),
        **{name: body for name, body in bodies.items() if isinstance(body, Raw)},
    )


def _part(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def _texts(value: object) -> list[str] | None:
    items = value if isinstance(value, list) else [value]
    return [text for item in items if (text := _text(item)) is not None] or None


def _code(value: object) -> int | None:
    text = _text(value)
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) <= 4 else None
