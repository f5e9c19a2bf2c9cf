"""Rows of the Log Analytics tables AKSAudit and AKSAuditAdmin (and ArcK8sAudit) as audit events.

One column a field of the event, with other names; the columns are those of
https://learn.microsoft.com/azure/azure-monitor/reference/tables/aksaudit. Columns of type `dynamic` are objects, or, in
what `az monitor log-analytics query` and CSV exports give, their JSON as text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

ADMIN = "they are of kube-audit-admin, which leaves out get and list requests"
TOO_BIG = "Azure left out a body because of its size (skipped-too-big-size-object)"

COLUMNS = {
    "Level": "level",
    "AuditId": "auditID",
    "Stage": "stage",
    "RequestUri": "requestURI",
    "Verb": "verb",
    "User": "user",
    "ImpersonatedUser": "impersonatedUser",
    "SourceIps": "sourceIPs",
    "UserAgent": "userAgent",
    "ObjectRef": "objectRef",
    "ResponseStatus": "responseStatus",
    "RequestObject": "requestObject",
    "ResponseObject": "responseObject",
    "RequestReceivedTime": "requestReceivedTimestamp",
    "StageReceivedTime": "stageTimestamp",
    "Annotations": "annotations",
}

_DYNAMIC = {
    "User",
    "ImpersonatedUser",
    "SourceIps",
    "ObjectRef",
    "ResponseStatus",
    "RequestObject",
    "ResponseObject",
    "Annotations",
}
_BODIES = ("RequestObject", "ResponseObject")
_NOTHING = (b"null", b'""')
_SKIPPED = "skipped-too-big-size-object"

_PORTAL = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}),? (\d{1,2}):(\d\d):(\d\d)(\.\d+)? ?([AaPp])[Mm]", re.ASCII)
"""Times in a CSV of the portal: `5/1/2024, 10:00:00.123 PM`, in UTC as the column's name says."""


def is_row(fields: Mapping[str, Any]) -> bool:
    return "AuditId" in fields and ("RequestUri" in fields or "Verb" in fields)


def event_of(fields: Mapping[str, Raw]) -> tuple[bytes, tuple[str, ...]]:
    """The JSON of the event, and what has to be said of it. Raises msgspec.DecodeError where a column is no JSON."""
    notes: list[str] = []
    if b"Admin" in bytes(fields.get("Type", b"")):
        notes.append(ADMIN)
    event: dict[str, object] = {"kind": "Event", "apiVersion": "audit.k8s.io/v1"}
    for column, name in COLUMNS.items():
        raw = fields.get(column)
        if raw is None or bytes(raw) in _NOTHING:
            continue
        value: object = raw
        if bytes(raw)[:1] == b'"':
            text = msgspec.json.decode(raw, type=str)
            if column in _BODIES and text == _SKIPPED:
                notes.append(TOO_BIG)
                continue
            if column in _DYNAMIC:
                value = _dynamic(text)
            elif name.endswith("Timestamp"):
                value = _time(text)
        if value is not None:
            event[name] = value
    return msgspec.json.encode(event), tuple(notes)


def _dynamic(text: str) -> Raw | None:
    """The value that stands as text in a cell; a text that is no JSON is dropped."""
    encoded = text.strip().encode()
    try:
        msgspec.json.decode(encoded, type=Raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    return Raw(encoded)


def _time(text: str) -> str:
    found = _PORTAL.fullmatch(text.strip())
    if found is None:
        return text
    month, day, year, hour, minute, second, fraction, half = found.groups()
    clock = int(hour) % 12 + (12 if half in "Pp" else 0)
    return f"{year}-{month:0>2}-{day:0>2}T{clock:02d}:{minute}:{second}{fraction or ''}Z"
