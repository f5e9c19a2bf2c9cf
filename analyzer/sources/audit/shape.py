"""In which shape the records of an input lie: one a line, in JSON documents, as YAML documents, as rows of a CSV."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec
from msgspec import Struct

from analyzer.sources.audit import csvrows, legacy, otlp, yamldocs
from analyzer.sources.audit.envelope import LISTS
from analyzer.sources.audit.split import nesting
from analyzer.sources.contract import ByteStream
from analyzer.sources.lines import text_head
from analyzer.sources.wrappers import Kind as Wrapped
from analyzer.sources.wrappers import detect_wrapper

HEAD = 64 << 10
"""Bytes that decide the shape."""

TABLES = 4
"""The nesting at which the columns and rows of a Log Analytics answer lie."""

_BRACKETED = re.compile(rb"\[\[?\s*[0-9a-z]")
"""What kubectl's --prefix, a journal's monotonic time and Fluent Bit write before a line; no array of events."""

_OPENING = re.compile(rb'[\[{]\s*|[\[{]\s*"[^"]*"\s*:\s*[^\s].*')
_ARRAY = re.compile(rb"\[\s*[\[{\]]")
_NAMED = re.compile(rb'"([A-Za-z]{1,20})"\s*:\s*$')
_HOST = re.compile(rb"(?m)^[A-Za-z0-9][A-Za-z0-9_./-]{0,252}[ :] ?(?=\{)")
"""A host or file name before JSON: `oc adm node-logs` puts the node before every line, grep the file."""


class Kind(StrEnum):
    LINES = "lines"
    DOCUMENT = "JSON document"
    DELIVERY = "deliveries of a CloudWatch Logs subscription"
    TABLES = "Log Analytics answer"
    OTLP = "OTLP document"
    YAML = "YAML documents"
    CSV = "CSV"
    LEGACY = "legacy text lines"


class Shape(Struct, frozen=True):
    """`base`: the nesting at which the records of a document lie: 0 for a series of them, 1 inside an array, 2 inside a
    field of an object. `wanted`: what stands in each record, where other objects lie at the same nesting. `prefixed`:
    each line has a host before its JSON."""

    kind: Kind = Kind.LINES
    base: int = 0
    wanted: bytes = b""
    prefixed: bool = False


class Ahead:
    """A stream whose first bytes have been looked at."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        parts, held = [], 0
        while held < HEAD and (part := stream.read(HEAD - held)):
            parts.append(part)
            held += len(part)
        self.head = b"".join(parts)
        self._rest = self.head

    def read(self, size: int) -> bytes:
        if self._rest:
            part, self._rest = self._rest[:size], self._rest[size:]
            return part
        return self._stream.read(size)


def shape_of(head: bytes) -> Shape:
    """The shape of an input, by its first 64 KiB."""
    bare = text_head(head, exports=False).lstrip()
    if bare[:1] == b"{" and (held := _in_a_list(bare)) is not None:
        return held
    text = text_head(head).lstrip()
    first, _, rest = text.partition(b"\n")
    first = first.strip().rstrip(b",")
    if _ARRAY.match(text) and not _BRACKETED.match(text):
        alone = _whole(first) and first != b"[" and rest.lstrip()[:1] in (b"{", b"[")
        return Shape() if alone else Shape(Kind.DOCUMENT, 1)
    if text[:1] != b"{":
        return _of_text(text)
    pretty = bool(_OPENING.fullmatch(first)) and bool(rest.strip()) and not _whole(first)
    if pretty and rest.lstrip(b" \t\r\n")[:1] in (b'"', b"}"):
        return Shape(Kind.DOCUMENT, 0)
    return Shape()


def _of_text(text: bytes) -> Shape:
    """The shape of what does not begin like JSON."""
    if legacy.MARK in text:
        return Shape(Kind.LEGACY)
    # A shipper's own mark before the JSON is taken off with the wrapper.
    if detect_wrapper(text).kind not in (Wrapped.RAW, Wrapped.NODE):
        return Shape()
    if yamldocs.is_yaml(text):
        return Shape(Kind.YAML)
    if csvrows.is_csv(text):
        return Shape(Kind.CSV)
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    hosts = sum(bool(_HOST.match(line)) for line in lines)
    return Shape(prefixed=bool(lines) and 2 * hosts > len(lines))


def without_hosts(data: bytes) -> bytes:
    """Lines without the host before their JSON; those that have none stay as they are."""
    return _HOST.sub(b"", data)


def _whole(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _in_a_list(text: bytes) -> Shape | None:
    """The shape of documents whose records lie in a field of the first object, by the brackets before it."""
    places, depths = nesting(text)
    for place, depth in zip(places.tolist(), depths.tolist(), strict=True):
        if depth <= 0:
            return None
        if depth != 2 or text[place : place + 1] != b"[":
            continue
        found = _NAMED.search(text, max(0, place - 40), place)
        name = found[1].decode() if found else ""
        if name == "resourceLogs":
            return Shape(Kind.OTLP, otlp.RECORDS)
        if name.lower() == "tables":
            return Shape(Kind.TABLES, TABLES)
        if name == "logEvents":
            return Shape(Kind.DELIVERY, 2)
        if name in LISTS:
            # `searchedLogStreams` and `statistics` of CloudWatch lie beside the records
            return Shape(Kind.DOCUMENT, 2, {"events": b'"message"', "results": b'"field"'}.get(name, b""))
    return None
