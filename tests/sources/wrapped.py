"""One log as every shipper and viewer writes it, line for line in the shape of each."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

START = datetime(2026, 3, 14, 9, 0, 0, 123456, tzinfo=UTC)
NANOS = int(START.timestamp()) * 10**9 + 123_456_000
FILE = f"web-0_ns_app-{'a' * 64}.log"

Form = Callable[[int, str], str]


def klog(number: int) -> str:
    return f'I0314 09:00:{number % 60:02d}.123456    1234 kubelet.go:1] "message {number}" key="a \\"quoted\\" value"'


def coredns(number: int) -> str:
    return (
        f'[INFO] 10.0.0.7:{40000 + number} - {1000 + number} "A IN svc{number}.example.com. udp 54 false 1232" NOERROR '
        "qr,aa,rd 147 0.000123s"
    )


def audit(number: int) -> str:
    event = {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": f"id-{number}"}
    event |= {"stage": "ResponseComplete", "requestURI": "/api/v1/pods", "verb": "list"}
    told = {"user": {"username": "u"}, "sourceIPs": ["10.0.0.1"], "responseStatus": {"code": 200}}
    times = {"requestReceivedTimestamp": iso(number), "stageTimestamp": iso(number)}
    return json.dumps(event | told | times, separators=(",", ":"))


def iso(number: int) -> str:
    return f"2026-03-14T09:00:{number % 60:02d}.123456Z"


def nanos(number: int) -> int:
    return NANOS + number % 60 * 10**9


def seconds(number: int) -> str:
    return f"{nanos(number) // 10**9}.123456"


def _short(number: int) -> str:
    return f"09:00:{number % 60:02d}"


def journal(number: int, line: object, **more: object) -> dict[str, object]:
    told = {"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": str(nanos(number) // 1000), "_HOSTNAME": "node-1"}
    return told | {"SYSLOG_IDENTIFIER": "kubelet", "MESSAGE": line} | more


def _obj(**fields: object) -> str:
    return json.dumps({key.replace("AT_", "@"): value for key, value in fields.items()})


_POD = {"pod_name": "web-0", "host": "node-1"}
_CLOUD = {"labels": {"pod_name": "web-0", "container_name": "app"}, "type": "k8s_container"}
_BEAT = {"pod": {"name": "web-0"}, "node": {"name": "node-1"}}

LINES: dict[str, Form] = {
    "CRI": lambda i, line: f"{iso(i)} stdout F {line}",
    "docker": lambda i, line: _obj(log=line + "\n", stream="stdout", time=iso(i)),
    "kubectl --timestamps": lambda i, line: f"{iso(i)} {line}",
    "kubectl --prefix": lambda i, line: f"[pod/web-0/app] {line}",
    "kubectl --prefix --timestamps": lambda i, line: f"[pod/web-0/app] {iso(i)} {line}",
    "stern": lambda i, line: f"web-0 app {line}",
    "stern --all-namespaces": lambda i, line: f"kube-system web-0 app {line}",
    "stern --timestamps": lambda i, line: f"web-0 app {iso(i)} {line}",
    "stern --timestamps=short": lambda i, line: f"web-0 app 03-14 {_short(i)} {line}",
    "stern in colours": lambda i, line: f"\x1b[36;1mweb-0\x1b[0m \x1b[36mapp\x1b[0m {line}",
    "stern -o json": lambda i, line: _obj(
        message=line, nodeName="node-1", namespace="ns", podName="web-0", containerName="app"
    ),
    "Fluent Bit out_file": lambda i, line: (
        f"kube.var.log.containers.{FILE}: [{seconds(i)}, {_obj(log=line, stream='stdout')}]"
    ),
    "Fluent Bit out_stdout": lambda i, line: f"[{i}] kube.x: [[{seconds(i)}, {{}}], {_obj(log=line)}]",
    "Fluent Bit without a tag": lambda i, line: f"[{seconds(i)}, {_obj(log=line)}]",
    "Fluent Bit as msgpack": lambda i, line: f'[{i}] kube.x: [{seconds(i)}, {{"stream"=>"stdout", "log"=>"{line}"}}]',
    "Fluent Bit json_lines": lambda i, line: json.dumps(
        {"date": float(seconds(i)), "log": line, "stream": "stdout", "kubernetes": _POD}
    ),
    "Fluent Bit that knows no CRI": lambda i, line: _obj(date=float(seconds(i)), log=f"{iso(i)} stdout F {line}"),
    "Fluentd out_file": lambda i, line: f"{iso(i)}\tkubernetes.var.log.containers.{FILE}\t{_obj(log=line)}",
    "Filebeat": lambda i, line: _obj(
        AT_timestamp=iso(i),
        message=line,
        log={"file": {"path": f"/var/log/containers/{FILE}"}, "offset": 1},
        host={"name": "node-1"},
        kubernetes=_BEAT,
    ),
    "Vector": lambda i, line: _obj(
        file="/var/log/pods/ns_web-0_uid/app/0.log", message=line, stream="stdout", timestamp=iso(i)
    ),
    "ViaQ": lambda i, line: _obj(
        AT_timestamp=iso(i), timestamp=iso(i), hostname="node-1", kubernetes=_POD, message=line, level="info"
    ),
    "Container Insights": lambda i, line: _obj(log=line, stream="stdout", time=iso(i), kubernetes=_POD),
    "Cloud Logging, container": lambda i, line: _obj(
        insertId=f"x{i}", logName="projects/p/logs/stdout", resource=_CLOUD, textPayload=line + "\n", timestamp=iso(i)
    ),
    "Cloud Logging, node": lambda i, line: _obj(
        jsonPayload={"MESSAGE": line, "_HOSTNAME": "node-1"}, logName="projects/p/logs/kubelet", timestamp=iso(i)
    ),
    "aws logs tail": lambda i, line: f"{iso(i)} kube-apiserver-0123 {line}",
    "aws logs tail --format short": lambda i, line: f"2026-03-14T{_short(i)} {line}",
    "aws logs filter-log-events --output text": lambda i, line: (
        f"EVENTS\t3{i}\t{nanos(i) // 10**6}\tkube-scheduler-01\t{line}\t{nanos(i) // 10**6}"
    ),
    "aws logs get-log-events --output text": lambda i, line: (
        f"EVENTS\t{nanos(i) // 10**6}\t{line}\t{nanos(i) // 10**6}"
    ),
    "logcli": lambda i, line: f'{iso(i)} {{container="app", pod="web-0"}}   {line}',
    "logcli -o jsonl": lambda i, line: _obj(labels={"pod": "web-0"}, line=line, timestamp=iso(i)),
    "Grafana, text": lambda i, line: f"{nanos(i) // 10**6}\t{iso(i)}\t{line}",
    "journalctl short": lambda i, line: f"Mar 14 {_short(i)} node-1 kubelet[12]: {line}",
    "journalctl short-precise": lambda i, line: f"Mar 14 {_short(i)}.123456 node-1 kubelet[12]: {line}",
    "journalctl short-iso": lambda i, line: f"2026-03-14T{_short(i)}+0000 node-1 kubelet[12]: {line}",
    "journalctl short-iso-precise": lambda i, line: f"2026-03-14T{_short(i)}.123456+00:00 node-1 kubelet[12]: {line}",
    "journalctl short-full": lambda i, line: f"Sat 2026-03-14 {_short(i)} UTC node-1 kubelet[12]: {line}",
    "journalctl with-unit": lambda i, line: f"Sat 2026-03-14 {_short(i)} UTC node-1 kubelet.service[12]: {line}",
    "journalctl short-monotonic": lambda i, line: f"[ {i + 5:4d}.123456] node-1 kubelet[12]: {line}",
    "journalctl short-unix": lambda i, line: f"{seconds(i)} node-1 kubelet[12]: {line}",
    "journalctl json": lambda i, line: json.dumps(journal(i, line)),
    "journalctl json of bytes": lambda i, line: json.dumps(journal(i, list(line.encode()) if i % 2 else line)),
    "journalctl json-sse": lambda i, line: f"data: {json.dumps(journal(i, line))}\n",
    "RFC 3164": lambda i, line: f"Mar 14 {_short(i)} node-1 kubelet: {line}",
    "RFC 3164 with a priority": lambda i, line: f"<134>Mar 14 {_short(i)} node-1 kubelet[12]: {line}",
    "RFC 5424": lambda i, line: f'<134>1 {iso(i)} node-1 kubelet 12 - [a@1 b="c\\]d"][e f="g"] \ufeff{line}',
    "RFC 5424 without elements": lambda i, line: f"<134>1 {iso(i)} node-1 kubelet - - - {line}",
    "rsyslog": lambda i, line: f"{iso(i)} node-1 kubelet[12]: {line}",
    "oc adm node-logs": lambda i, line: f"node-{i % 2} Mar 14 {_short(i)} node-{i % 2} kubelet[12]: {line}",
    "talosctl logs": lambda i, line: f"10.5.0.2: {line}",
    "oc adm node-logs --path": lambda i, line: f"node-1 {line}",
    "Container Insights, data plane": lambda i, line: _obj(systemd_unit="kubelet.service", hostname="n", message=line),
    "Container Insights in CloudWatch": lambda i, line: _obj(
        logStreamName="node-1-application.var.log.containers." + FILE,
        timestamp=nanos(i) // 10**6,
        message=_obj(time=iso(i), stream="stderr", _p="F", log=line, kubernetes=_POD),
        ingestionTime=1,
    ),
    "CloudWatch Logs Insights": lambda i, line: json.dumps(
        {"@timestamp": f"2026-03-14 {_short(i)}.123", "@message": line, "@logStream": "kube-scheduler-01", "@ptr": "x"}
    ),
    "Filebeat, journal": lambda i, line: _obj(
        AT_timestamp=iso(i),
        message=line,
        systemd={"unit": "kubelet.service", "transport": "stdout"},
        syslog={"identifier": "kubelet"},
        host={"hostname": "node-1"},
    ),
    "ViaQ, journal": lambda i, line: _obj(
        AT_timestamp=iso(i),
        hostname="node-1",
        message=line,
        systemd={"t": {"SYSTEMD_UNIT": "kubelet.service"}, "u": {"SYSLOG_IDENTIFIER": "kubelet"}},
    ),
    "ContainerLogV2": lambda i, line: _obj(
        TimeGenerated=iso(i),
        Computer="node-1",
        PodName="web-0",
        ContainerName="app",
        LogMessage=line,
        LogSource="stdout",
    ),
    "Syslog of Azure Monitor": lambda i, line: _obj(
        TimeGenerated=iso(i), Computer="node-1", ProcessName="kubelet", SyslogMessage=line, Facility="daemon"
    ),
    "AKSControlPlane": lambda i, line: _obj(
        TimeGenerated=iso(i), Category="kube-scheduler", Level="INFO", Message=line, PodName="web-0", Stream="stderr"
    ),
    "AzureDiagnostics": lambda i, line: _obj(
        TimeGenerated=iso(i), Category="kube-scheduler", log_s=line + "\n", pod_s="web-0", stream_s="stderr"
    ),
    "a hit of Elasticsearch": lambda i, line: _obj(
        _index="x", _id=f"{i}", _source={"@timestamp": iso(i), "message": line, "kubernetes": _POD}
    ),
    "Splunk, collector": lambda i, line: _obj(
        time=float(seconds(i)), host="node-1", source=f"/var/log/containers/{FILE}", sourcetype="kube", event=line
    ),
    "Splunk, export": lambda i, line: _obj(
        preview=False, result={"_raw": line, "_time": iso(i), "host": "node-1", "source": f"/c/{FILE}"}
    ),
    "Datadog": lambda i, line: _obj(
        id="x", attributes={"timestamp": iso(i), "host": "node-1", "message": line, "tags": ["pod_name:web-0"]}
    ),
    "rsyslog, JSON": lambda i, line: _obj(
        timereported=iso(i), hostname="node-1", programname="kubelet", msg=f" {line}"
    ),
    "OpenTelemetry, lines": lambda i, line: _obj(
        body=line, timestamp=iso(i), attributes={"k8s.pod.name": "web-0"}, resource={"k8s.node.name": "node-1"}
    ),
    "carriage returns": lambda i, line: f"{line}\r",
}


def entry(fields: Sequence[tuple[str, str, bool]]) -> bytes:
    """One entry of a journal's export; a field that is binary has its length before it."""
    made = b""
    for name, value, binary in fields:
        data = value.encode()
        made += name.encode() + (b"\n" + struct.pack("<Q", len(data)) if binary else b"=") + data + b"\n"
    return made + b"\n"


def _export(i: int, line: str) -> bytes:
    told = [("__CURSOR", "s=1", False), ("__REALTIME_TIMESTAMP", str(nanos(i) // 1000), False)]
    told += [("X_DATA", "a\n\n__CURSOR=no\nMESSAGE=no", True), ("_HOSTNAME", "node-1", False)]
    return entry([*told, ("SYSLOG_IDENTIFIER", "kubelet", False), ("MESSAGE", line, bool(i % 2))])


def _loki(lines: Sequence[str]) -> object:
    values = [[str(nanos(i)), line] for i, line in reversed(list(enumerate(lines)))]
    result = [{"stream": {"pod": "web-0"}, "values": values}]
    statistics = {"summary": {"execTime": 0.1}, "querier": {"store": {"chunk": {"headChunkBytes": 0}}}}
    return {"status": "success", "data": {"resultType": "streams", "result": result, "stats": statistics}}


def _otlp(lines: Sequence[str]) -> object:
    records = [{"timeUnixNano": str(nanos(i)), "body": {"stringValue": line}} for i, line in enumerate(lines)]
    names = [{"key": "k8s.pod.name", "value": {"stringValue": "web-0"}}]
    return {"resourceLogs": [{"resource": {"attributes": names}, "scopeLogs": [{"scope": {}, "logRecords": records}]}]}


def _each(lines: Sequence[str], make: Callable[[int, str], object]) -> list[object]:
    return [make(i, line) for i, line in enumerate(lines)]


DOCUMENTS: dict[str, Callable[[Sequence[str]], bytes]] = {
    "Loki's API": lambda lines: json.dumps(_loki(lines), separators=(",", ":")).encode(),
    "Loki's API, pretty": lambda lines: json.dumps(_loki(lines), indent=2).encode(),
    "OTLP": lambda lines: json.dumps(_otlp(lines)).encode(),
    "Grafana, JSON": lambda lines: json.dumps(
        _each(lines, lambda i, line: {"line": line, "timestamp": str(nanos(i)), "date": iso(i), "fields": _POD}),
        indent=2,
    ).encode(),
    "gcloud logging read": lambda lines: json.dumps(
        _each(
            lines, lambda i, line: {"insertId": f"x{i}", "resource": _CLOUD, "textPayload": line, "timestamp": iso(i)}
        ),
        indent=2,
    ).encode(),
    "aws logs get-log-events": lambda lines: json.dumps(
        {"events": _each(lines, lambda i, line: {"timestamp": nanos(i) // 10**6, "message": line}), "nextToken": "x"},
        indent=4,
    ).encode(),
    "CloudWatch subscription": lambda lines: json.dumps(
        {
            "messageType": "DATA_MESSAGE",
            "logStream": "kube-scheduler-01",
            "subscriptionFilters": ["f"],
            "logEvents": _each(lines, lambda i, line: {"id": f"{i}", "timestamp": nanos(i) // 10**6, "message": line}),
        }
    ).encode(),
    "aws logs get-query-results": lambda lines: json.dumps(
        {
            "results": _each(
                lines,
                lambda i, line: [
                    {"field": "@timestamp", "value": f"2026-03-14 {_short(i)}.123"},
                    {"field": "@message", "value": line},
                ],
            ),
            "status": "Complete",
        },
        indent=4,
    ).encode(),
    "az monitor log-analytics query": lambda lines: json.dumps(
        _each(
            lines, lambda i, line: {"Computer": "n", "LogMessage": line, "PodName": "web-0", "TimeGenerated": iso(i)}
        ),
        indent=2,
    ).encode(),
    "Event Hubs": lambda lines: json.dumps(
        {
            "records": _each(
                lines,
                lambda i, line: {
                    "category": "kube-scheduler",
                    "properties": {"log": line + "\n", "pod": "web-0", "stream": "stderr"},
                    "time": iso(i),
                },
            )
        }
    ).encode(),
    "a search in Elasticsearch": lambda lines: json.dumps(
        {
            "took": 5,
            "hits": {
                "total": {"value": len(lines)},
                "hits": _each(
                    lines, lambda i, line: {"_id": f"{i}", "_source": {"@timestamp": iso(i), "message": line}}
                ),
            },
        },
        indent=2,
    ).encode(),
    "journalctl json-pretty": lambda lines: b"".join(
        json.dumps(journal(i, line), indent="\t").encode() + b"\n" for i, line in enumerate(lines)
    ),
    "journalctl export": lambda lines: b"".join(_export(i, line) for i, line in enumerate(lines)),
    "UTF-16": lambda lines: "".join(f"{line}\n" for line in lines).encode("utf-16"),
    "a byte order mark": lambda lines: b"\xef\xbb\xbf" + "".join(f"{line}\n" for line in lines).encode(),
}

EVERY = [*LINES, *DOCUMENTS]

TIMELESS = {
    *("kubectl --prefix", "stern", "stern --all-namespaces", "stern --timestamps=short", "stern in colours"),
    *(
        "stern -o json",
        "Container Insights, data plane",
        "journalctl short-monotonic",
        "oc adm node-logs --path",
        "talosctl logs",
        "carriage returns",
        "UTF-16",
    ),
    "a byte order mark",
}
"""Those that tell no time."""


def wrap(name: str, lines: Sequence[str]) -> bytes:
    """The lines in that form."""
    if name in DOCUMENTS:
        return DOCUMENTS[name](lines)
    return "".join(f"{LINES[name](i, line)}\n" for i, line in enumerate(lines)).encode()
