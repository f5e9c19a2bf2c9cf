"""Takes off what stands around audit events in one JSON value: lists, records of clouds and log shippers.

One layer at a time: `opened` gives what lies inside, and the caller opens that again until it meets events. Where an
export keeps the fields of an event under other names, the event is put together from them; that is said in `notes`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from analyzer.sources.audit import azure, google, otlp
from analyzer.sources.audit.columns import Tally
from analyzer.sources.audit.servers import server_of
from analyzer.sources.audit.split import pieces

OTHER = "a record of another log"
CONTROL = "a control message of CloudWatch Logs"
FOREIGN = "an audit record of another Google Cloud API"

LISTS = ("items", "records", "logEvents", "events", "entries", "results")
"""Fields that hold the records of a document: of EventList, Event Hubs, a CloudWatch subscription, `aws logs
filter-log-events`, `entries.list` of Cloud Logging, `aws logs get-query-results`."""

TEXTS = ("log", "log_s", "@message", "message", "line")
"""Fields that hold an event as text, in the order of trial."""

OBJECTS = ("structured", "_source", "json")
"""Fields that hold an event as an object: of OpenShift's first collector, of Elasticsearch, of Filebeat that decodes
JSON. Elastic's integration for audit logs keeps it as `kubernetes.audit`."""

_CONTROL = "CWL CONTROL MESSAGE"
_RAWS = msgspec.json.Decoder(dict[str, Raw])
_VALUES = msgspec.json.Decoder()
_NOT_AS_EXPECTED = (msgspec.DecodeError, UnicodeError, RecursionError)


class Opened(Struct, frozen=True):
    """`name` is empty for what is no envelope of its own (a list); `translated`: the only part is an event that was put
    together from the record; `notes` are said of every event in it; `why` there is nothing inside, where that is known;
    `grpc`: the code was made of a gRPC code; `server` is who wrote what lies inside, where the envelope tells.
    """

    name: str = ""
    parts: tuple[bytes, ...] = ()
    translated: bool = False
    notes: tuple[str, ...] = ()
    why: str = ""
    grpc: bool = False
    server: str | None = None


NOTHING = Opened()


class Told(Tally):
    """The notes of one input, and in which envelopes its events lay."""

    envelopes: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)

    def say(self, opened: Opened) -> None:
        """Add what is known of one event by its envelope."""
        if opened.name:
            self.envelopes[opened.name] += 1
        self.said.update(opened.notes)

    def notes(self) -> list[str]:
        told = [f"events are taken out of {name}" for name in sorted(self.envelopes)]
        told += [f"{count} event{'s' if count > 1 else ''}: {what}" for what, count in sorted(self.said.items())]
        return told + Tally.notes(self)


def opened(text: bytes) -> Opened:
    """What lies in a value that is no event itself, by one layer."""
    try:
        if text[:1] == b"[":
            return _list(text)
        fields = _RAWS.decode(text)
    except msgspec.ValidationError:
        return NOTHING
    except _NOT_AS_EXPECTED:
        parts = pieces(text)
        whole = len(parts) > 1 and sum(map(len, parts)) >= len(text.translate(None, b" \t\r,"))
        return Opened(parts=tuple(parts)) if whole else NOTHING
    try:
        found = next((found for kind in _KINDS if (found := kind(fields)) is not None), NOTHING)
        server = None if found.server or not found.parts else server_of(fields)
        return replace(found, server=server) if server is not None else found
    except _NOT_AS_EXPECTED:
        return NOTHING


def _list(text: bytes) -> Opened:
    """The parts of an array, if any of them is an object; a row of an Insights query is an array of fields."""
    parts = [bytes(raw) for raw in msgspec.json.decode(text, type=list[Raw])]
    if parts and all(b'"field"' in part for part in parts):
        told = [_VALUES.decode(part) for part in parts]
        if all(isinstance(one, dict) and isinstance(one.get("field"), str) for one in told):
            row = {one["field"]: one.get("value") for one in told}
            return Opened(parts=(msgspec.json.encode(row),))
    held = any(part[:1] in (b"{", b"[") for part in parts)
    return Opened(parts=tuple(parts)) if held else NOTHING


def _google(fields: Mapping[str, Raw]) -> Opened | None:
    if google.payload(fields) is None:
        entry = fields.get("Entry")
        return Opened(parts=(bytes(entry),)) if entry and bytes(entry)[:1] == b"{" else None
    made = google.event_of(fields)
    if made is None:
        return Opened(why=FOREIGN)
    return Opened("entries of Google Cloud Logging", (made[0],), True, made[1], grpc=made[2])


def _azure_row(fields: Mapping[str, Raw]) -> Opened | None:
    if not azure.is_row(fields):
        return None
    event, notes = azure.event_of(fields)
    return Opened("rows of the Log Analytics table AKSAudit", (event,), True, notes)


def _otlp(fields: Mapping[str, Raw]) -> Opened | None:
    bodies = otlp.bodies(fields)
    if bodies is None:
        return None
    parts = tuple(body for body in bodies if body[:1] == b"{")
    return Opened("OTLP log records", parts, why="" if parts else OTHER)


def _listed(fields: Mapping[str, Raw]) -> Opened | None:
    name = next((name for name in LISTS if name in fields and bytes(fields[name])[:1] == b"["), None)
    if name is None:
        return None
    parts = tuple(bytes(raw) for raw in msgspec.json.decode(fields[name], type=list[Raw]))
    held = any(part[:1] in (b"{", b"[") for part in parts)
    return Opened(parts=parts if held else ())


def _record(fields: Mapping[str, Raw]) -> Opened | None:
    """A record with the event as text, perhaps in `properties`, which Azure gives as an object or as text."""
    inside, name = fields, "records with the event as text"
    notes: tuple[str, ...] = ()
    if "properties" in fields:
        name, notes = "Azure diagnostic records", _admin(fields)
        inside = _RAWS.decode(_unquoted(fields["properties"]))
        if azure.is_row(inside):
            return _azure_row(inside)
    elif "log_s" in fields:
        name, notes = "rows of the Log Analytics table AzureDiagnostics", _admin(fields)
    elif "@message" in fields:
        name = "results of CloudWatch Logs Insights"
    elif "message" in fields and ({"ingestionTime", "eventId"} & fields.keys() or _SENT >= fields.keys() > _LEAST):
        name = "log events of CloudWatch Logs"
    for key in TEXTS:
        if key not in inside:
            continue
        text = _unquoted(inside[key]).strip()
        if text[:1] == b"{":
            return Opened(name, (text,), notes=notes, server=None if inside is fields else server_of(inside))
        if text:
            return Opened(why=CONTROL if text.startswith(_CONTROL.encode()) else OTHER)
    return None


_LEAST = {"timestamp", "message"}
_SENT = {"id", "extractedFields"} | _LEAST
"""Fields of a log event in a subscription; more than text and time must be there to tell whose record it is."""


def _object(fields: Mapping[str, Raw]) -> Opened | None:
    name = next((name for name in OBJECTS if name in fields and bytes(fields[name])[:1] == b"{"), None)
    held = None if name is None else bytes(fields[name])
    if held is None and b'"audit"' in (kubernetes := bytes(fields.get("kubernetes", b""))):
        held = bytes(_RAWS.decode(kubernetes).get("audit", b"")) or None
    return None if held is None else Opened("records with the event as an object", (held,))


def is_flat(text: bytes) -> bool:
    """Whether the fields of an event stand under their paths, which `_flat` puts together."""
    return bool(_PATH.search(text))


_PATH = re.compile(rb'"(?:user|objectRef|responseStatus|sourceIPs|annotations)\.[^"\\]{1,200}"\s*:')


def _flat(fields: Mapping[str, Raw]) -> Opened | None:
    """A row of an Insights query that asked for fields by their path: `verb`, `user.username`, `sourceIPs.0`."""
    if "verb" not in fields or not any("." in name for name in fields):
        return None
    event: dict[str, Any] = {}
    for name, raw in fields.items():
        value = _VALUES.decode(raw)
        first, _, rest = name.partition(".")
        if rest and first in ("annotations", "user", "objectRef", "responseStatus"):
            event.setdefault(first, {})[rest] = value
        elif first == "sourceIPs" and rest.isdecimal():
            event.setdefault(first, []).append(value)
        elif not rest and not name.startswith("@"):
            event.setdefault(name, value)
    event |= {"kind": "Event", "apiVersion": "audit.k8s.io/v1"}
    note = "only the fields that the query of CloudWatch Logs Insights asked for are there"
    return Opened("results of CloudWatch Logs Insights", (msgspec.json.encode(event),), True, (note,))


_KINDS: tuple[Callable[[Mapping[str, Raw]], Opened | None], ...] = (
    _google,
    _azure_row,
    _otlp,
    _listed,
    _object,
    _record,
    _flat,
)


def _admin(fields: Mapping[str, Raw]) -> tuple[str, ...]:
    told = bytes(fields.get("category", b"")) + bytes(fields.get("Category", b""))
    return (azure.ADMIN,) if told == b'"kube-audit-admin"' else ()


def _unquoted(raw: Raw) -> bytes:
    """A value, and the text of one that is a string: some exports give JSON as text, others as it is."""
    value = bytes(raw)
    return msgspec.json.decode(value, type=str).encode() if value[:1] == b'"' else value
