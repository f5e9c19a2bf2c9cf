"""Documents that hold log lines, made one JSON line per record before anybody looks for lines.

Some tools write what they found in a log not line by line but as one document: Loki's API, Grafana, `gcloud logging
read` (JSON and YAML), `aws logs filter-log-events` and `get-query-results`, the deliveries of a CloudWatch Logs
subscription, `az monitor log-analytics query`, the batches of an Azure event hub, a search in Elasticsearch,
`journalctl -o json-pretty` and `-o export`, OpenTelemetry's OTLP/JSON. Here each becomes the form that
`analyzer.sources.jsonlines` reads, so that sources see a log of a shipper. A record's number is its place in the
document; a quote shows the record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from analyzer.sources.contract import Ledger

if TYPE_CHECKING:
    from analyzer.sources.audit.split import Element

HEAD = 16 << 10
"""Bytes of an input that show what document it is."""

DAMAGES = 100
"""Times that reading goes on behind damage; each costs a pass over the rest of the window."""


class Export(Protocol):
    """Takes a document in chunks and gives JSON lines. `end` gives the rest, and tells the ledger what was lost;
    `guess` gives the lines of a record of which only the start was fed, to tell what is in it."""

    name: str

    def feed(self, chunk: bytes) -> bytes: ...
    def end(self, ledger: Ledger) -> bytes: ...
    def guess(self) -> bytes: ...


def export_of(head: bytes) -> Export | None:
    """What takes a document with these first bytes apart; None for everything that is no such document."""
    if head.startswith(b"__CURSOR="):
        from analyzer.sources.journalexport import JournalExport  # only where such an input is read

        return JournalExport()
    text = head[:HEAD].lstrip(b" \t\r\n")
    if text[:1] not in (b"{", b"["):
        from analyzer.sources.cloudyaml import CloudYaml, is_cloud_yaml

        return CloudYaml() if is_cloud_yaml(text) else None
    if _DELIVERY.match(text):
        return Deliveries("deliveries of a CloudWatch Logs subscription", 2, _as_line)
    for name, base, shape, flatten in _DOCUMENTS:
        if shape.match(text):
            return Document(name, base, flatten)
    return None


class Document:
    """A JSON document whose records, or what holds them, lie at nesting `base`; `flatten` makes lines of one."""

    def __init__(self, name: str, base: int, flatten: Callable[[bytes], Iterator[bytes]]) -> None:
        from analyzer.sources.audit.split import Splitter  # that package reads through this module

        self.name = name
        self._flatten = flatten
        self._make = Splitter
        self._base = base
        self._splitter = Splitter(base)
        self._damages: list[int] = []
        self._over = False

    def feed(self, chunk: bytes) -> bytes:
        made: list[bytes] = []
        data = chunk
        while not self._over:
            made += [line for element in self._splitter.feed(data) for line in self._lines(element)]
            if not self._splitter.damaged:
                break
            data = self._go_on()
        return b"".join(line + b"\n" for line in made)

    def _lines(self, element: Element) -> Iterator[bytes]:
        return self._flatten(element.data)

    def _go_on(self) -> bytes:
        """What follows the damage, from the next line on that begins with a brace: in an array nothing tells which."""
        broken = self._splitter
        self._damages.append(broken.line)
        at = broken.rest.find(b"\n{")
        self._over = bool(self._base) or at < 0 or len(self._damages) > DAMAGES
        self._splitter = self._make(self._base, line=broken.line + broken.rest.count(b"\n", 0, max(at, 0)) + 1)
        return broken.rest[at + 1 :] if not self._over else b""

    def end(self, ledger: Ledger) -> bytes:
        ledger.skip("damaged JSON", self._damages, len(self._damages))
        if self._over:
            ledger.note(f"the JSON is damaged in line {self._damages[-1]}: nothing after it could be read")
        elif self._splitter.unfinished or self._splitter.depth:
            ledger.tail()
            ledger.note(f"the document ({self.name}) ends early: its last record may be cut")
        return b""

    def guess(self) -> bytes:
        """The record that is open, cut behind its last part that is whole, and closed."""
        from analyzer.sources.audit.split import nesting

        data = b"".join(self._splitter.open_parts)
        places, _ = nesting(data)
        ends = [place for place in places.tolist() if data[place] in b"}]"]
        if not ends:
            return b""
        closers = {ord("{"): b"}", ord("["): b"]"}
        stack: list[bytes] = []
        for place in places[places <= ends[-1]].tolist():
            if data[place] in closers:
                stack.append(closers[data[place]])
            elif stack:
                stack.pop()
        closed = data[: ends[-1] + 1] + b"".join(reversed(stack))
        return b"".join(line + b"\n" for line in self._flatten(closed))


class Deliveries(Document):
    """Log events whose document names their stream: it is put into each, as `aws logs filter-log-events` writes it."""

    def __init__(self, name: str, base: int, flatten: Callable[[bytes], Iterator[bytes]]) -> None:
        from analyzer.sources.audit.around import Around

        super().__init__(name, base, flatten)
        self._splitter.around = Around()
        self._last: tuple[bytes, bytes] = (b"", b"")

    def _lines(self, element: Element) -> Iterator[bytes]:
        if element.around != self._last[0]:
            stream = _decoded(element.around).get("logStream")
            told = _ENCODE.encode(stream) if isinstance(stream, str) else b""
            self._last = element.around, b'{"logStreamName":%b,' % told if told else b""
        line = next(_as_line(element.data))
        yield self._last[1] + line[1:] if self._last[1] and element.around else line


_DECODE = msgspec.json.Decoder()
_ENCODE = msgspec.json.Encoder()
_FAULTS = (msgspec.DecodeError, RecursionError, UnicodeError)


def _as_line(element: bytes) -> Iterator[bytes]:
    """A record that is a shipper's object already; JSON strings hold no raw line break, so each is white space."""
    yield element.replace(b"\r", b" ").replace(b"\n", b" ")


def _field_pairs(element: bytes) -> Iterator[bytes]:
    """A row of an Insights query: `[{"field": "@message", "value": ...}, ...]` (API, GetQueryResults)."""
    try:
        found = _DECODE.decode(element)
    except _FAULTS:
        return
    pairs = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    if pairs:
        yield _ENCODE.encode({str(one.get("field")): one.get("value") for one in pairs})


def _loki(element: bytes) -> Iterator[bytes]:
    """The lines of one stream: `{"stream": {label: value}, "values": [["nanoseconds", "line", ...], ...]}` (Loki HTTP
    API, query_range), the oldest first. Beside the result there are statistics, which are no records."""
    found = _decoded(element)
    values = found.get("values")
    if not isinstance(values, list):
        return
    pairs = [value for value in values if isinstance(value, list) and len(value) >= 2]
    if len(pairs) > 1 and str(pairs[0][0]) > str(pairs[-1][0]):
        pairs.reverse()
    labels = found.get("stream")
    for pair in pairs:
        yield _ENCODE.encode({"labels": labels, "timestamp": pair[0], "line": pair[1]})


def _otlp(element: bytes) -> Iterator[bytes]:
    """The records of one ResourceLogs (OpenTelemetry, opentelemetry/proto/logs/v1/logs.proto), named after the
    semantic conventions for Kubernetes (`k8s.pod.name`, `k8s.node.name`)."""
    one = _decoded(element)
    resource = _attributes(one.get("resource"))
    for scope in _listed(one, "scopeLogs"):
        for record in _listed(scope, "logRecords"):
            own = resource | _attributes(record)
            body = record.get("body")
            yield _ENCODE.encode(
                {
                    "message": body.get("stringValue") if isinstance(body, dict) else None,
                    "timestamp": record.get("timeUnixNano") or record.get("observedTimeUnixNano"),
                    "stream": own.get("log.iostream"),
                    "podName": own.get("k8s.pod.name"),
                    "containerName": own.get("k8s.container.name"),
                    "nodeName": own.get("k8s.node.name") or own.get("host.name"),
                    "SYSLOG_IDENTIFIER": own.get("syslog.identifier") or own.get("process.executable.name"),
                }
            )


def _listed(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _attributes(value: object) -> dict[str, Any]:
    """`[{"key": ..., "value": {"stringValue": ...}}]` as a mapping of its texts."""
    if not isinstance(value, dict):
        return {}
    pairs = [(one.get("key"), one.get("value")) for one in _listed(value, "attributes")]
    return {str(key): inner.get("stringValue") for key, inner in pairs if isinstance(inner, dict)}


def _decoded(element: bytes) -> dict[str, Any]:
    try:
        found = _DECODE.decode(element)
    except _FAULTS:
        return {}
    return found if isinstance(found, dict) else {}


_TEXT = rb'"(?:[^"\\]|\\.)*"'
_FLAT = rb'\{(?:[^{}"]|"(?:[^"\\]|\\.)*"){0,400}?'
"""The start of an object, up to a key that does not lie inside another object."""


def _shape(*parts: bytes) -> re.Pattern[bytes]:
    """These parts with any white space between them."""
    return re.compile(rb"\s*".join(parts), re.DOTALL)


_LOKI = (
    rb"\{",
    rb'(?:"status"',
    rb":",
    rb'"success"',
    rb",)?",
    rb'"data"',
    rb":",
    rb'\{.{0,60}"(?:result|resultType)"',
)
_GRAFANA = (rb"\[", rb"\{", rb'"line"', rb":", _TEXT, rb",", rb'"timestamp"')
_CLOUD = (rb"\[", _FLAT + rb'"(?:insertId|jsonPayload|textPayload|logName)"', rb":")
_ROWS = rb"LogMessage|SyslogMessage|LogEntry|log_s|_source|@message|_raw"
_STORE = (rb"\[", _FLAT + rb'"(?:%b)"' % _ROWS, rb":")
_HUB = (rb"\{", rb'"records"', rb":", rb"\[", _FLAT + rb'"(?:category|operationName|properties)"', rb":")
_QUERY = (
    rb"\{(?:",
    rb'"queryLanguage"',
    rb":",
    _TEXT,
    rb",)?",
    rb'"results"',
    rb":",
    rb"\[",
    rb"\[",
    rb"\{",
    rb'"field"',
)
_SEARCH = (rb"\{", rb'"(?:took|_scroll_id|pit_id|timed_out)".{0,600}"hits"', rb":", rb'\{.{0,200}"hits"', rb":", rb"\[")
_WATCH = (rb"\{", rb'"events"', rb":", rb"\[", _FLAT + rb'"(?:timestamp|logStreamName|ingestionTime)"', rb":")
_VALUE = rb"(?:%b|null|\[(?:[0-9,\s]|%b)*\])" % (_TEXT, _TEXT)
_JOURNAL = rb'\{\s*\n\s*(?:"[A-Z_0-9]+"\s*:\s*%b\s*,\s*)*"(?:__REALTIME_TIMESTAMP|__CURSOR)"' % _VALUE
_KEYS = rb"@timestamp|timestamp|date|log|line|message|stream|labels|kubernetes|hostname|insertId"
_PRETTY = rb'\{\s*\n\s*"(?:%b)"\s*:' % _KEYS

_DELIVERY = re.compile(_FLAT + rb'"(?:logStream|logEvents|subscriptionFilters)"\s*:', re.DOTALL)

_DOCUMENTS: tuple[tuple[str, int, re.Pattern[bytes], Callable[[bytes], Iterator[bytes]]], ...] = (
    ("a result of Loki's API", 3, _shape(*_LOKI), _loki),
    ("OTLP logs", 2, _shape(rb"\{", rb'"resourceLogs"', rb":", rb"\["), _otlp),
    ("a download of Grafana", 1, _shape(*_GRAFANA), _as_line),
    ("entries of Cloud Logging", 1, _shape(*_CLOUD), _as_line),
    ("events of CloudWatch Logs", 2, _shape(*_WATCH), _as_line),
    ("results of CloudWatch Logs Insights", 2, _shape(*_QUERY), _field_pairs),
    ("rows of a log store", 1, _shape(*_STORE), _as_line),
    ("records of an Azure event hub", 2, _shape(*_HUB), _as_line),
    ("hits of a search", 3, _shape(*_SEARCH), _as_line),
    ("journalctl -o json-pretty", 0, re.compile(_JOURNAL), _as_line),
    ("records written over several lines", 0, re.compile(_PRETTY), _as_line),
)
"""Name, nesting of the records, how the document begins, and what makes lines of a record."""
