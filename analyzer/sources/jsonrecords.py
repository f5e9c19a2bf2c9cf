"""Records of log stores, made the objects that `analyzer.sources.jsonlines` reads.

A store keeps a line under names of its own, and what a shipper said of it beside it or around it:

* Azure Monitor: rows of ContainerLogV2 (`LogMessage`), ContainerLog (`LogEntry`), Syslog (`SyslogMessage`),
  AKSControlPlane (`Message`, `Category`) and AzureDiagnostics (`log_s`, `pod_s`), and the records of a diagnostic
  setting (`category`, `properties.log`; learn.microsoft.com/azure/azure-monitor/reference/tables)
* CloudWatch Logs Insights (`@message`, `@timestamp`, `@logStream`; User Guide, "Supported logs and discovered fields")
* Elasticsearch and OpenSearch: the record lies in `_source` of a hit
* Splunk: `event` beside `sourcetype` (HTTP Event Collector), `result._raw` (export of a search)
* Datadog: `attributes.message` (Logs API v2, a log), `content.message` (v1)
* rsyslog's `jsonmesg` (`msg`, `programname`, `timereported`), OpenTelemetry's file exporter line by line (`body`)

Audit events stay as they are where `analyzer.sources.audit` knows the envelope, and notes what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Fields = Mapping[str, Any]

_DECODE = msgspec.json.Decoder()
_ENCODE = msgspec.json.Encoder()
_FAULTS = (msgspec.DecodeError, RecursionError, UnicodeError)
_AUDIT = "audit.k8s.io/"
_AUDIT_WITHIN = 400
"""Characters within which an event says what it is: it begins with kind and version."""


def plainer(line: str) -> bytes | None:
    """The record of one line under the names that shippers use; None where it is no such record."""
    try:
        fields = _DECODE.decode(line)
    except _FAULTS:
        return None
    if not isinstance(fields, dict):
        return None
    for take in _STORES:
        if (made := take(fields)) is not None:
            text = made.get("message")
            if isinstance(text, dict):
                made["message"] = text = _ENCODE.encode(text).decode()
            told = _ENCODE.encode(made)
            return None if _ENVELOPES & fields.keys() and _AUDIT in _begin(text, told) else told
    return None


_ENVELOPES = {"_source", "@message", "log_s", "properties"}
"""Fields whose records `analyzer.sources.audit.envelope` opens."""


def _begin(text: object, record: bytes) -> str:
    return (text if isinstance(text, str) else record.decode())[:_AUDIT_WITHIN]


def _hit(fields: Fields) -> dict[str, Any] | None:
    source = fields.get("_source")
    return source if isinstance(source, dict) and "kind" not in source else None


def _azure(fields: Fields) -> dict[str, Any] | None:
    inside, category = fields, fields.get("Category", fields.get("category"))
    text = next((fields[name] for name in _AZURE_TEXTS if name in fields), None)
    if text is None and isinstance(category, str) and "properties" in fields:
        properties = _object(fields["properties"])
        inside, text = properties, properties.get("log")
    if not isinstance(text, str | dict) or not (_AZURE_TIMES & fields.keys()):
        return None
    return {
        "message": text,
        "timestamp": fields.get("TimeGenerated") or fields.get("time") or fields.get("TimeGenerated [UTC]"),
        "stream": _first(inside, "stream", "stream_s", "Stream", "LogSource", "LogEntrySource"),
        "podName": _first(inside, "pod", "pod_s", "PodName"),
        "containerName": _first(inside, "ContainerName"),
        "hostname": _first(inside, "Computer", "HostName"),
        "SYSLOG_IDENTIFIER": _first(fields, "ProcessName") or category,
    }


_AZURE_TEXTS = ("LogMessage", "SyslogMessage", "log_s", "LogEntry", "Message")
_AZURE_TIMES = {"TimeGenerated", "time", "TimeGenerated [UTC]"}


def _insights(fields: Fields) -> dict[str, Any] | None:
    text, time = fields.get("@message"), fields.get("@timestamp")
    if not isinstance(text, str):
        return None
    if isinstance(time, str) and len(time) > len("2026-03-14") and time[10] == " ":
        time = f"{time[:10]}T{time[11:]}Z"
    return {"message": text, "timestamp": time, "logStreamName": fields.get("@logStream") or ""}


def _splunk(fields: Fields) -> dict[str, Any] | None:
    result = fields.get("result")
    if isinstance(result, dict) and isinstance(result.get("_raw"), str):
        text, time, fields = result["_raw"], result.get("_time"), result
    elif "sourcetype" in fields and isinstance(event := fields.get("event"), str | dict):
        # Docker's log driver for Splunk: {"line", "source", "tag"}
        text = event.get("line", event) if isinstance(event, dict) else event
        time = _number(fields.get("time"))
    else:
        return None
    return {"message": text, "timestamp": time, "hostname": fields.get("host"), "file": fields.get("source")}


def _datadog(fields: Fields) -> dict[str, Any] | None:
    inside = fields.get("attributes", fields.get("content"))
    if not isinstance(inside, dict) or not isinstance(inside.get("message"), str) or "id" not in fields:
        return None
    tags = inside.get("tags")
    pairs = [tag.partition(":") for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    told = {name: value for name, _, value in pairs}
    return {
        "message": inside["message"],
        "timestamp": inside.get("timestamp"),
        "hostname": inside.get("host"),
        "podName": told.get("pod_name"),
        "containerName": told.get("kube_container_name"),
    }


def _rsyslog(fields: Fields) -> dict[str, Any] | None:
    text, program = fields.get("msg"), fields.get("programname")
    if not isinstance(text, str) or not isinstance(program, str):
        return None
    return {
        "message": text.removeprefix(" "),
        "timestamp": fields.get("timereported") or fields.get("timegenerated"),
        "hostname": fields.get("hostname"),
        "SYSLOG_IDENTIFIER": program,
    }


def _otel(fields: Fields) -> dict[str, Any] | None:
    body = fields.get("body")
    body = body.get("stringValue") if isinstance(body, dict) else body
    attributes, resource = (_object(fields.get(name)) for name in ("attributes", "resource"))
    if not isinstance(body, str) or not (attributes or resource):
        return None
    told = _object(resource.get("attributes")) | resource | attributes
    return {
        "message": body,
        "timestamp": fields.get("timestamp") or fields.get("time"),
        "stream": told.get("log.iostream"),
        "podName": told.get("k8s.pod.name"),
        "containerName": told.get("k8s.container.name"),
        "nodeName": told.get("k8s.node.name") or told.get("host.name"),
    }


_STORES: tuple[Callable[[Fields], dict[str, Any] | None], ...] = (
    *(_hit, _azure, _insights, _splunk, _datadog, _rsyslog, _otel),
)


def _object(value: object) -> dict[str, Any]:
    """A value that is an object, or JSON text of one."""
    if isinstance(value, str):
        try:
            value = _DECODE.decode(value)
        except _FAULTS:
            return {}
    return value if isinstance(value, dict) else {}


def _first(fields: Fields, *names: str) -> object:
    return next((fields[name] for name in names if isinstance(fields.get(name), str) and fields[name]), None)


def _number(value: object) -> object:
    """Splunk gives seconds since 1970 as a number or as its text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
