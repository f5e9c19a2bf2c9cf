from __future__ import annotations

from typing import Any

import pytest

from analyzer.facts.change_ledger import AREAS, CHANGE_LEDGER
from analyzer.facts.changes import CHANGES
from analyzer.frames import AUDIT_EVENTS, AUDIT_OBJECTS
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
