"""klog in exports of Cloud Logging: its agent takes the header off and keeps the parts as fields."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from analyzer import sources
from analyzer.frames import KLOG_LINES, KUBE_EVENTS
from analyzer.sources.cloudyaml import CloudYaml
from analyzer.sources.contract import Ledger
from analyzer.sources.klog import SOURCE
from tests.sources.texts import Reading, read_text

MESSAGE = '"Add event for scheduled pod" pod="shop/web-0"'


def entry(number: int = 0, **changed: Any) -> dict[str, Any]:
    """An entry of a GKE control plane (the shape is that of GoogleCloudPlatform/khi's tests)."""
    fields: dict[str, Any] = {
        "insertId": f"i{number}",
        "jsonPayload": {"message": MESSAGE, "pid": "11"},
        "logName": "projects/p/logs/container.googleapis.com%2Fscheduler",
        "receiveTimestamp": "2024-08-19T10:31:14.802511598Z",
        "resource": {
            "labels": {"cluster_name": "c", "component_name": "scheduler", "location": "us-central1-a"},
            "type": "k8s_control_plane_component",
        },
        "severity": "INFO",
        "sourceLocation": {"file": "eventhandlers.go", "line": "197"},
        "timestamp": f"2024-08-19T10:31:{number:02d}.865780Z",
    }
    return {name: value for name, value in (fields | changed).items() if value is not None}


def as_yaml(*entries: object) -> str:
    return "---\n".join(yaml.safe_dump(one, sort_keys=True) for one in entries)


def as_lines(*entries: object) -> str:
    return "".join(f"{json.dumps(one)}\n" for one in entries)


def as_array(*entries: object) -> str:
    return json.dumps(entries, indent=2)


WAYS = pytest.mark.parametrize("way", [as_yaml, as_lines, as_array])


def read(text: str) -> Reading:
    known = sources.identify(text.encode())
    assert known is not None
    assert known[0] is SOURCE
    reading = read_text(SOURCE, text)
    report = reading.report
    assert report.records == report.used + report.skipped + report.incomplete_tail
    return reading


@WAYS
def test_parts_of_a_header_are_a_row_as_if_the_line_were_read_from_the_node(way: Any) -> None:
    first, second = read(way(entry(1), entry(2, severity="ERROR"))).rows(KLOG_LINES)
    assert first == {
        "time": datetime(2024, 8, 19, 10, 31, 1, 865780, UTC),
        "source": "a.log",
        "number": 1,
        "component": "kube-scheduler",
        "severity": "I",
        "caller": "eventhandlers.go:197",
        "message": "Add event for scheduled pod",
        "text": MESSAGE,
        "pod": "shop/web-0",
    }
    assert (second["number"], second["severity"]) == (2, "E")


@WAYS
def test_the_journal_of_a_node_has_the_line_itself(way: Any) -> None:
    line = 'E0819 10:31:01.500000    4052 kubelet.go:2528] "Probe failed" pod="shop/web-0"'
    node = {"labels": {"node_name": "gke-n1"}, "type": "k8s_node"}
    told = {"jsonPayload": {"MESSAGE": line, "SYSLOG_IDENTIFIER": "kubelet"}, "resource": node, "sourceLocation": None}
    [row] = read(way(entry(1, logName="projects/p/logs/kubelet", **told))).rows(KLOG_LINES)
    assert (row["component"], row["host"], row["caller"]) == ("kubelet", "gke-n1", "kubelet.go:2528")
    assert row["time"] == datetime(2024, 8, 19, 10, 31, 1, 500000, UTC)


@pytest.mark.parametrize(
    "record",
    [
        {"jsonPayload": {"message": "m", "pid": "7", "source": "server.go:1048"}, "severity": "WARNING"},
        {"@timestamp": "2024-08-19T10:31:01Z", "severity": "W", "pid": "7", "source": "server.go:1048", "message": "m"},
    ],
    ids=["fluentd-gcp", "fluentd-elasticsearch"],
)
def test_the_addons_of_kubernetes_keep_the_caller_as_source(record: dict[str, Any]) -> None:
    [row] = read(as_lines({"timestamp": "2024-08-19T10:31:01Z"} | record)).rows(KLOG_LINES)
    assert (row["severity"], row["caller"], row["text"]) == ("W", "server.go:1048", "m")


@pytest.mark.parametrize(
    "changed",
    [
        {"jsonPayload": {"message": "m"}},  # no thread: another program that tells its source
        {"sourceLocation": {"file": "lib/a.ex", "line": "1"}},
        {"sourceLocation": {"file": "a.go", "line": None}},
        {"sourceLocation": "a.go"},
        {"sourceLocation": ["a.go", 1]},
        {"severity": "NOTICE"},
        {"timestamp": None},
        {"jsonPayload": {"message": "m", "pid": "../7"}},
    ],
    ids=str,
)
def test_what_lacks_a_part_is_no_entry_of_klog(changed: dict[str, Any]) -> None:
    reading = read(as_lines(entry(1), entry(2, **changed)))
    assert [row["number"] for row in reading.rows(KLOG_LINES)] == [1]


def test_a_document_that_is_no_yaml_costs_itself() -> None:
    reading = read("---\n".join([as_yaml(entry(1)), "insertId: [\n", as_yaml(entry(2))]))
    assert (reading.report.used, reading.skipped) == (2, {"not YAML": 1})


def test_yaml_that_breaks_off_gives_what_is_whole() -> None:
    text = as_yaml(entry(1), entry(2))
    reading = read(text[: text.rindex("timestamp")] + 'timestamp: "2024')
    assert (reading.report.used, reading.report.incomplete_tail) == (1, 1)


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_chunks_end_anywhere(size: int) -> None:
    text = as_yaml(*(entry(n) for n in range(20))).encode()
    taken = CloudYaml()
    made = b"".join(taken.feed(text[at : at + size]) for at in range(0, len(text), size)) + taken.end(Ledger())
    assert [json.loads(line)["insertId"] for line in made.splitlines()] == [f"i{n}" for n in range(20)]


def test_audit_entries_stay_with_the_audit_log() -> None:
    audit = {"insertId": "x", "logName": "projects/p/logs/a", "protoPayload": {"methodName": "io.k8s.core.v1.pods.get"}}
    known = sources.identify(as_yaml(audit, entry(1)).encode())
    assert known is None or known[0].name == "audit"
    assert KUBE_EVENTS not in read(as_yaml(entry(1))).tables


def test_comments_before_an_entry_hide_nothing() -> None:
    text = "# saved by hand\n#\n\n" + as_yaml(entry(1), entry(2))
    found = sources.identify(text.encode())
    assert found is not None
    assert found[0] is SOURCE
    assert len(read_text(SOURCE, text).rows(KLOG_LINES)) == 2
