"""Whose an address is, as bodies tell it, in the exact shapes of the API, and what a body without sense costs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from analyzer.frames import AUDIT_ADDRESSES
from analyzer.sources.audit import SOURCE, decode
from analyzer.sources.audit.addresses import MOST, claims_of
from tests.recordings import RECORDED, needed
from tests.recordings import read as recorded
from tests.sources.audit_log import line, lines, read, rows_of

UID = "7d0c5d2e-0000-4000-8000-000000000001"
KUBELET = {"user": {"username": "system:node:node-1", "groups": ["system:nodes"]}}
PATCH = {
    "metadata": {"uid": UID},
    "status": {
        "hostIP": "10.0.0.1",
        "podIP": "10.244.1.7",
        "podIPs": [{"ip": "10.244.1.7"}, {"ip": "fd00:0:0::7"}],
        "startTime": "2026-01-01T00:00:00Z",
        "message": "s3cret",
    },
}
SLICE = {
    "endpoints": [
        {
            "addresses": ["10.244.1.8"],
            "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-2", "uid": UID},
            "nodeName": "node-2",
        },
        {"addresses": ["203.0.113.9"]},
        {"addresses": ["10.0.0.9"], "targetRef": {"kind": "Node", "name": "node-9"}},
    ]
}
ENDPOINTS = {
    "subsets": [
        {
            "addresses": [{"ip": "10.244.1.8", "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-2"}}],
            "notReadyAddresses": [
                {"ip": "10.244.1.9", "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-3"}}
            ],
        }
    ]
}
NODE = {"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "a"}]}}


@pytest.fixture(params=[0, decode.LONG], ids=["bodies are cut first", "bodies are decoded over"], autouse=True)
def cutting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "LONG", request.param)


def told(resource: str, subresource: str | None = None, **changed: Any) -> list[tuple[Any, ...]]:
    ref = {"resource": resource, "namespace": "shop", "name": "web-1", "subresource": subresource}
    fields: dict[str, Any] = {"level": "RequestResponse", "objectRef": ref, "verb": "patch", **changed}
    rows = rows_of(AUDIT_ADDRESSES, lines(5) + line(**fields) + b"\n")
    return [tuple(row[name] for name in ("address", "kind", "namespace", "name", "node")) for row in rows]


def test_a_kubelets_patch_tells_the_pod_and_the_node() -> None:
    rows = [
        ("10.244.1.7", "pod", "shop", "web-1", "node-1"),
        ("fd00::7", "pod", "shop", "web-1", "node-1"),
        ("10.0.0.1", "node", None, "node-1", None),
    ]
    assert told("pods", "status", requestObject=PATCH, **KUBELET) == rows
    # The answer tells more, so that it is read instead of the request where both are logged.
    assert (
        told("pods", "status", requestObject={"status": {"podIP": "10.9.9.9"}}, responseObject=PATCH, **KUBELET) == rows
    )


def test_slices_endpoints_services_and_nodes() -> None:
    assert told("endpointslices", responseObject=SLICE) == [("10.244.1.8", "pod", "shop", "web-2", "node-2")]
    assert told("endpoints", responseObject=ENDPOINTS) == [
        ("10.244.1.8", "pod", "shop", "web-2", None),
        ("10.244.1.9", "pod", "shop", "web-3", None),
    ]
    service = {"spec": {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]}}
    assert told("services", responseObject=service) == [("10.96.0.9", "service", "shop", "web-1", None)]
    assert told("services", responseObject={"spec": {"clusterIP": "None"}}) == []
    assert told("nodes", responseObject=NODE) == [("10.0.0.1", "node", None, "web-1", None)]


def test_an_endpoint_tells_whether_it_is_served() -> None:
    def ready(resource: str, body: dict[str, Any]) -> list[bool | None]:
        return [claim.get("ready") for claim in claims_of(resource, json.dumps(body).encode(), None)]

    ending = {"ready": False, "serving": True, "terminating": True}
    endpoints: Any = SLICE["endpoints"]
    for conditions, said in ((ending, False), ({"ready": True}, True), ({}, True), (None, True)):
        assert ready("endpointslices", {"endpoints": [endpoints[0] | {"conditions": conditions}]}) == [said]
    assert ready("endpoints", ENDPOINTS) == [True, False]
    assert ready("pods", PATCH) == [None, None]


@pytest.mark.parametrize(
    "changed",
    [
        {"verb": "list", "responseObject": {"items": [PATCH]}},
        {"responseStatus": {"metadata": {}, "code": 409}, "requestObject": PATCH},
        {"responseObject": {"status": {"podIP": "127.0.0.1"}}},
        {"responseObject": {"status": {"podIP": "10.244.1.999"}}},
        {"responseObject": {"status": "podIP"}},
    ],
    ids=["a list", "a refused request", "a loopback address", "no address", "a wrong type"],
)
def test_nobody_is_told_by(changed: dict[str, Any]) -> None:
    assert told("pods", **changed) == []


def test_what_may_hold_a_secret_is_not_opened_and_damage_costs_one_body_only() -> None:
    assert told("secrets", responseObject=PATCH) == []
    assert claims_of("pods", b'{"status":{"podIP":"10.244.1.7"', None) == []
    assert claims_of("pods", b'{"status":{"podIP":' + b"[" * 100_000, None) == []
    many = {"endpoints": SLICE["endpoints"][:1] * (MOST + 5)}
    assert len(claims_of("endpointslices", json.dumps(many).encode(), None)) == MOST
    table, ledger = read(line(responseObject={"status": "podIP"}) + b"\n" + line(1) + b"\n")
    assert (table.height, ledger.skipped) == (2, 0)


def test_no_word_of_a_body_beyond_its_columns_is_kept() -> None:
    ref = {"resource": "pods", "namespace": "shop", "name": "web-1"}
    rows = rows_of(AUDIT_ADDRESSES, line(level="Request", verb="patch", objectRef=ref, requestObject=PATCH) + b"\n")
    assert rows
    assert "s3cret" not in repr(rows)


@needed
@pytest.mark.parametrize("name", ["e_webhook_latest/audit.log", "j0_evictions_instant/audit.log"])
def test_as_many_pods_as_a_plain_count_finds(name: str) -> None:
    """Every answer about one pod that has an address, counted by json alone."""
    wanted = set()
    for number, text in enumerate((RECORDED / name).read_text().splitlines(), 1):
        event = json.loads(text)
        ref, body = event.get("objectRef", {}), event.get("responseObject") or event.get("requestObject") or {}
        mine = ref.get("resource") == "pods" and ref.get("subresource") in (None, "status") and event["verb"] != "list"
        code = event.get("responseStatus", {}).get("code", 0)
        if mine and 200 <= code < 300 and (body.get("status") or {}).get("podIP"):
            wanted.add((number, body["status"]["podIP"]))
    told = recorded(SOURCE, name)[AUDIT_ADDRESSES].collect()
    pods = told.filter((told["resource"] == "pods") & (told["kind"] == "pod"))
    assert {(row["number"], row["address"]) for row in pods.iter_rows(named=True)} == wanted
    assert wanted
