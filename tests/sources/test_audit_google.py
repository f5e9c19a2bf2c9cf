"""Entries of Google Cloud Logging, as JSON and as the YAML that `gcloud logging read` prints."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import yaml

from analyzer.errors import InputError
from analyzer.sources.audit import SOURCE
from analyzer.sources.audit.requestinfo import request_info
from tests.sources.audit_log import event, read

AUDIT_LOG = "type.googleapis.com/google.cloud.audit.AuditLog"


def entry(number: int = 0, **changed: Any) -> dict[str, Any]:
    """A LogEntry as GKE writes it; what is changed is part of the AuditLog, None leaves it out."""
    name = f"core/v1/namespaces/shop/pods/p{number}"
    log: dict[str, Any] = {
        "@type": AUDIT_LOG,
        "authenticationInfo": {"principalEmail": "alice@example.com"},
        "authorizationInfo": [{"granted": True, "permission": "io.k8s.core.v1.pods.get", "resource": name}],
        "methodName": "io.k8s.core.v1.pods.get",
        "requestMetadata": {"callerIp": "192.0.2.7", "callerSuppliedUserAgent": "kubectl/v1.30.0 (linux/amd64)"},
        "resourceName": name,
        "serviceName": "k8s.io",
        "status": {"code": 0},
    }
    return {
        "insertId": f"insert-{number}",
        "labels": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
        "logName": "projects/p/logs/cloudaudit.googleapis.com%2Factivity",
        "operation": {"first": True, "id": f"id-{number}", "last": True, "producer": "k8s.io"},
        "protoPayload": {key: value for key, value in (log | changed).items() if value is not None},
        "receiveTimestamp": "2030-01-01T00:00:00Z",
        "resource": {"labels": {"cluster_name": "c"}, "type": "k8s_cluster"},
        "timestamp": f"2026-01-01T00:00:{number:02d}.5Z",
    }


def one(**changed: Any) -> dict[str, Any]:
    [row] = read(json.dumps(entry(**changed)).encode() + b"\n")[0].rows(named=True)
    return row


def as_yaml(value: object) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False)
    return text.rstrip("\n")


def test_an_entry_becomes_an_event() -> None:
    row = one()
    assert str(row.pop("time")) == "2026-01-01 00:00:00.500000+00:00"
    wanted = {
        "audit_id": "id-0",
        "stage": "ResponseComplete",
        "verb": "get",
        "uri": "/api/v1/namespaces/shop/pods/p0",
        "user": "alice@example.com",
        "user_agent": "kubectl/v1.30.0 (linux/amd64)",
        "source_ip": "192.0.2.7",
        "api_group": "",
        "resource": "pods",
        "namespace": "shop",
        "name": "p0",
        "code": 200,
        "decision": "allow",
        "message": None,
        "stage_time": None,
    }
    assert {name: row[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("method", "resource", "wanted"),
    [
        ("core.v1.pods.status.patch", "core/v1/namespaces/a/pods/b/status", ["patch", "", "pods", "status", "a", "b"]),
        ("core.v1.nodes.list", "core/v1/nodes", ["list", "", "nodes", None, None, None]),
        ("core.v1.namespaces.delete", "core/v1/namespaces/a", ["delete", "", "namespaces", None, "a", "a"]),
        (
            "apps.v1.deployments.get",
            "apps/v1/namespaces/a/deployments/b",
            ["get", "apps", "deployments", None, "a", "b"],
        ),
        (
            "authorization.rbac.v1.clusterroles.update",
            "rbac.authorization.k8s.io/v1/clusterroles/admin",
            ["update", "rbac.authorization.k8s.io", "clusterroles", None, None, "admin"],
        ),
        ("x.v1.certs.watch", "x.io/v1/certs", ["watch", "x.io", "certs", None, None, None]),
        ("get", "healthz", ["get", None, None, None, None, None]),
    ],
)
def test_names_of_methods_and_resources(method: str, resource: str, wanted: list[str | None]) -> None:
    row = one(methodName=f"io.k8s.{method}", resourceName=resource)
    assert [row[name] for name in ("verb", "api_group", "resource", "subresource", "namespace", "name")] == wanted


@pytest.mark.parametrize(("grpc", "http"), [(1, 499), (5, 404), (7, 403), (8, 429), (14, 503), (16, 401), (99, None)])
def test_grpc_codes_are_translated_and_marked(grpc: int, http: int | None) -> None:
    row = one(status={"code": grpc, "message": "told"})
    assert row["code"] == http
    assert row["message"] == (None if http is None else row["message"])
    assert http is None or (row["message"].startswith(f"gRPC {grpc} ") and row["message"].endswith("told"))
    _, ledger = read(json.dumps(entry(status={"code": grpc})).encode() + b"\n")
    assert any("translated from a gRPC code" in note for note in ledger.notes)


def test_the_servers_own_status_comes_first() -> None:
    answer = {"@type": "core.k8s.io/v1.Status", "kind": "Status", "code": 409, "reason": "Conflict", "message": "no"}
    row = one(status={"code": 10, "message": "ABORTED"}, response=answer)
    assert (row["code"], row["reason"], row["message"]) == (409, "Conflict", "no")


def test_unknown_of_a_stream_is_no_server_error() -> None:
    name = "core/v1/namespaces/shop/pods/p0/exec/p0"
    row = one(status={"code": 2}, methodName="io.k8s.core.v1.pods.exec.create", resourceName=name)
    assert (row["subresource"], row["verb"], row["code"]) == ("exec", "create", None)
    assert one(status={"code": 2})["code"] == 500


def test_an_entry_without_a_status_has_no_code_and_one_that_goes_on_is_a_beginning() -> None:
    assert one(status=None)["code"] is None
    assert one(status={})["code"] == 200
    first = entry()
    first["operation"] = {"first": True, "id": "id-0", "producer": "k8s.io"}
    assert read(json.dumps(first).encode() + b"\n")[0]["stage"].to_list() == ["ResponseStarted"]


def go_entry(number: int) -> dict[str, Any]:
    """What Go's client library prints: the entry with Go's names, and the payload as text beside it."""
    told = entry(number)
    renamed = {"Timestamp": "timestamp", "InsertID": "insertId", "Labels": "labels", "Operation": "operation"}
    return {
        "Entry": {name: told[key] for name, key in renamed.items()} | {"Payload": {"service_name": "k8s.io"}},
        "AuditPayload": json.dumps(told["protoPayload"]),
    }


@pytest.mark.parametrize(
    "data",
    [
        json.dumps([entry(i) for i in range(3)], indent=2),
        json.dumps([entry(i) for i in range(3)]),
        "".join(json.dumps(entry(i)) + "\n" for i in range(3)),
        json.dumps({"entries": [entry(i) for i in range(3)], "nextPageToken": "x"}, indent=2),
        "".join(json.dumps({"Entry": entry(i)}) + "\n" for i in range(3)),
        "".join(json.dumps(go_entry(i)) + "\n" for i in range(3)),
        "".join("---\n" + as_yaml(entry(i)) + "\n" for i in range(3)),
        "# kept\n" + as_yaml([entry(i) for i in range(3)]) + "\n",
    ],
    ids=["array", "array in a line", "lines", "entries.list", "Entry", "Go", "YAML", "YAML list"],
)
def test_every_form_of_entries_is_read_and_quoted(data: str) -> None:
    match = SOURCE.identify(data.encode())
    assert match is not None
    assert "Google Cloud Logging" in match.reason
    table, ledger = read(data.encode())
    assert table["audit_id"].to_list() == ["id-0", "id-1", "id-2"]
    assert table["code"].to_list() == [200, 200, 200]
    assert ledger.skipped == 0
    quoted = SOURCE.quote(io.BytesIO(data.encode()), frozenset(table["number"].to_list()))
    for number, name in table.select("number", "name").rows():
        assert f"/{name}" in quoted[number]


def test_other_apis_of_google_cloud_are_counted() -> None:
    other = entry(
        9, serviceName="container.googleapis.com", methodName="google.container.v1.ClusterManager.CreateCluster"
    )
    _, ledger = read(json.dumps([entry(0), other], indent=1).encode())
    assert (ledger.used, ledger.skipped) == (1, 1)
    assert SOURCE.identify(json.dumps(other, indent=1).encode()) is None
    with pytest.raises(InputError, match="Google Cloud"):
        read(json.dumps(other).encode())


def test_bodies_and_messages_about_secrets_are_not_quoted() -> None:
    told = entry(
        resourceName="core/v1/namespaces/shop/secrets/s",
        status={"code": 3, "message": "hunter1"},
        request={"data": {"password": "hunter2"}},
        response={"data": {"password": "hunter3"}},
    )
    told["labels"]["patch.webhook.admission.k8s.io/round_0_index_0"] = "hunter4"
    for data in (json.dumps(told).encode() + b"\n", b"---\n" + as_yaml(told).encode() + b"\n"):
        table, _ = read(data)
        [quoted] = SOURCE.quote(io.BytesIO(data), frozenset(table["number"].to_list())).values()
        assert "shop/secrets/s" in quoted
        assert "hunter" not in quoted + str(table.rows())


# --- YAML ---


def test_events_as_yaml_documents() -> None:
    data = "---\n".join(as_yaml(event(i)) + "\n" for i in range(3))
    table, ledger = read(data.encode())
    assert table["audit_id"].to_list() == ["id-0", "id-1", "id-2"]
    height = len(as_yaml(event(0)).splitlines()) + 1
    assert table["number"].to_list() == [1, 1 + height, 1 + 2 * height]
    assert ledger.records == 3


@pytest.mark.parametrize(
    "bad",
    [
        "a: &x [1, 2]\nb: *x",
        "a: !!python/object/apply:os.system [true]",
        "a: [1, 2",
        "a: b: c",
        "? [1, 2]\n: 3",
        "[" * 100_000,
        "- " * 100_000,
        "a: '" + "x" * (5 << 20) + "'",
        "a: \x01",
        "just words",
    ],
    ids=lambda text: text[:12],
)
def test_a_bad_document_costs_itself(bad: str) -> None:
    data = f"---\n{as_yaml(entry(0))}\n---\n{bad}\n---\n{as_yaml(entry(2))}\n"
    table, ledger = read(data.encode())
    assert table["audit_id"].to_list() == ["id-0", "id-2"]
    assert ledger.skipped == 1


def test_aliases_do_not_multiply() -> None:
    levels = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9) if i else 'x'}]" for i in range(12))
    _, ledger = read(f"{as_yaml(entry(0))}\n---\n{levels}\nprotoPayload: *l11\n---\n".encode())
    reasons = ledger.report(path="", kind="", sha256="", size=0).skipped_reasons
    assert [reason.reason for reason in reasons] == ["YAML with anchors, aliases or tags"]


def test_what_looks_like_an_alias_inside_a_text_is_none() -> None:
    told = entry(0, requestMetadata={"callerSuppliedUserAgent": "a &b *c !d"})
    table, _ = read(f"---\n{as_yaml(told)}\n".encode())
    assert table["user_agent"].to_list() == ["a &b *c !d"]


def test_a_cut_document_is_the_tail() -> None:
    data = "".join("---\n" + as_yaml(entry(i)) + "\n" for i in range(3))
    _, ledger = read(data[: data.rindex("k8s_cluster") - 60].encode() + b'\n  "')
    assert (ledger.used, ledger.incomplete_tail) == (2, 1)


# --- method and path ---


@pytest.mark.parametrize(
    ("method", "uri", "verb", "ref"),
    [
        ("GET", "/api/v1/namespaces/a/pods", "list", "pods"),
        ("GET", "/api/v1/namespaces/a/pods?watch=true&resourceVersion=1", "watch", "pods"),
        ("GET", "/api/v1/watch/namespaces/a/pods", "watch", "pods"),
        ("GET", "/api/v1/namespaces/a/pods/b/log?follow=true", "get", "pods/b/log"),
        ("POST", "/api/v1/namespaces", "create", "namespaces"),
        ("PUT", "/api/v1/namespaces/a/finalize", "update", "namespaces/a/finalize"),
        ("DELETE", "/apis/apps/v1/namespaces/a/deployments", "deletecollection", "deployments"),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/b/scale", "patch", "deployments/b/scale"),
        ("GET", "/api/v1/proxy/namespaces/a/pods/b/x/y", "proxy", "pods/b"),
        ("HEAD", "/healthz", "head", None),
        ("GET", "/apis/apps/v1", "get", None),
        ("GET", "/api/v1", "get", None),
        ("GET", "", "get", None),
    ],
)
def test_a_request_is_taken_apart_as_the_server_does(method: str, uri: str, verb: str, ref: str | None) -> None:
    info = request_info(method, uri)
    assert info.verb == verb
    told = info.object_ref()
    parts = None if told is None else [told[name] for name in ("resource", "name", "subresource") if name in told]
    assert (None if parts is None else "/".join(parts)) == ref


def test_lists_in_a_mapping_may_stand_at_the_margin() -> None:
    assert "\n- 192.0.2.7" in as_yaml(event(0))
    assert read(f"---\n{as_yaml(event(0))}\n---\n{as_yaml(event(1))}\n".encode())[0].height == 2


def test_what_creates_is_asked_of_the_collection() -> None:
    row = one(methodName="io.k8s.core.v1.pods.create")
    assert (row["uri"], row["name"]) == ("/api/v1/namespaces/shop/pods", "p0")
    row = one(methodName="io.k8s.core.v1.pods.binding.create", resourceName="core/v1/namespaces/shop/pods/p0/binding")
    assert row["uri"] == "/api/v1/namespaces/shop/pods/p0/binding"
