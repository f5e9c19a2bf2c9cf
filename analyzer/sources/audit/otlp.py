"""Log records of OpenTelemetry in JSON, as collectors export them, one request a line or as a document.

The shape is that of opentelemetry-proto `collector/logs/v1/logs_service.proto` in its JSON encoding:
resourceLogs[].scopeLogs[].logRecords[].body, where a body is the line as `stringValue` or its fields as `kvlistValue`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

DEPTH = 64
"""Levels of a structured body that are followed; what nests deeper is left out."""

RECORDS = 6
"""The nesting at which the log records of a document lie."""


class _Record(Struct, gc=False):
    body: Any = None


class _Scope(Struct, gc=False):
    records: list[_Record] = field(default_factory=list, name="logRecords")


class _Resource(Struct, gc=False):
    scopes: list[_Scope] = field(default_factory=list, name="scopeLogs")


_KINDS = {"stringValue", "kvlistValue"}
"""The values among those of AnyValue that can hold a line."""

_RESOURCES = msgspec.json.Decoder(list[_Resource])
_BODY = msgspec.json.Decoder()


def bodies(fields: Mapping[str, Raw]) -> list[bytes] | None:
    """The texts of the log records of a request, or of one record; None where the value is neither."""
    if "resourceLogs" in fields:
        found = _RESOURCES.decode(fields["resourceLogs"])
        return [_text(record.body) for one in found for scope in one.scopes for record in scope.records]
    body = _BODY.decode(fields["body"]) if "body" in fields else None
    return [_text(body)] if isinstance(body, dict) and _KINDS & body.keys() else None


def _text(body: object) -> bytes:
    """A body as the line that it was; b'' where it is no line."""
    plain = _plain(body, DEPTH)
    return plain.strip().encode() if isinstance(plain, str) else msgspec.json.encode(plain) if plain else b""


def _plain(value: object, depth: int) -> object:
    """An AnyValue (opentelemetry-proto `common/v1/common.proto`) as a plain value."""
    if not isinstance(value, dict) or not depth:
        return None
    if isinstance(values := value.get("kvlistValue"), dict):
        pairs = values.get("values")
        told = [one for one in pairs if isinstance(one, dict)] if isinstance(pairs, list) else []
        return {str(one.get("key")): _plain(one.get("value"), depth - 1) for one in told}
    if isinstance(values := value.get("arrayValue"), dict):
        items = values.get("values")
        return [_plain(one, depth - 1) for one in items] if isinstance(items, list) else []
    if "intValue" in value:
        # 64 bits are text in this encoding
        number = str(value["intValue"])
        return int(number) if number.lstrip("-").isdecimal() and len(number) < 20 else None
    return next((value[name] for name in ("stringValue", "boolValue", "doubleValue") if name in value), None)
