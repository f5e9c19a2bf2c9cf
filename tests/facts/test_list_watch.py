from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.list_watch import LIST_WATCH
from analyzer.frames import AUDIT_EVENTS, AUDIT_OBJECTS, Table
from tests.build import at, frames_for, rows

LIST: dict[str, Any] = {
    "stage": "ResponseComplete",
    "code": 200,
    "decision": "allow",
    "verb": "list",
    "api_group": "",
    "resource": "pods",
    "agent": "node-agent",
    "source_ip": "192.0.2.1",
    "uri": "/api/v1/pods",
    "request_body_bytes": 0,
    "response_body_bytes": 0,
}
WATCH = LIST | {"verb": "watch", "uri": "/api/v1/pods?watch=true"}


def told(*events: dict[str, Any], **more: pl.LazyFrame) -> list[dict[str, Any]]:
    named = [{"audit_id": f"id-{i}"} | event for i, event in enumerate(events)]
    given: dict[Table, pl.LazyFrame] = {AUDIT_EVENTS: rows(AUDIT_EVENTS, *named)}
    if "objects" in more:
        given[AUDIT_OBJECTS] = more["objects"]
    return frames_for([LIST_WATCH], given)[LIST_WATCH].collect().rows(named=True)


def one(*events: dict[str, Any]) -> dict[str, Any]:
    [row] = told(*events)
    return row


def asking(query: str, **changed: Any) -> dict[str, Any]:
    return LIST | {"uri": f"/api/v1/pods?{query}"} | changed


def test_a_poll_is_told_by_its_interval_and_that_it_hardly_varies() -> None:
    row = one(*[LIST | {"time": 15 * i + 0.1 * (i % 2)} for i in range(10)])
    assert (row["lists"], row["relists"], row["clients"]) == (10, 9, 1)
    assert row["interval_seconds"] == pytest.approx(15.1)
    assert row["interval_variation"] == pytest.approx(0.00702, rel=0.01)
    assert (row["time"], row["last"]) == (at(0), at(135.1))


def test_intervals_are_those_of_one_client_over_the_same_objects() -> None:
    others = [LIST | {"time": 1, "source_ip": "192.0.2.2"}, asking("labelSelector=a%3Db", time=2)]
    row = one(LIST | {"time": 0}, *others, LIST | {"time": 60})
    assert (row["clients"], row["relists"], row["interval_seconds"], row["interval_variation"]) == (2, 1, 60.0, None)


def test_an_informer_lists_once_and_watches() -> None:
    row = one(
        asking("limit=500&resourceVersion=0&fieldSelector=spec.nodeName%3Dnode-1", time=0),
        WATCH | {"uri": "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1&watch=true", "time": 1, "stage_time": 301},
    )
    assert (row["lists"], row["relists"], row["watches"], row["watch_seconds"]) == (1, 0, 1, 300.0)
    assert (row["unselected"], row["unselected_watches"], row["unpaginated"]) == (0, 0, 0)
    assert (row["quorum_reads"], row["cache_reads"]) == (0, 1)
    assert (row["interval_seconds"], row["interval_variation"]) == (None, None)


def test_what_a_plain_list_leaves_out_is_counted() -> None:
    row = one(LIST)
    assert (row["unpaginated"], row["quorum_reads"], row["cache_reads"], row["unselected"]) == (1, 1, 0, 1)


def test_pages_of_a_list_are_no_lists_of_their_own() -> None:
    pages = [asking("limit=500&continue=abc", time=i) for i in (1, 2)]
    row = one(asking("limit=500", time=0), *pages)
    assert (row["lists"], row["pages"], row["relists"], row["quorum_reads"]) == (1, 2, 0, 1)


@pytest.mark.parametrize(
    ("selector", "unselected"),
    [
        ("spec.nodeName%3Dnode-1", 0),
        ("status.phase%3DRunning%2Cspec.nodeName%3Dnode-1", 0),
        ("metadata.name%3Dweb", 0),
        ("spec.nodeName%3D%3Dnode-1", 0),
        ("spec.nodeName%3D%2Cstatus.phase%3DRunning", 1),
        ("spec.nodeName%21%3Dnode-1", 1),
        ("status.phase%3DRunning", 1),
        ("spec.nodeName%3D", 1),
    ],
)
def test_only_a_selector_of_one_node_or_object_selects(selector: str, unselected: int) -> None:
    assert one(asking(f"fieldSelector={selector}"))["unselected"] == unselected


def test_short_watches_are_served_and_end_within_a_second() -> None:
    row = one(
        WATCH | {"time": 0, "stage_time": 0.9},
        WATCH | {"time": 1, "stage_time": 2.0},
        WATCH | {"time": 2, "stage_time": 2.1, "code": 403},
        WATCH | {"time": 3, "stage_time": 3.1, "stage": "ResponseStarted"},
    )
    assert (row["watches"], row["short_watches"], row["watch_seconds"]) == (4, 1, 0.95)


def test_refusals_are_counted() -> None:
    row = one(LIST | {"code": 410}, LIST | {"code": 429, "decision": None}, WATCH | {"code": 410})
    assert (row["gone"], row["rejected"], row["lists"]) == (2, 1, 2)


def test_scopes_resources_and_agents_are_rows_of_their_own() -> None:
    found = told(
        LIST,
        LIST | {"namespace": "shop"},
        LIST | {"namespace": "pay"},
        LIST | {"resource": "services"},
        LIST | {"agent": None},
    )
    assert [(row["agent"], row["resource"], row["scope"], row["lists"]) for row in found] == [
        ("node-agent", "pods", "cluster", 1),
        ("node-agent", "pods", "namespace", 2),
        ("node-agent", "services", "cluster", 1),
        ("", "pods", "cluster", 1),
    ]


def test_nodes_are_those_of_kubelets_and_of_tokens() -> None:
    row = one(LIST | {"caller_node": "node-1"}, LIST | {"caller_node": "node-2"}, LIST | {"node": "node-2"})
    assert row["nodes"] == 2


def test_objects_and_bytes_are_known_where_answers_are_kept() -> None:
    objects = rows(AUDIT_OBJECTS, {"body": "response", "items": 40, "number": 1}, {"body": "response", "items": 2})
    [row] = told(LIST | {"response_body_bytes": 900, "stage_time": 0.5, "time": 0}, LIST, objects=objects)
    assert (row["objects"], row["bytes"], row["list_seconds"]) == (42, 900, 0.5)
    assert (one(LIST)["objects"], one(LIST)["bytes"]) == (None, None)


def test_gets_and_subresources_are_not_meant() -> None:
    assert told(LIST | {"verb": "get"}, LIST | {"subresource": "log"}, LIST | {"resource": None}) == []


def test_no_rows_give_none() -> None:
    assert told() == []
