"""Entries of Google Cloud Logging that tell of Kubernetes requests, as audit events.

GKE does not export audit.k8s.io events; it turns them into `google.cloud.audit.AuditLog`
(https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog). They are turned back
as far as that goes: the query of the URI is lost, there is one time, and the answer is a gRPC code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from analyzer.sources.audit.requestinfo import RequestInfo, request_info

TRANSLATED = (
    "they are entries of Google Cloud Logging; code is translated from a gRPC code (google.rpc.Code) where the entry"
    " holds no Status of the server, and uri is put together from resourceName, without its query"
)
AMBIGUOUS = "gRPC UNKNOWN of a stream (exec, attach, portforward, proxy) also stands for 101, so code is left empty"

HTTP = {
    0: ("OK", 200),
    1: ("CANCELLED", 499),
    2: ("UNKNOWN", 500),
    3: ("INVALID_ARGUMENT", 400),
    4: ("DEADLINE_EXCEEDED", 504),
    5: ("NOT_FOUND", 404),
    6: ("ALREADY_EXISTS", 409),
    7: ("PERMISSION_DENIED", 403),
    8: ("RESOURCE_EXHAUSTED", 429),
    9: ("FAILED_PRECONDITION", 400),
    10: ("ABORTED", 409),
    11: ("OUT_OF_RANGE", 400),
    12: ("UNIMPLEMENTED", 501),
    13: ("INTERNAL", 500),
    14: ("UNAVAILABLE", 503),
    15: ("DATA_LOSS", 500),
    16: ("UNAUTHENTICATED", 401),
}
"""Name and "HTTP Mapping" of each code in googleapis `google/rpc/code.proto`."""

PRODUCER = "k8s.io"

_VERSION = re.compile(r"v\d+(?:(?:alpha|beta)\d+)?", re.ASCII)
_LOG_FIELDS = (
    "@type",
    "serviceName",
    "methodName",
    "resourceName",
    "status",
    "authenticationInfo",
    "authorizationInfo",
    "requestMetadata",
)
_ENTRY_FIELDS = ("insertId", "logName", "operation", "labels", "resource", "timestamp", "receiveTimestamp")
"""What is quoted; bodies are not among it."""

_STREAMS = ("exec", "attach", "portforward", "proxy")
_EMPTY = Raw()


class _Status(Struct, gc=False):
    code: int = 0
    message: str = ""


class _Caller(Struct, gc=False):
    email: str = field(default="", name="principalEmail")
    subject: str = field(default="", name="principalSubject")


class _Metadata(Struct, gc=False):
    address: str = field(default="", name="callerIp")
    agent: str = field(default="", name="callerSuppliedUserAgent")


class _Granted(Struct, gc=False):
    granted: bool | None = None


class _AuditLog(Struct, gc=False):
    service: str = field(default="", name="serviceName")
    method: str = field(default="", name="methodName")
    resource: str = field(default="", name="resourceName")
    status: _Status | None = None
    caller: _Caller | None = field(default=None, name="authenticationInfo")
    metadata: _Metadata | None = field(default=None, name="requestMetadata")
    granted: list[_Granted] | None = field(default=None, name="authorizationInfo")
    request: Raw = _EMPTY
    response: Raw = _EMPTY


class _Operation(Struct, gc=False):
    id: str = ""
    producer: str = ""
    first: bool = False
    last: bool = False


class _Answer(Struct, gc=False):
    """A Status of the API server in place of an object."""

    kind: str = ""
    code: int | None = None
    reason: str | None = None
    message: str | None = None


_LOG = msgspec.json.Decoder(_AuditLog, strict=False)
_OPERATION = msgspec.json.Decoder(_Operation, strict=False)
_ANSWER = msgspec.json.Decoder(_Answer)
_ANY = msgspec.json.Decoder(dict[str, Any])
_FAULTS = (msgspec.DecodeError, UnicodeError, RecursionError)


def payload(fields: Mapping[str, Raw]) -> bytes | None:
    """The AuditLog of an entry; None where the value is no such entry.

    An entry is in the form of the API, with the name that BigQuery gives the payload, or as Go's client library prints
    it (`{"Entry": {"Timestamp" ...}, "AuditPayload": "{...}"}`).
    """
    for name in ("protoPayload", "protopayload_auditlog"):
        if name in fields and bytes(fields[name])[:1] == b"{":
            return bytes(fields[name])
    if "Entry" in fields and "AuditPayload" in fields:
        return msgspec.json.decode(fields["AuditPayload"], type=str).encode()
    return None


def event_of(fields: Mapping[str, Raw]) -> tuple[bytes, tuple[str, ...], bool] | None:
    """The JSON of the event, what has to be said of it, and whether its code is translated from a gRPC code; None for a
    request to another API of Google Cloud.

    Raises msgspec.DecodeError where the entry is not as documented.
    """
    told = payload(fields)
    if told is None:
        return None
    log = _LOG.decode(told)
    if log.service != PRODUCER and not log.method.startswith("io.k8s."):
        return None
    entry = fields
    if "Entry" in fields:
        entry = msgspec.json.decode(fields["Entry"], type=dict[str, Raw])
    operation = _part(entry, "operation", "Operation")
    running = _OPERATION.decode(operation) if operation else _Operation(last=True)
    verb = log.method.rpartition(".")[2]
    uri, info = _request(log)
    if verb == "create" and info.name and not info.subresource:
        # the entry names what was created, the request named the collection
        uri = uri.rpartition("/")[0]
    status, notes, translated = _answer(log, info)
    event: dict[str, object] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse" if log.response else "Request" if log.request else "Metadata",
        "auditID": running.id or _text(_part(entry, "insertId", "InsertID")),
        "stage": "ResponseStarted" if running.first and not running.last else "ResponseComplete",
        "requestURI": uri,
        "verb": verb,
        "objectRef": info.object_ref(),
        "responseStatus": status,
        "annotations": _annotations(_part(entry, "labels", "Labels"), log),
        # when it was logged: the entry has no other time of its own, and receiveTimestamp is that of the collector
        "stageTimestamp": _text(_part(entry, "timestamp", "Timestamp")),
    }
    if log.caller is not None and (user := log.caller.email or log.caller.subject):
        event["user"] = {"username": user}
    if log.metadata is not None:
        event["sourceIPs"] = [log.metadata.address] if log.metadata.address else None
        event["userAgent"] = log.metadata.agent or None
    event |= {"requestObject": log.request} if log.request else {}
    event |= {"responseObject": log.response} if log.response else {}
    kept = {name: value for name, value in event.items() if value is not None}
    return msgspec.json.encode(kept), (TRANSLATED, *notes), translated


def lean(fields: Mapping[str, Raw], private: tuple[str, ...]) -> dict[str, object]:
    """The entry without bodies, and without what an answer says of resources that are `private`."""
    entry = {name: raw for name, raw in fields.items() if name not in ("Entry", "AuditPayload")}
    log = _mended(payload(fields) or b"{}")
    kept = {name: part for name, part in log.items() if name in _LOG_FIELDS}
    if isinstance(status := kept.get("status"), dict) and any(
        name in str(log.get("resourceName")).lower() + str(log.get("methodName")).lower() for name in private
    ):
        kept["status"] = {"code": status.get("code")}
    plain: dict[str, Any] = {name: _mended(bytes(entry[name])) for name in _ENTRY_FIELDS if name in entry}
    if isinstance(labels := plain.get("labels"), dict):
        plain["labels"] = {key: value for key, value in labels.items() if "webhook." not in key}
    return {"protoPayload": kept, **plain}


def _mended(raw: bytes) -> Any:
    """A value that may hold bytes which are no UTF-8: what no column needs is not checked when an entry is read."""
    return msgspec.json.decode(raw.decode("utf-8", "replace"))


def _request(log: _AuditLog) -> tuple[str, RequestInfo]:
    """The URI and the object: resourceName is `core/v1/namespaces/NS/pods/NAME/status`, or a bare path."""
    parts = log.resource.strip("/").split("/")
    if len(parts) > 2 and (_VERSION.fullmatch(parts[1]) or f".{parts[1]}." in log.method):
        core = parts[0] == "core"
        uri = "/".join(["/api", *parts[1:]] if core else ["/apis", *parts])
    else:
        uri = "/" + log.resource.strip("/")
    return uri, request_info("get", uri)


def _answer(log: _AuditLog, info: RequestInfo) -> tuple[dict[str, object] | None, tuple[str, ...], bool]:
    """responseStatus: the server's own Status where the entry holds it, else what the gRPC code stands for; the last
    value is true where it is the latter."""
    if log.response:
        try:
            answer = _ANSWER.decode(log.response)
        except _FAULTS:
            answer = _Answer()
        if answer.kind == "Status" and answer.code is not None:
            return {"code": answer.code, "reason": answer.reason, "message": answer.message}, (), False
    if log.status is None or log.status.code not in HTTP:
        return None, (), False
    name, code = HTTP[log.status.code]
    if name == "OK":
        return {"code": code}, (), True
    message = f"gRPC {log.status.code} {name}"
    if log.status.message and log.status.message != name:
        message += f": {log.status.message}"
    if name == "UNKNOWN" and info.subresource in _STREAMS:
        return {"message": message}, (AMBIGUOUS,), False
    return {"code": code, "message": message}, (), True


def _annotations(labels: bytes, log: _AuditLog) -> dict[str, str] | None:
    """Cloud Logging keeps the annotations of an event as the labels of the entry."""
    decision = "authorization.k8s.io/decision"
    told: dict[str, str] = {}
    if labels[:1] == b"{":
        told = {key: value for key, value in _ANY.decode(labels).items() if isinstance(value, str)}
    if decision not in told and log.granted and all(one.granted is not None for one in log.granted):
        told[decision] = "allow" if all(one.granted for one in log.granted) else "forbid"
    return told or None


def _part(entry: Mapping[str, Raw], *names: str) -> bytes:
    return next((bytes(entry[name]) for name in names if name in entry and bytes(entry[name]) != b"null"), b"")


def _text(raw: bytes) -> str | None:
    return msgspec.json.decode(raw, type=str) if raw[:1] == b'"' else None
