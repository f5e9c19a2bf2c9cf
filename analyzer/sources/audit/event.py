"""One audit event whose nested parts are left as undecoded bytes, and the tolerant way round for drifted types.

The fields are those of `audit.k8s.io` v1, v1beta1 and v1alpha1 (kubernetes
`staging/src/k8s.io/apiserver/pkg/apis/audit`). A few users, agents and answers fill a whole window, so a part is
decoded once for each of its distinct texts (`parts.py`), not for each event. Bodies stay bytes; `objects.py` opens
a few.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

GROUP = "audit.k8s.io/"
VERSIONS = {f"{GROUP}{version}" for version in ("v1", "v1beta1", "v1alpha1")}

NO_BODY = Raw()
"""What every event without a body, or without any other part, has in its place."""

_AUTHN = "authentication.kubernetes.io/"
LATENCY = "apiserver.latency.k8s.io/"

Texts = list[str] | None


class Extra(Struct, gc=False, omit_defaults=True):
    """The part of `user.extra` that names the calling pod (bound service account tokens).

    Keys: kubernetes `staging/src/k8s.io/apiserver/pkg/authentication/serviceaccount/util.go`. `credential-id` is left
    out.
    """

    pod: Texts = field(default=None, name=f"{_AUTHN}pod-name")
    pod_uid: Texts = field(default=None, name=f"{_AUTHN}pod-uid")
    node: Texts = field(default=None, name=f"{_AUTHN}node-name")


class User(Struct, gc=False, omit_defaults=True):
    username: str | None = None
    extra: Extra | None = None


class ObjectRef(Struct, gc=False, omit_defaults=True):
    resource: str | None = None
    namespace: str | None = None
    name: str | None = None
    api_group: str | None = field(default=None, name="apiGroup")
    subresource: str | None = None


class ResponseStatus(Struct, gc=False, omit_defaults=True):
    code: int | None = None
    reason: str | None = None
    message: str | None = None


class Metadata(Struct, gc=False, omit_defaults=True):
    """What v1alpha1 and v1beta1 events carried of an object's metadata."""

    created: str | None = field(default=None, name="creationTimestamp")


Annotations = dict[str, str | None]


class Event(Struct, gc=False):
    """`timestamp` is what v1alpha1 had instead of two times: when the request reached the apiserver. The last six are
    what collectors put beside it: OpenShift's keep the level of the event apart from that of their record."""

    kind: Raw = NO_BODY
    api_version: Raw = field(default=NO_BODY, name="apiVersion")
    level: Raw = NO_BODY
    audit_id: str | None = field(default=None, name="auditID")
    stage: Raw = NO_BODY
    uri: str | None = field(default=None, name="requestURI")
    verb: Raw = NO_BODY
    user: Raw = NO_BODY
    impersonated: Raw = field(default=NO_BODY, name="impersonatedUser")
    source_ips: Raw = field(default=NO_BODY, name="sourceIPs")
    user_agent: Raw = field(default=NO_BODY, name="userAgent")
    object_ref: Raw = field(default=NO_BODY, name="objectRef")
    status: Raw = field(default=NO_BODY, name="responseStatus")
    request_body: Raw = field(default=NO_BODY, name="requestObject")
    response_body: Raw = field(default=NO_BODY, name="responseObject")
    received: str | None = field(default=None, name="requestReceivedTimestamp")
    staged: str | None = field(default=None, name="stageTimestamp")
    timestamp: str | None = None
    metadata: Raw = NO_BODY
    annotations: Raw = NO_BODY
    collector_level: Raw = field(default=NO_BODY, name="k8s_audit_level")
    openshift_level: Raw = field(default=NO_BODY, name="openshift_audit_level")
    log_source: Raw = NO_BODY
    tag: Raw = NO_BODY
    filename: Raw = NO_BODY
    file: Raw = NO_BODY


DECODER = msgspec.json.Decoder(Event)

_TEXT: msgspec.json.Decoder[str | None] = msgspec.json.Decoder(str | None)

PARTS: dict[str, msgspec.json.Decoder[Any]] = {
    **dict.fromkeys(("api_version", "level", "stage", "verb", "user_agent"), _TEXT),
    **dict.fromkeys(("collector_level", "openshift_level"), _TEXT),
    **dict.fromkeys(("user", "impersonated"), msgspec.json.Decoder(User | None)),
    "source_ips": msgspec.json.Decoder(Texts),
    "object_ref": msgspec.json.Decoder(ObjectRef | None),
    "status": msgspec.json.Decoder(ResponseStatus | None),
    "annotations": msgspec.json.Decoder(Annotations | None),
    "metadata": msgspec.json.Decoder(Metadata | None),
}
"""The fields of Event that are parts, and how each is decoded."""

REQUEST_KEY = len(',"requestObject":')
RESPONSE_KEY = len(',"responseObject":')


def strictly(text: bytes) -> Event:
    """The event of one text, every part of it tried; raises what msgspec raises where one is not as it should be."""
    event = DECODER.decode(text)
    for name, decoder in PARTS.items():
        if (part := getattr(event, name)) is not NO_BODY:
            decoder.decode(part)
    return event


def is_event(event: Event) -> bool:
    """Whether it is an audit event at all: `kind: Event` alone is also what the core API calls its events."""
    if _said(event.kind) not in (None, "Event"):
        return False  # an EventList or a Policy has the same version
    version = _said(event.api_version)
    if version is not None:
        return version.startswith(GROUP)
    return event.audit_id is not None or (
        _said(event.verb) is not None and (event.uri is not None or len(memoryview(event.object_ref)) > len("null"))
    )


def _said(raw: Raw) -> str | None:
    """The text of a part that is one; '' where it is something else."""
    if raw is NO_BODY:
        return None
    try:
        return _TEXT.decode(raw)
    except (msgspec.DecodeError, UnicodeError):
        return ""


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
    ref, status, notes = (_part(plain.get(name)) for name in ("objectRef", "responseStatus", "annotations"))
    bodies = {
        name: plain.get(key) for name, key in (("request_body", "requestObject"), ("response_body", "responseObject"))
    }
    parts: dict[str, object] = {
        "kind": _text(plain.get("kind")),
        "api_version": _text(plain.get("apiVersion")),
        "level": _text(plain.get("level")),
        "stage": _text(plain.get("stage")),
        "verb": _text(plain.get("verb")),
        "user": _user(plain.get("user")),
        "impersonated": _user(plain.get("impersonatedUser")),
        "source_ips": _texts(plain.get("sourceIPs")),
        "user_agent": _text(plain.get("userAgent")),
        "object_ref": ObjectRef(
            **{name: _text(ref.get(name)) for name in ("resource", "namespace", "name", "subresource")},
            api_group=_text(ref.get("apiGroup")),
        )
        if ref
        else None,
        "status": ResponseStatus(
            code=_code(status.get("code")), reason=_text(status.get("reason")), message=_text(status.get("message"))
        ),
        "metadata": Metadata(created=_text(_part(plain.get("metadata")).get("creationTimestamp"))),
        "annotations": {str(name): _text(value) for name, value in notes.items()},
        "collector_level": _text(plain.get("k8s_audit_level")),
        "openshift_level": _text(plain.get("openshift_audit_level")),
        **{name: _text(plain.get(name)) for name in ("log_source", "tag", "filename", "file")},
    }
    return Event(
        audit_id=_text(plain.get("auditID")),
        uri=_text(plain.get("requestURI")),
        received=_text(plain.get("requestReceivedTimestamp")),
        staged=_text(plain.get("stageTimestamp")),
        timestamp=_text(plain.get("timestamp")),
        **{name: Raw(msgspec.json.encode(part)) for name, part in parts.items() if part is not None},
        **{name: body for name, body in bodies.items() if isinstance(body, Raw)},
    )


def _user(value: object) -> User | None:
    user = _part(value)
    extra = _part(user.get("extra"))
    keys = {"pod": "pod-name", "pod_uid": "pod-uid", "node": "node-name"}
    return User(
        username=_text(user.get("username")),
        extra=Extra(**{name: _texts(extra.get(f"{_AUTHN}{key}")) for name, key in keys.items()}),
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
