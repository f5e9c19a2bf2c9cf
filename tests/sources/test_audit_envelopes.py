"""Audit events in what responders save: exports of CloudWatch and of OpenShift's collectors."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from analyzer.errors import InputError
from analyzer.sources.audit import SOURCE
from tests.sources.audit_log import event, line, read
from tests.sources.enveloped import KLOG, as_csv, as_text, check, diagnostic, dumped, table_row, text

# --- EKS, through CloudWatch Logs ---


def cloudwatch_event(message: str, stream: str = "kube-apiserver-audit-0123456789abcdef") -> dict[str, object]:
    """One of `aws logs filter-log-events` (FilteredLogEvent in the API reference of CloudWatch Logs)."""
    return {
        "logStreamName": stream,
        "timestamp": 1714557600000,
        "message": message,
        "ingestionTime": 1714557605000,
        "eventId": "38239234567",
    }


def filtered(*messages: str) -> dict[str, object]:
    searched = [{"logStreamName": f"kube-apiserver-audit-{i}", "searchedCompletely": True} for i in range(3)]
    return {"events": [cloudwatch_event(message) for message in messages], "searchedLogStreams": searched}


@pytest.mark.parametrize("indent", [None, 4])
def test_filter_log_events_of_cloudwatch(indent: int | None) -> None:
    data = dumped(filtered(text(0), KLOG, text(1), text(2)[:-50]), indent=indent)
    check(data, "id-0", "id-1", where="CloudWatch", skipped=2)
    table, ledger = read(data)
    assert table["number"].to_list() == [1, 3]
    assert table["time"].dt.to_string("iso").str.slice(0, 19).to_list()[1] == "2026-01-01 00:00:01"
    reasons = {one.reason for one in ledger.report(path="", kind="", sha256="", size=0).skipped_reasons}
    assert reasons == {"a record of another log", "not JSON"}


def test_pages_of_filter_log_events_one_after_the_other() -> None:
    pages = dumped(filtered(text(0), text(1)), filtered(text(2)), indent=4)
    check(pages, "id-0", "id-1", "id-2", where="CloudWatch")
    assert read(pages)[0]["number"].to_list() == [1, 2, 3]


def insights_rows(*messages: str) -> list[list[dict[str, str]]]:
    fields = (("@timestamp", "2024-05-01 10:00:00.000"), ("@message", ""), ("@ptr", "CmEKJgoiMTIz"))
    return [[{"field": name, "value": value or message} for name, value in fields] for message in messages]


@pytest.mark.parametrize("indent", [None, 4])
def test_results_of_an_insights_query(indent: int | None) -> None:
    rows = insights_rows(text(0), KLOG, text(1))
    answer = {"results": rows, "statistics": {"recordsMatched": 3.0}, "status": "Complete"}
    check(dumped(answer, indent=indent), "id-0", "id-1", where="Insights", skipped=1)
    check(dumped(rows, indent=indent), "id-0", "id-1", where="Insights", skipped=1)


def test_downloads_of_the_insights_console() -> None:
    rows = [{"@timestamp": "2024-05-01 10:00:00.000", "@message": text(i)} for i in range(2)]
    check(dumped(rows, indent=2), "id-0", "id-1", where="Insights")
    check(dumped([row | {"@message": event(0)} for row in rows[:1]]), "id-0", where="Insights")
    check(as_csv(["@timestamp", "@message"], *([row["@timestamp"], row["@message"]] for row in rows)), "id-0", "id-1")


def test_an_insights_query_for_single_fields_gives_what_it_asked_for() -> None:
    row = {
        "@timestamp": "2024-05-01 10:00:00.000",
        "auditID": "id-0",
        "verb": "list",
        "requestURI": "/api/v1/pods",
        "user.username": "alice",
        "sourceIPs.0": "192.0.2.1",
        "responseStatus.code": "403",
        "annotations.authorization.k8s.io/decision": "forbid",
    }
    table, ledger = read(dumped([row]))
    told = table.select("audit_id", "verb", "user", "source_ip", "code", "decision").row(0)
    assert told == ("id-0", "list", "alice", "192.0.2.1", 403, "forbid")
    assert any("asked for" in note for note in ledger.notes)
    assert table["time"].to_list() == [None]


def test_an_export_of_cloudwatch_to_s3() -> None:
    data = b"".join(b"2024-05-01T00:00:00.000Z " + line(i) + b"\n" for i in range(3))
    check(data + b"2024-05-01T00:00:00.000Z " + KLOG.encode() + b"\n", "id-0", "id-1", "id-2", skipped=1)


def subscription(*messages: str) -> dict[str, object]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html"""
    return {
        "messageType": "DATA_MESSAGE",
        "owner": "111111111111",
        "logGroup": "/aws/eks/dev/cluster",
        "logStream": "kube-apiserver-audit-0123",
        "subscriptionFilters": ["audit"],
        "logEvents": [{"id": str(i), "timestamp": 1714557600000, "message": one} for i, one in enumerate(messages)],
    }


CONTROL = {
    "messageType": "CONTROL_MESSAGE",
    "owner": "CloudwatchLogs",
    "logGroup": "",
    "logStream": "",
    "subscriptionFilters": [],
    "logEvents": [
        {"id": "", "timestamp": 1, "message": "CWL CONTROL MESSAGE: Checking health of destination Firehose."}
    ],
}


@pytest.mark.parametrize("between", ["", "\n"])
def test_subscription_records_as_firehose_writes_them(between: str) -> None:
    documents = [subscription(text(0), text(1)), CONTROL, subscription(text(2))]
    data = between.join(json.dumps(one) for one in documents).encode()
    check(data, "id-0", "id-1", "id-2", where="CloudWatch", skipped=1)
    table, ledger = read(data)
    assert table["number"].to_list() == [1, 2, 4]
    [reason] = ledger.report(path="", kind="", sha256="", size=0).skipped_reasons
    assert reason.reason == "a control message of CloudWatch Logs"


def test_a_cut_export_keeps_its_whole_events() -> None:
    for indent in (None, 4):
        data = dumped(filtered(text(0), text(1), text(2)), indent=indent)
        check(data[: data.index(b"id-2")], "id-0", "id-1", tail=1)


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("damage", ["a lost quote", "a raw line break", "a lost brace"])
def test_damage_in_an_export_costs_its_event(indent: int | None, damage: str) -> None:
    data = dumped(filtered(*(text(i) for i in range(6))), indent=indent)
    old, new = {
        "a lost quote": (b'web/v1.2 (linux/amd64)\\"', b'web/v1.2 (linux/amd64)\\\\"'),
        "a raw line break": (b"web/v1.2", b"web\nv1.2"),
        "a lost brace": (b'}"', b"}"),
    }[damage]
    at = data.index(b"id-2")
    place = data.index(old, at)
    data = data[:place] + new + data[place + len(old) :]
    table, ledger = read(data)
    assert table["audit_id"].to_list() == ["id-0", "id-1", "id-3", "id-4", "id-5"]
    assert ledger.skipped == 1
    quoted = SOURCE.quote(io.BytesIO(data), frozenset(table["number"].to_list()))
    assert all(audit_id in quoted[number] for number, audit_id in table.select("number", "audit_id").rows())


# --- OpenShift ---


def test_the_node_before_each_line_of_node_logs() -> None:
    names = ("ip-10-0-1-2.ec2.internal", "master-0", "ip-10-0-1-2.ec2.internal")
    data = b"".join(f"{name} {text(i)}\n".encode() for i, name in enumerate(names))
    check(data + b"error: node is gone\n", "id-0", "id-1", "id-2", skipped=1)
    table, ledger = read(data)
    assert table["event_bytes"].to_list() == [len(line(i)) + 1 for i in range(3)]
    assert any("host" in note for note in ledger.notes)


def test_events_with_the_fields_of_the_collector_around_them() -> None:
    around = {"@timestamp": "2030-01-01T00:00:00Z", "log_type": "audit", "log_source": "openshiftAPI"}
    merged = {**around, **event(0), "level": "default", "k8s_audit_level": "Metadata", "kubernetes": {"host": "n"}}
    for data in (dumped(merged, indent=2), dumped(merged) + b"\n"):
        check(data, "id-0")
        assert read(data)[0].select("level", "time").row(0)[0] == "Metadata"
    check(dumped({**around, "structured": event(0)}) + b"\n", "id-0")
    check(dumped({**around, "message": text(0)}) + b"\n", "id-0")


def test_host_and_network_audit_are_no_kubernetes_audit() -> None:
    host = {
        "@timestamp": "2024-07-01T15:53:19Z",
        "log_type": "audit",
        "message": "type=BPF msg=audit(1719849199.623:5654)",
    }
    assert SOURCE.identify(dumped(host, indent=2)) is None
    assert SOURCE.identify(dumped(host) + b"\n") is None
    with pytest.raises(InputError, match="no audit event"):
        read(dumped(host) + b"\n")
    _, ledger = read(dumped(host, event(0), indent=2))
    assert (ledger.used, ledger.skipped) == (1, 1)


def otlp(*bodies: dict[str, Any]) -> dict[str, Any]:
    attributes = [{"key": "log_source", "value": {"stringValue": "kubeAPI"}}, {"key": "n", "value": {"intValue": "1"}}]
    records = [{"timeUnixNano": "1734635994839162050", "body": body, "attributes": attributes} for body in bodies]
    scopes = [{"scope": {}, "logRecords": records}]
    return {"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": scopes}]}


@pytest.mark.parametrize("indent", [None, 2])
def test_otlp_log_records(indent: int | None) -> None:
    bodies = [{"stringValue": text(0)}, {"stringValue": "type=BPF msg=audit(1)"}, {"stringValue": text(1)}]
    fields = [{"key": name, "value": any_value(value)} for name, value in event(2).items()]
    requests = (otlp(*bodies), otlp({"kvlistValue": {"values": fields}}))
    data = dumped(*requests, indent=indent)
    check(data, "id-0", "id-1", "id-2", where="OTLP", skipped=1)
    assert read(data)[0]["number"].to_list() == [1, 3, 4]


def any_value(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": any_value(one)} for key, one in value.items()]}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(one) for one in value]}}
    return {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}


# --- others ---


def test_times_with_a_space_and_nine_digits() -> None:
    panther = event(
        0, requestReceivedTimestamp="2024-11-13 23:50:32.672347000", stageTimestamp="2024-11-13 23:50:32.673504000"
    )
    table, _ = read(dumped(panther | {"p_event_time": "2024-11-14 00:00:00.000", "p_log_type": "Amazon.EKS.Audit"}))
    assert [str(table[name][0]) for name in ("time", "stage_time")] == [
        "2024-11-13 23:50:32.672347+00:00",
        "2024-11-13 23:50:32.673504+00:00",
    ]


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda text: json.dumps({"log": text + "\n", "stream": "stdout", "time": "2030-01-01T00:00:00Z"}),
        lambda text: "2030-01-01T00:00:00.5Z stdout F " + text,
        lambda text: "Jan 01 00:00:00 node-1 kube-apiserver[7]: " + text,
        lambda text: json.dumps({"MESSAGE": text, "__REALTIME_TIMESTAMP": "1900000000000000", "_HOSTNAME": "n"}),
        lambda text: json.dumps({"date": 1.9e9, "log": text, "kubernetes": {"pod_name": "kube-apiserver"}}),
        lambda text: json.dumps({"line": text, "timestamp": "2030-01-01T00:00:00Z", "labels": {"job": "audit"}}),
    ],
    ids=["docker", "CRI", "journald", "journald JSON", "Fluent Bit", "Loki"],
)
def test_the_time_of_a_wrapper_is_not_that_of_the_event(wrapped: Any) -> None:
    data = "".join(wrapped(text(i)) + "\n" for i in range(3)).encode()
    check(data, "id-0", "id-1", "id-2")
    assert read(data)[0]["time"].dt.year().unique().to_list() == [2026]


def test_bodies_and_secrets_in_envelopes_are_not_quoted() -> None:
    secret = {
        "requestURI": "/api/v1/namespaces/shop/secrets?access_token=hunter1",
        "objectRef": {"resource": "secrets", "namespace": "shop"},
        "responseStatus": {"code": 422, "message": "hunter2 is no value"},
        "requestObject": {"data": {"password": "hunter3"}},
    }
    for data in (
        dumped(filtered(text(0, **secret))),
        dumped(diagnostic(text(0, **secret))) + b"\n",
        dumped([table_row(0, **secret)]),
        dumped([as_text(table_row(0, **secret))]),
        dumped(otlp({"stringValue": text(0, **secret)})),
        as_csv(["@timestamp", "@message"], ["2024-05-01", text(0, **secret)]),
    ):
        table, _ = read(data)
        [told] = SOURCE.quote(io.BytesIO(data), frozenset(table["number"].to_list())).values()
        assert "id-0" in told
        assert "hunter" not in told + str(table.rows())


def test_lists_among_the_lines_of_a_runtime_or_a_log_are_opened() -> None:
    """A webhook backend is sent EventLists; they have the version of an event, and are none."""
    batch = json.dumps({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": [event(1), event(2)]})

    check(f"{text(0)}\n{batch}\n{text(3)}\n".encode(), "id-0", "id-1", "id-2", "id-3")
    check(
        "".join(f"2026-01-01T00:00:00Z stdout F {one}\n" for one in (batch, text(3))).encode(), "id-1", "id-2", "id-3"
    )


def test_a_policy_is_no_event() -> None:
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}
    assert SOURCE.identify(json.dumps(policy).encode()) is None
    check(f"{text(0)}\n{json.dumps(policy)}\n".encode(), "id-0", skipped=1)


def test_events_that_elastic_s_agents_decoded() -> None:
    filebeat = {"@timestamp": "2026-01-01T00:00:00Z", "json": event(1), "log": {"offset": 1, "file": {"path": "/x"}}}
    integration = {"@timestamp": "2026-01-01T00:00:00Z", "kubernetes": {"audit": event(2)}, "message": "x"}

    check(dumped(filebeat, integration), "id-1", "id-2", where="records with the event as an object")
