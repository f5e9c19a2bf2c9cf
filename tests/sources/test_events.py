from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from analyzer import sources
from analyzer.frames import KUBE_EVENTS
from analyzer.sources.events import SOURCE
from analyzer.sources.eventsrows import events_of
from tests.sources.texts import Reading, read_text

EVENT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {
        "name": "web-0.17cd2",
        "namespace": "shop",
        "uid": "11111111-2222-4333-8444-555555555555",
        "creationTimestamp": "2024-05-07T11:00:00Z",
        "managedFields": [{"manager": "kubelet"}],
    },
    "involvedObject": {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "shop",
        "name": "web-0",
        "uid": "ecf6beca-4e57-4562-8f89-b6e72312b3fd",
        "fieldPath": "spec.containers{web}",
    },
    "reason": "BackOff",
    "message": "Back-off restarting failed container",
    "source": {"component": "kubelet", "host": "node-1"},
    "firstTimestamp": "2024-05-07T11:00:00Z",
    "lastTimestamp": "2024-05-07T11:59:43Z",
    "eventTime": None,
    "reportingComponent": "kubelet",
    "reportingInstance": "node-1",
    "count": 7,
    "type": "Warning",
}
ROW = {
    "time": datetime(2024, 5, 7, 11, 59, 43, tzinfo=UTC),
    "source": "a.log",
    "number": 1,
    "first_time": datetime(2024, 5, 7, 11, tzinfo=UTC),
    "count": 7,
    "type": "Warning",
    "reason": "BackOff",
    "message": "Back-off restarting failed container",
    "kind": "Pod",
    "namespace": "shop",
    "name": "web-0",
    "uid": "ecf6beca-4e57-4562-8f89-b6e72312b3fd",
    "field_path": "spec.containers{web}",
    "component": "kubelet",
    "node": "node-1",
    "event_uid": "11111111-2222-4333-8444-555555555555",
}
NEW = {
    "apiVersion": "events.k8s.io/v1",
    "kind": "Event",
    "metadata": {"name": "x", "creationTimestamp": "2024-05-07T11:00:01Z"},
    "eventTime": "2024-05-07T11:00:00.250000Z",
    "series": {"count": 12, "lastObservedTime": "2024-05-07T11:59:43.000000Z"},
    "reportingController": "default-scheduler",
    "reportingInstance": "default-scheduler-master",
    "regarding": {"kind": "Pod", "namespace": "shop", "name": "web-0"},
    "reason": "FailedScheduling",
    "note": "0/3 nodes are available",
    "type": "Warning",
}
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0"}}


def events_list(*objects: object) -> dict[str, object]:
    return {"apiVersion": "v1", "items": list(objects), "kind": "List", "metadata": {"resourceVersion": ""}}


WAYS = {
    "kubectl -o json": json.dumps(events_list(EVENT, POD), indent=4),
    "an EventList on one line": json.dumps({"kind": "EventList", "apiVersion": "v1", "items": [EVENT, POD]}),
    "JSON lines": f"{json.dumps(EVENT)}\n{json.dumps(POD)}\n",
    "pretty-printed objects": f"{json.dumps(EVENT, indent=4)}\n{json.dumps(POD, indent=4)}\n",
    "an array": json.dumps([EVENT, POD], indent=1),
    "kubectl -o yaml": yaml.safe_dump(events_list(EVENT, POD)),
    "YAML documents": f"{yaml.safe_dump(EVENT)}---\n{yaml.safe_dump(POD)}",
}


def read(text: str) -> Reading:
    return read_text(SOURCE, text)


@pytest.mark.parametrize("way", WAYS)
def test_events_are_read_however_they_were_saved(way: str) -> None:
    known = sources.identify(WAYS[way].encode())
    assert known is not None
    assert known[0].name == "events"
    reading = read(WAYS[way])
    [row] = reading.rows(KUBE_EVENTS)
    assert row | {"number": 1} == ROW
    assert (reading.report.used, reading.skipped) == (1, {"not-a-record": 1})
    quoted = SOURCE.quote(_stream(WAYS[way]), frozenset([row["number"]]))
    assert "BackOff" in quoted[row["number"]]


def _stream(text: str) -> Any:
    from io import BytesIO

    return BytesIO(text.encode())


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"type": "MODIFIED", "object": EVENT}),
        json.dumps({"verb": "UPDATED", "event": EVENT, "old_event": {}}),
        json.dumps({name: value for name, value in EVENT.items() if name not in {"kind", "apiVersion"}}),
        json.dumps({"log": f"{json.dumps(EVENT)}\n", "stream": "stdout", "time": "2024-05-07T12:00:00.0Z"}),
        f"2024-05-07T12:00:00.000000000Z stdout F {json.dumps(EVENT)}",
    ],
)
def test_watches_exporters_and_container_logs_are_opened(line: str) -> None:
    known = sources.identify(f"{line}\n".encode())
    assert known is not None
    assert known[0].name == "events"
    [row] = read(f"{line}\n").rows(KUBE_EVENTS)
    assert row == ROW


def test_a_series_tells_its_last_time_and_its_count() -> None:
    [row] = read(json.dumps(NEW)).rows(KUBE_EVENTS)
    assert (row["time"], row["count"]) == (ROW["time"], 12)
    assert row["first_time"] == datetime(2024, 5, 7, 11, 0, 0, 250_000, tzinfo=UTC)
    assert (row["message"], row["component"], row.get("node")) == ("0/3 nodes are available", "default-scheduler", None)


def test_an_event_that_happened_once_has_the_time_of_the_event() -> None:
    once = {name: value for name, value in NEW.items() if name != "series"}
    [row] = read(json.dumps(once)).rows(KUBE_EVENTS)
    assert (row["time"], row["count"]) == (row["first_time"], 1)
    made = {name: value for name, value in once.items() if name != "eventTime"}
    [row] = read(json.dumps(made)).rows(KUBE_EVENTS)
    assert row["time"] == datetime(2024, 5, 7, 11, 0, 1, tzinfo=UTC)


TABLE = [
    "NAMESPACE     LAST SEEN               TYPE      REASON      OBJECT                MESSAGE",
    "shop          5m12s                   Warning   Unhealthy   pod/web-0             Readiness probe failed: a  b",
    "default       3m24s (x5 over 10m)     Normal    NodeReady   node/node-1           Node node-1 status is now ready",
    "kube-system   <unknown>               Warning   Failed      replicaset/dns-5d     message",
]


def test_the_table_of_kubectl_has_no_times_and_says_so() -> None:
    text = "".join(f"{line}\n" for line in TABLE)
    known = sources.identify(text.encode())
    assert known is not None
    assert known[0].name == "events"
    reading = read(text)
    seen = [
        (row["namespace"], row["kind"], row["name"], row["reason"], row["count"]) for row in reading.rows(KUBE_EVENTS)
    ]
    assert seen == [
        ("shop", "Pod", "web-0", "Unhealthy", 1),
        ("default", "Node", "node-1", "NodeReady", 5),
        ("kube-system", "ReplicaSet", "dns-5d", "Failed", 1),
    ]
    assert reading.rows(KUBE_EVENTS)[0]["message"] == "Readiness probe failed: a  b"
    assert reading.column(KUBE_EVENTS, "time") == [None] * 3
    assert "LAST SEEN is an age" in reading.notes


def test_the_table_of_one_namespace_has_no_namespace() -> None:
    [row] = read(
        "LAST SEEN   TYPE     REASON    OBJECT      MESSAGE\n10s         Normal   Pulled    pod/web-0   m\n"
    ).rows(KUBE_EVENTS)
    assert (row.get("namespace"), row["name"]) == (None, "web-0")


def made(seconds: float) -> str:
    """How the name of an Event ends that was made so long after 11:00:00 UTC."""
    start = int(datetime(2024, 5, 7, 11, tzinfo=UTC).timestamp())
    return f"{int((start + seconds) * 1e9):x}"


def printed(*rows: tuple[str, ...]) -> str:
    """Rows as tabwriter aligns them, three spaces apart."""
    width = [max(map(len, column)) + 3 for column in zip(*rows, strict=True)]
    return "".join(
        "".join(cell.ljust(size) for cell, size in zip(row, width, strict=True)).rstrip() + "\n" for row in rows
    )


WIDE = ("LAST SEEN", "TYPE", "REASON", "OBJECT", "SUBOBJECT", "SOURCE", "MESSAGE", "FIRST SEEN", "COUNT", "NAME")


def wide(*changed: tuple[str, ...]) -> str:
    back_off = ("90s", "Warning", "BackOff", "pod/web-0", "spec.containers{web}", "kubelet, node-1", "back  off é")
    ready = ("5m1s", "Normal", "NodeReady", "node/node-1", "", "kubelet, node-1", "ready")
    return printed(
        ("NAMESPACE", *WIDE),
        ("shop", *back_off, "10m", "7", f"web-0.{made(0.5)}"),
        ("default", *ready, "5m1s", "1", f"node-1.{made(299)}"),
        *changed,
    )


def test_the_wide_table_tells_all_columns_and_its_names_tell_the_time_of_printing() -> None:
    known = sources.identify(wide().encode())
    assert known is not None
    assert known[0].name == "events"
    reading = read(wide())
    first, second = reading.rows(KUBE_EVENTS)
    base = datetime(2024, 5, 7, 11, tzinfo=UTC)
    assert first == {
        "time": base + timedelta(seconds=510),  # printed at 11:10:00, 90 seconds before that
        "source": "a.log",
        "number": 2,
        "first_time": base,
        "count": 7,
        "type": "Warning",
        "reason": "BackOff",
        "message": "back  off é",
        "kind": "Pod",
        "namespace": "shop",
        "name": "web-0",
        "field_path": "spec.containers{web}",
        "component": "kubelet",
        "node": "node-1",
    }
    assert (second["time"], second["first_time"], "field_path" in second) == (
        base + timedelta(seconds=299),
        base + timedelta(seconds=299),
        False,
    )
    assert "counted back from 2024-05-07 11:10:00 UTC" in reading.notes


def test_names_that_disagree_on_the_time_of_printing_tell_none() -> None:
    late = ("shop", "1s", "Normal", "Pulled", "pod/x", "", "kubelet", "m", "1s", "3", f"x.{made(5000)}")
    reading = read(wide(late))
    assert [row.get("time") is None for row in reading.rows(KUBE_EVENTS)] == [True, False, True]
    assert "do not tell when it was printed" in reading.notes


def test_names_of_another_kind_tell_no_time() -> None:
    text = printed(WIDE, ("2m", "Normal", "Pulled", "pod/x", "", "kubelet", "m", "5m", "1", "my-own-event"))
    [row] = read(text).rows(KUBE_EVENTS)
    assert (row["name"], row.get("time"), row.get("first_time")) == ("x", None, None)


def test_the_table_of_kubectl_before_1_13() -> None:
    header = ("LAST SEEN", "FIRST SEEN", "COUNT", "NAME", "KIND", "SUBOBJECT", "TYPE", "REASON", "SOURCE", "MESSAGE")
    row = ("2m", "5m", "3", f"web-0.{made(0)}", "Pod", "", "Warning", "Failed", "kubelet, n1", "no such image")
    [read_row] = read(printed(header, row)).rows(KUBE_EVENTS)
    told = [read_row[name] for name in ("kind", "name", "count", "reason", "node", "message")]
    assert told == ["Pod", "web-0", 3, "Failed", "n1", "no such image"]
    assert read_row["time"] == datetime(2024, 5, 7, 11, 3, tzinfo=UTC)


def test_a_line_that_does_not_stand_below_its_header_costs_itself() -> None:
    reading = read(wide() + "shop   3s   Normal   Pulled   pod/x      kubelet   m   3s   1   x.1\n")
    assert (reading.report.used, reading.skipped) == (2, {"malformed line": 1})


@pytest.mark.parametrize("damage", ['{"kind":"Event","apiVersion":"v1",', "not json", '{"a":\x01}'])
def test_a_damaged_line_costs_itself(damage: str) -> None:
    reading = read(f"{json.dumps(EVENT)}\n{damage}\n{json.dumps(EVENT)}\n")
    assert (reading.report.used, reading.skipped) == (2, {"malformed object": 1})


def test_a_list_that_was_cut_gives_what_is_whole() -> None:
    text = json.dumps(events_list(EVENT, EVENT, EVENT), indent=4)
    reading = read(text[: text.rindex('"reason"')])
    assert (reading.report.used, reading.report.incomplete_tail) == (2, 1)


def test_a_yaml_list_that_was_cut_gives_what_is_whole() -> None:
    text = yaml.safe_dump(json.loads(json.dumps(events_list(EVENT, EVENT, EVENT))))
    for cut in (text[: text.rindex("  type:")], text[: text.rindex("  type:") + 5], text[: text.rindex("kind: List")]):
        reading = read(cut)
        assert (reading.report.used, reading.report.incomplete_tail) == (2, 1)
    head_first = f"kind: List\nitems:\n{yaml.safe_dump([EVENT])}"
    assert read(head_first).report.used == 1


def test_yaml_with_anchors_is_refused_and_costs_its_object() -> None:
    bomb = "- apiVersion: v1\n  kind: Event\n  a: &a [x, x]\n  b: [*a, *a]\n"
    text = f"apiVersion: v1\nitems:\n{bomb}{yaml.safe_dump([EVENT])}kind: List\n"
    reading = read(text)
    assert (reading.report.used, reading.skipped) == (1, {"malformed object": 1})
    starred = EVENT | {"message": "matched * and & and *all"}
    [row] = read(yaml.safe_dump(events_list(starred))).rows(KUBE_EVENTS)
    assert row["message"] == "matched * and & and *all"


def test_a_yaml_object_beyond_the_limit_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.sources.eventsyaml.OBJECT_LIMIT", 5000)
    other = json.loads(json.dumps(EVENT))
    reading = read(yaml.safe_dump(events_list(EVENT | {"message": "x" * 6000}, other)))
    assert (reading.report.used, reading.skipped) == (1, {"object too long": 1})


def test_messages_are_bounded_and_masked() -> None:
    long = EVENT | {"message": "token=abcdefgh12345 " + "x" * 9000}
    [row] = read(json.dumps(long)).rows(KUBE_EVENTS)
    assert "abcdefgh12345" not in row["message"]
    assert len(row["message"]) <= 4096


@pytest.mark.parametrize("count", [0, -1, True, "7", 1 << 70, None, [1]])
def test_counts_of_a_wrong_kind_are_one(count: object) -> None:
    [row] = read(json.dumps(EVENT | {"count": count})).rows(KUBE_EVENTS)
    assert row["count"] == (7 if count == "7" else 1)


def test_objects_from_elsewhere_can_be_made_rows() -> None:
    rows, others = events_of([(3, EVENT), (4, POD), (5, None)], "audit.log")
    assert (rows["number"].to_list(), rows["source"].to_list(), others) == ([3], ["audit.log"], [4, 5])


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": "1", "stage": "ResponseComplete"}),
        json.dumps(POD),
        json.dumps({"involvedObject": "x", "reason": 1}),
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n",
    ],
)
def test_other_objects_are_no_events(text: str) -> None:
    known = sources.identify(text.encode())
    assert known is None or known[0].name != "events"


def kept_by_gke(event: dict[str, Any]) -> dict[str, Any]:
    """An entry of the log `events` (cloud.google.com/kubernetes-engine/docs, audit and event logs)."""
    resource = {"type": "k8s_pod", "labels": {"pod_name": "web-0"}}
    told = {"insertId": "i", "logName": "projects/p/logs/events", "jsonPayload": event, "resource": resource}
    return told | {"timestamp": "2024-05-07T11:59:43Z"}


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(json.dumps(kept_by_gke(EVENT)) for _ in range(2)),
        json.dumps([kept_by_gke(EVENT)] * 2, indent=2),
        "---\n".join(yaml.safe_dump(kept_by_gke(json.loads(json.dumps(EVENT)))) for _ in range(2)),
        json.dumps({"took": 1, "hits": {"hits": [{"_id": "x", "_source": EVENT}] * 2}}),
        "\n".join(json.dumps({"_id": "x", "_source": EVENT}) for _ in range(2)),
        "\n".join(json.dumps({"labels": {"job": "e"}, "timestamp": "1", "line": json.dumps(EVENT)}) for _ in range(2)),
    ],
)
def test_events_that_a_store_kept(text: str) -> None:
    found = sources.identify(text.encode())
    assert found is not None
    assert found[0] is SOURCE
    rows = read_text(SOURCE, text).rows(KUBE_EVENTS)
    assert [{**row, "number": 1} for row in rows] == [ROW, ROW]


def test_other_entries_of_such_a_log_cost_themselves() -> None:
    other = {
        "insertId": "i",
        "logName": "projects/p/logs/stdout",
        "textPayload": "x",
        "timestamp": "2024-05-07T11:59:43Z",
    }
    reading = read_text(SOURCE, json.dumps([kept_by_gke(EVENT), other], indent=2))
    assert reading.report.used == 1
    assert reading.skipped == {"not-a-record": 1}
