from __future__ import annotations

from typing import Any

import pytest

from analyzer.facts.change_ledger import AREAS, CHANGE_LEDGER
from analyzer.facts.changes import CHANGES
from analyzer.frames import AUDIT_EVENTS, AUDIT_FIELDS, AUDIT_OBJECTS
from tests.build import frames_for, rows

PATCH: dict[str, Any] = {
    "stage": "ResponseComplete",
    "code": 200,
    "verb": "patch",
    "user": "alice",
    "api_group": "apps",
    "resource": "deployments",
    "namespace": "shop",
    "name": "web",
    "level": "Metadata",
}


def numbered(*events: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"audit_id": f"id-{i}"} | event for i, event in enumerate(events)]


def body(number: int, which: str, replicas: int | None, **changed: Any) -> dict[str, Any]:
    told = {key: PATCH[key] for key in ("verb", "code", "resource", "namespace", "name")}
    return told | {"number": number, "time": number - 1, "body": which, "replicas": replicas} | changed


def ledger(*events: dict[str, Any], bodies: tuple[dict[str, Any], ...] = ()) -> list[dict[str, Any]]:
    given = {AUDIT_EVENTS: rows(AUDIT_EVENTS, *numbered(*events)), AUDIT_OBJECTS: rows(AUDIT_OBJECTS, *bodies)}
    return frames_for([CHANGE_LEDGER], given)[CHANGE_LEDGER].collect().rows(named=True)


def test_a_write_tells_who_when_what_and_with_which_tool() -> None:
    uri = "/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=kubectl-rollout&fieldValidation=Strict"
    [row] = ledger(PATCH | {"uri": uri, "agent": "kubectl", "impersonated_user": "root"})
    assert (row["actor"], row["acting_as"], row["agent"], row["field_manager"]) == (
        "alice",
        "root",
        "kubectl",
        "kubectl-rollout",
    )
    assert (row["area"], row["resource"], row["namespace"], row["name"]) == ("workload", "deployments", "shop", "web")
    assert (row["level"], row["what"], row["writes"], row["routine"]) == ("Metadata", "restarted", 1, False)


@pytest.mark.parametrize(("area", "resource"), [(area, name) for area, names in AREAS.items() for name in names])
def test_every_resource_has_its_area(area: str, resource: str) -> None:
    assert [row["area"] for row in ledger(PATCH | {"resource": resource})] == [area]


@pytest.mark.parametrize("resource", ["secrets", "leases", "events", "endpoints", "endpointslices", "tokenreviews"])
def test_secrets_and_what_is_written_all_day_are_left_out(resource: str) -> None:
    assert ledger(PATCH | {"resource": resource}) == []


@pytest.mark.parametrize(
    "noise",
    [
        {"subresource": "status"},
        {"subresource": "token", "resource": "serviceaccounts"},
        {"subresource": "binding", "resource": "pods"},
        {"verb": "get"},
        {"code": 403},
        {"code": 409},
        {"code": None},
        {"stage": "RequestReceived", "code": None},
        {"uri": "/apis/apps/v1/namespaces/shop/deployments/web?dryRun=All&fieldManager=kubectl"},
        {"controller": "leader-election", "resource": "configmaps"},
    ],
)
def test_status_refusals_dry_runs_and_locks_are_no_changes(noise: dict[str, Any]) -> None:
    assert ledger(PATCH | noise) == []


def test_the_control_plane_is_told_apart() -> None:
    users = (
        "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
        "system:node:a",
        "system:kube-scheduler",
        "bob",
    )
    assert [row["routine"] for row in ledger(*[PATCH | {"user": user} for user in users])] == [True, True, True, False]


def test_replicas_before_are_those_of_the_last_body() -> None:
    first, second = ledger(
        PATCH,
        PATCH,
        bodies=(body(1, "response", 3), body(2, "request", None, selector="a=b"), body(2, "response", 1)),
    )
    assert (first["replicas_before"], first["replicas_after"], first["what"]) == (None, 3, "changed")
    assert (second["replicas_before"], second["replicas_asked"], second["replicas_after"]) == (3, None, 1)
    assert (second["what"], second["selector"]) == ("scaled 3 to 1", "a=b")


def test_a_refused_body_is_not_what_was_before() -> None:
    _, second = ledger(
        PATCH, PATCH, bodies=(body(1, "response", 3), body(1, "request", 9, code=409, time=0.5), body(2, "response", 3))
    )
    assert (second["replicas_before"], second["what"]) == (3, "changed")


def test_a_namesake_in_another_namespace_does_not_count() -> None:
    _, second = ledger(
        PATCH | {"namespace": "pay"}, PATCH, bodies=(body(1, "response", 3, namespace="pay"), body(2, "response", 1))
    )
    assert second["replicas_before"] is None


@pytest.mark.parametrize(
    ("event", "replicas", "what"),
    [
        ({"subresource": "scale"}, None, "scaled"),
        ({"subresource": "scale"}, 4, "scaled to 4"),
        ({"verb": "create"}, 4, "created with 4 replicas"),
        ({"verb": "create"}, None, "created"),
        ({"verb": "delete"}, None, "deleted"),
        ({"verb": "deletecollection", "name": None}, None, "deleted a collection"),
        ({"verb": "create", "resource": "pods", "subresource": "eviction"}, None, "evicted"),
        ({"verb": "update", "resource": "configmaps"}, None, "changed"),
    ],
)
def test_what_changed_as_far_as_the_log_tells(event: dict[str, Any], replicas: int | None, what: str) -> None:
    told = () if replicas is None else (body(1, "request", replicas, verb=event.get("verb", "patch")),)
    assert [row["what"] for row in ledger(PATCH | event, bodies=told)] == [what]


def test_a_generated_name_is_taken_from_the_answer() -> None:
    created = PATCH | {"verb": "create", "name": None, "resource": "pods"}
    [row] = ledger(created, bodies=(body(1, "response", None, verb="create", name="web-x2lkq", resource="pods"),))
    assert row["name"] == "web-x2lkq"


def test_a_loop_is_told_by_its_writes() -> None:
    rows_ = ledger(*[PATCH] * 7, PATCH | {"user": "bob"})
    assert [row["writes"] for row in rows_] == [7] * 7 + [1]


def test_copies_of_an_event_and_its_earlier_stage_count_once() -> None:
    events = [
        PATCH | {"audit_id": "a", "time": 0, "source": source, "stage": stage}
        for source in ("audit.log", "audit-1.log")
        for stage in ("RequestReceived", "ResponseComplete")
    ]
    assert len(ledger(*events)) == 1


def test_changes_are_those_of_the_ledger_that_nobody_makes_all_day() -> None:
    events = (
        PATCH,
        PATCH | {"user": "system:serviceaccount:kube-system:deployment-controller"},
        PATCH | {"resource": "pods", "verb": "delete"},
        PATCH | {"subresource": "scale"},
    )
    frame = frames_for([CHANGES], {AUDIT_EVENTS: rows(AUDIT_EVENTS, *numbered(*events))})[CHANGES]
    assert frame.select("number", "resource").collect().rows() == [(1, "deployments"), (4, "deployments/scale")]


def test_no_rows_give_none() -> None:
    assert ledger() == []


def detailed(*events: dict[str, Any], fields: tuple[dict[str, Any], ...]) -> list[str | None]:
    """The details of each event's change; `fields` name the number of their event."""
    same = {key: PATCH[key] for key in ("verb", "code", "resource", "namespace", "name")}
    told = [same | {"time": one["number"] - 1, "body": "request", "whole": False} | one for one in fields]
    given = {AUDIT_EVENTS: rows(AUDIT_EVENTS, *numbered(*events)), AUDIT_FIELDS: rows(AUDIT_FIELDS, *told)}
    found = frames_for([CHANGE_LEDGER, CHANGES], given)
    changes = found[CHANGES].collect()["details"].to_list()
    assert changes == found[CHANGE_LEDGER].collect()["details"].to_list()
    return changes


IMAGE = {"field": "image of web", "whole": True, "body": "response"}


def test_a_field_is_told_from_what_it_was_to_what_it_is() -> None:
    first, second = IMAGE | {"number": 1, "value": "web:1"}, IMAGE | {"number": 2, "value": "web:2"}
    assert detailed(PATCH, PATCH, fields=(first, second)) == [None, "image of web from web:1 to web:2"]
    assert detailed(PATCH, PATCH, fields=(first, second | {"value": "web:1"})) == [None, None]
    refused = second | {"code": 409, "value": "web:9"}
    assert detailed(PATCH, PATCH | {"code": 409}, PATCH, fields=(first, refused, second | {"number": 3})) == [
        None,
        "image of web from web:1 to web:2",
    ]
    elsewhere = first | {"namespace": "pay"}
    assert detailed(PATCH | {"namespace": "pay"}, PATCH, fields=(elsewhere, second)) == [None, None]


def test_where_nothing_was_known_a_patch_and_a_creation_tell_what_they_name_and_an_update_does_not() -> None:
    one = {"number": 1, "field": "image of web", "value": "web:2"}
    assert detailed(PATCH, fields=(one,)) == ["image of web to web:2"]
    new = one | {"verb": "create", "whole": True}
    zero = new | {"field": "requests.cpu", "value": "0"}
    assert detailed(PATCH | {"verb": "create"}, fields=(new, zero)) == ["image of web web:2"]
    assert detailed(PATCH | {"verb": "update"}, fields=(one | {"verb": "update", "whole": True},)) == [None]


def test_a_cordon_is_told_and_a_node_that_is_written_without_one_is_not() -> None:
    node = {"resource": "nodes", "namespace": None, "name": "a"}
    cordon = {"number": 1, "field": "spec.unschedulable", "value": "true", **node}
    assert detailed(PATCH | node, fields=(cordon,)) == ["spec.unschedulable to true"]
    undone = cordon | {"number": 2, "value": "false"}
    assert detailed(PATCH | node, PATCH | node, fields=(cordon, undone)) == [
        "spec.unschedulable to true",
        "spec.unschedulable from true to false",
    ]
    whole = cordon | {"verb": "update", "whole": True}
    assert detailed(PATCH | node | {"verb": "update"}, fields=(whole,)) == ["spec.unschedulable to true"]
    assert detailed(PATCH | node | {"verb": "update"}, fields=(whole | {"value": "false"},)) == [None]


def test_keys_of_a_config_map_are_named_whenever_it_is_written() -> None:
    config = {"resource": "configmaps", "name": "coredns"}
    keys = {"number": 1, "field": "keys", "value": "Corefile", "verb": "update", "whole": True, **config}
    added = keys | {"number": 2, "value": "Corefile, NodeHosts"}
    update = PATCH | config | {"verb": "update"}
    assert detailed(update, update, fields=(keys, added)) == [
        "keys Corefile",
        "keys from Corefile to Corefile, NodeHosts",
    ]


def test_many_fields_are_counted() -> None:
    many = [{"number": 1, "field": f"image of c{i}", "value": f"i:{i}"} for i in range(8)]
    [text] = detailed(PATCH, fields=tuple(many))
    assert text is not None
    assert text.startswith("image of c0 to i:0; image of c1 to i:1; ")
    assert text.endswith("; image of c5 to i:5 and 2 more")
