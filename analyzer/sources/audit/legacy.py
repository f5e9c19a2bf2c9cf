"""The text format of audit logs before events: Kubernetes 1.3 to 1.6, and `--audit-log-format=legacy` until 1.13.

Up to 1.6 a request was two lines (kubernetes `pkg/apiserver/audit/audit.go`, later
`staging/src/k8s.io/apiserver/pkg/endpoints/filters/legacy_audit.go`), joined by their id:

    2016-09-07T13:03:57.400333046Z AUDIT: id="5c3b8227" ip="127.0.0.1" method="GET" user="admin" as="<self>"
        namespace="default" uri="/api/v1/namespaces/default/pods"
    2016-09-07T13:03:57.400710987Z AUDIT: id="5c3b8227" response="200"

1.5 added `groups` and `asgroups`. From 1.7 on a line is an event with its response, from 1.8 on with its stage and user
agent, and `method` is the verb (`staging/src/k8s.io/apiserver/pkg/audit/format.go`, EventString). OpenShift Origin
wrote the two lines through glog, without a year. Values are quoted as Go's `%q` does.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct, field

from analyzer.sources.audit.requestinfo import request_info

MARK = b'AUDIT: id="'

KNOWN_LIMIT = 32 << 20
"""Characters of requests that wait for their response line; the oldest are forgotten first."""

DERIVED = "the verb and the object are derived from the method and the path of a legacy text line"

_LINE = re.compile(rb'(?:(\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-]\d\d:?\d\d)) )?AUDIT: (id="[^\n]*)')
_FIELD = re.compile(r'([a-z-]+)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_ABSENT = ("<none>", "<self>", "<lookup>", "<unknown>", "<deferred>", "")


class Legacy(Struct):
    """Turns lines into the JSON of events; a response line gets the fields of its request where that is known."""

    _known: dict[str, dict[str, Any]] = field(default_factory=dict)
    _held: int = 0

    def event(self, line: bytes) -> bytes | None:
        """The event of one line; None where it is none. Runs once a line: the format is gone since 2018, and rare."""
        found = _LINE.search(line)
        if found is None:
            return None
        stamp = found[1].decode() if found[1] else None
        told = {name: _unquote(value) for name, value in _FIELD.findall(found[2].decode("utf-8", "replace"))}
        if not told.get("id") or not ({"uri", "response"} & told.keys()):
            return None
        plain = self._request(told, stamp) if "uri" in told else self._response(told, stamp)
        return msgspec.json.encode({name: value for name, value in plain.items() if value is not None})

    def _request(self, told: dict[str, str], stamp: str | None) -> dict[str, Any]:
        method, uri = told.get("method", ""), told["uri"]
        info = request_info(method, uri)
        code = told.get("response", "")
        event = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": told["id"],
            "stage": told.get("stage") or ("ResponseComplete" if "response" in told else "RequestReceived"),
            "requestURI": uri,
            # HTTP methods are in capitals; later versions wrote the verb itself
            "verb": info.verb if method.isupper() else method,
            "user": {"username": user} if (user := _there(told.get("user"))) else None,
            "sourceIPs": [address] if (address := _there(told.get("ip"))) else None,
            "userAgent": _there(told.get("user-agent")),
            "objectRef": info.object_ref(),
            "responseStatus": {"code": int(code)} if _is_code(code) else None,
            "requestReceivedTimestamp": stamp,
        }
        if "response" not in told:
            self._remember(event)
        return event

    def _response(self, told: dict[str, str], stamp: str | None) -> dict[str, Any]:
        code = told["response"]
        request = self._forget(told["id"])
        # the line is written with the headers: for a watch that is its beginning
        stage = "ResponseStarted" if request.get("verb") == "watch" else "ResponseComplete"
        return {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "auditID": told["id"],
            **request,
            "stage": stage,
            "responseStatus": {"code": int(code)} if _is_code(code) else None,
            "stageTimestamp": stamp,
        }

    def _remember(self, event: dict[str, Any]) -> None:
        self._forget(event["auditID"])
        self._known[event["auditID"]] = event
        self._held += _weight(event)
        while self._held > KNOWN_LIMIT:
            self._forget(next(iter(self._known)))

    def _forget(self, audit_id: str) -> dict[str, Any]:
        event = self._known.pop(audit_id, None)
        if event is None:
            return {}
        self._held -= _weight(event)
        return event


def _weight(event: dict[str, Any]) -> int:
    """About the bytes that one remembered request takes: its long texts, and a kilobyte for the rest."""
    return 1024 + 2 * len(event["requestURI"]) + len(event.get("userAgent") or "") + len(event["auditID"])


def _there(value: str | None) -> str | None:
    return None if value is None or value in _ABSENT else value


def _is_code(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) == 3


def _unquote(text: str) -> str:
    """What Go's `%q` had quoted."""
    return _ESCAPE.sub(_letter, text) if "\\" in text else text


def _letter(found: re.Match[str]) -> str:
    point = found[1] or found[2] or found[3]
    if point is None:
        return _LETTERS.get(found[4], found[4])
    code = int(point, 16)
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "�"
