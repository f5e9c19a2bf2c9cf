"""The few fields of bodies that are read, in every form in which they come, and nothing else of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from analyzer.frames import AUDIT_OBJECTS
from analyzer.sources.audit import decode
from analyzer.sources.audit.objects import read_body
from tests.sources.audit_log import line, lines, rows_of

STATUS = {"podIP": "10.244.1.7", "hostIP": "10.0.0.1", "phase": "Running", "startTime": "2026-01-01T00:00:00Z"}
POD: dict[str, Any] = {
    "kind": "Pod",
    "metadata": {
        "name": "web-1",
        "uid": "7d0c5d2e-0000-4000-8000-000000000001",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "s3cret"},
        "managedFields": [{"manager": "s3cret"}],
        "ownerReferences": [
            {"kind": "Other", "name": "first"},
            {"kind": "ReplicaSet", "name": "web-abc", "controller": True},
        ],
    },
    "spec": {"nodeName": "node-1", "containers": [{"env": [{"name": "PASSWORD", "value": "s3cret"}]}]},
    "status": STATUS | {"message": "s3cret"},
}


def objects(resource: str = "pods", subresource: str | None = None, **changed: Any) -> list[dict[str, Any]]:
    ref = {"resource": resource, "namespace": "shop", "name": "web-1", "subresource": subresource}
    fields: dict[str, Any] = {"level": "RequestResponse", "objectRef": ref, "verb": "patch", **changed}
    return rows_of(AUDIT_OBJECTS, lines(5) + line(**fields) + b"\n")


@pytest.fixture(params=[0, decode.LONG], ids=["bodies are cut first", "bodies are decoded over"], autouse=True)
def cutting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies that were cut out of a line must be found again."""
    monkeypatch.setattr(decode, "LONG", request.param)


def test_a_pod_tells_where_it_runs_and_whose_it_is() -> None:
    [row] = objects(responseObject=POD)
    wanted = {
        "number": 2,
        "audit_id": "id-0",
        "body": "response",
        "code": 200,
        "namespace": "shop",
        "name": "web-1",
        "uid": "7d0c5d2e-0000-4000-8000-000000000001",
        "pod_ip": "10.244.1.7",
        "host_ip": "10.0.0.1",
        "phase": "Running",
        "start_time": datetime(2026, 1, 1, tzinfo=UTC),
        "node_name": "node-1",
        "owner_kind": "ReplicaSet",
        "owner_name": "web-abc",
    }
    assert {name: row[name] for name in wanted} == wanted
    assert "s3cret" not in str(row)


@pytest.mark.parametrize(
    "patch",
    [
        {"metadata": {"uid": "7d0c5d2e"}, "status": STATUS | {"$setElementOrder/conditions": [{"type": "Ready"}]}},
        [{"op": "replace", "path": "/status", "value": STATUS}],
        [
            {"op": "test", "path": "/status/podIP", "value": "10.244.9.9"},
            {"op": "add", "path": "/status/podIP", "value": "10.244.1.7"},
            {"op": "replace", "path": "/status/phase", "value": "Running"},
            {"op": "remove", "path": "/status/hostIP"},
        ],
    ],
    ids=["strategic merge", "JSON patch of the part", "JSON patch of its fields"],
)
def test_a_status_patch_in_any_form_tells_the_address(patch: object) -> None:
    [row] = objects("pods", "status", requestObject=patch)
    assert (row["body"], row["pod_ip"], row["phase"]) == ("request", "10.244.1.7", "Running")


def test_both_bodies_of_an_event_are_rows_and_stay_with_it() -> None:
    rows = objects("pods", "status", requestObject={"status": {"podIP": "10.244.1.7"}}, responseObject=POD)
    assert [(row["body"], row["host_ip"]) for row in rows] == [("request", None), ("response", "10.0.0.1")]


def test_a_binding_names_the_node() -> None:
    [row] = objects("pods", "binding", verb="create", requestObject={"target": {"kind": "Node", "name": "node-2"}})
    assert row["node_name"] == "node-2"


def test_a_name_that_the_server_made_comes_from_the_answer() -> None:
    ref = {"resource": "pods", "namespace": "shop"}
    [row] = objects(verb="create", objectRef=ref, responseObject=POD)
    assert row["name"] == "web-1"


@pytest.mark.parametrize(
    ("resource", "spec", "replicas", "selector"),
    [
        ("services", {"selector": {"tier": "front", "app": "web"}}, None, "app=web,tier=front"),
        ("deployments", {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}}, 3, "app=web"),
        ("deployments", {"replicas": None, "selector": {"matchLabels": {"app": ""}}}, None, "app="),
        ("statefulsets", {"replicas": 0}, 0, None),
    ],
)
def test_replicas_and_selectors(
    resource: str, spec: dict[str, Any], replicas: int | None, selector: str | None
) -> None:
    [row] = objects(resource, requestObject={"spec": spec})
    assert (row["replicas"], row["selector"]) == (replicas, selector)


def test_a_scale_tells_replicas() -> None:
    [row] = objects("deployments", "scale", verb="update", requestObject={"kind": "Scale", "spec": {"replicas": 9}})
    assert row["replicas"] == 9


def test_items_of_a_list_are_counted() -> None:
    [row] = objects(verb="list", responseObject={"kind": "PodList", "items": [POD, POD, POD]})
    assert (row["items"], row["pod_ip"]) == (3, None)
    [row] = objects("nodes", verb="list", responseObject={"items": []})
    assert row["items"] == 0


@pytest.mark.parametrize(
    ("resource", "subresource"),
    [
        ("secrets", None),
        ("configmaps", None),
        ("serviceaccounts", "token"),
        ("serviceaccounts", None),
        ("tokenreviews", None),
        ("selfsubjectreviews", None),
        ("pods", "exec"),
        ("widgets", None),
    ],
)
@pytest.mark.parametrize("verb", ["get", "list", "create"])
def test_bodies_that_may_hold_secrets_are_never_opened(resource: str, subresource: str | None, verb: str) -> None:
    body = POD | {"items": [POD]}
    assert objects(resource, subresource, verb=verb, requestObject=body, responseObject=body) == []


def test_what_was_refused_is_told_by_its_code_and_its_answer_is_not_read() -> None:
    refused = {"metadata": {}, "code": 409}
    [row] = objects(responseStatus=refused, requestObject=POD, responseObject=POD)
    assert (row["body"], row["code"]) == ("request", 409)


def test_options_of_a_delete_are_no_object() -> None:
    assert objects(verb="delete", requestObject=POD) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"7",
        b'"text"',
        b"[1]",
        b"[" * 5000,
        b'{"status":[]}',
        b'{"status":{"podIP":"s3cret"}}',
        b'{"status":{"phase":"s3cret","startTime":"s3cret"}}',
        b'{"spec":{"nodeName":"a b","replicas":-1,"selector":"s3cret"}}',
        b'{"spec":{"replicas":99999999999999999999}}',
        b'[{"op":"add","path":"/status","value":3}]',
        '{"spec":{"nodeName":"\xff"}}'.encode("latin-1"),
    ],
)
def test_a_strange_body_tells_nothing_and_breaks_nothing(body: bytes) -> None:
    assert read_body(body) == {}


def test_a_field_of_a_wrong_type_costs_its_part_only() -> None:
    told = read_body(json.dumps({"spec": {"nodeName": 7}, "status": {"podIP": "10.0.0.7"}}).encode())
    assert (told["pod_ip"], told["node_name"]) == ("10.0.0.7", None)
