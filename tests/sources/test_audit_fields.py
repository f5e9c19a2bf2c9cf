"""The named fields that a write puts into an object, in every form in which they come, and never a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from analyzer.frames import AUDIT_FIELDS
from analyzer.sources.audit import decode
from analyzer.sources.audit.fields import read_fields
from analyzer.sources.audit.quantities import amount
from tests.sources.audit_log import line, lines, rows_of

AGENT: dict[str, Any] = {
    "initContainers": [{"name": "setup", "image": "setup:1", "resources": {"requests": {"cpu": "2"}}}],
    "containers": [
        {
            "name": "agent",
            "image": "registry.example.com:5000/agent:1.2",
            "env": [{"name": "PASSWORD", "value": "s3cret"}],
            "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "nvidia.com/gpu": "1"}},
        },
        {"name": "log", "image": "log@sha256:" + "a" * 64, "resources": {"requests": {"cpu": "250m"}}},
    ],
    "priorityClassName": "system-node-critical",
}
TOLD = {
    "image of setup": "setup:1",
    "image of agent": "registry.example.com:5000/agent:1.2",
    "image of log": "log@sha256:" + "a" * 64,
    "priorityClassName": "system-node-critical",
    "requests.cpu": "2",
    "requests.memory": "1073741824",
    "requests.nvidia.com/gpu": "1",
}
TEMPLATE = {"metadata": {"annotations": {"token": "s3cret"}}, "spec": AGENT}

WEBHOOK = {
    "name": "image-policy.example.com",
    "clientConfig": {"caBundle": "s3cret", "url": "https://user:s3cret@hooks"},
    "failurePolicy": "Fail",
    "rules": [{"apiGroups": ["", "apps"], "operations": ["CREATE", "UPDATE"], "resources": ["pods", "*/*"]}],
    "namespaceSelector": {
        "matchLabels": {"env": "prod"},
        "matchExpressions": [{"key": "name", "operator": "NotIn", "values": ["kube-system"]}],
    },
}


def fields(resource: str, verb: str = "create", subresource: str | None = None, **changed: Any) -> dict[str, str]:
    """The fields that one event tells, the answer's before those of the request."""
    ref = {"resource": resource, "namespace": "shop", "name": "web", "subresource": subresource}
    told = {"level": "RequestResponse", "objectRef": ref, "verb": verb, **changed}
    found = rows_of(AUDIT_FIELDS, lines(5) + line(**told) + b"\n")
    assert "s3cret" not in str(found)
    return {row["field"]: row["value"] for row in found}


@pytest.fixture(params=[0, decode.LONG], ids=["bodies are cut first", "bodies are decoded over"], autouse=True)
def cutting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "LONG", request.param)


@pytest.mark.parametrize(
    ("resource", "spec"),
    [
        ("pods", AGENT),
        ("daemonsets", {"template": TEMPLATE}),
        ("deployments", {"replicas": 3, "template": TEMPLATE}),
        ("jobs", {"template": TEMPLATE}),
        ("cronjobs", {"jobTemplate": {"spec": {"template": TEMPLATE}}}),
    ],
)
def test_a_pod_and_every_template_tell_images_requests_and_priority(resource: str, spec: dict[str, Any]) -> None:
    """Of requests the largest init container or the sum of the others; a limit stands in for what is absent."""
    assert fields(resource, requestObject={"metadata": {"name": "web"}, "spec": spec}) == TOLD


def test_what_asks_for_nothing_says_so_but_a_patch_of_one_container_does_not_tell_the_sum() -> None:
    empty = {"spec": {"template": {"spec": {"containers": [{"name": "agent", "image": "a:1"}]}}}}
    nothing = {"image of agent": "a:1", "requests.cpu": "0", "requests.memory": "0"}
    assert fields("daemonsets", requestObject=empty) == nothing
    assert fields("daemonsets", "patch", requestObject=empty) == {"image of agent": "a:1"}
    assert fields("daemonsets", "patch", requestObject=empty, responseObject=empty) == nothing


@pytest.mark.parametrize(
    ("resource", "verb", "body", "told"),
    [
        ("nodes", "patch", {"spec": {"unschedulable": True}}, {"spec.unschedulable": "true"}),
        ("nodes", "patch", {"spec": {"unschedulable": None}}, {"spec.unschedulable": "false"}),
        ("nodes", "patch", {"metadata": {"labels": {"a": "b"}}}, {}),
        ("nodes", "update", {"spec": {"podCIDR": "10.0.0.0/24"}}, {"spec.unschedulable": "false"}),
        (
            "nodes",
            "patch",
            [{"op": "add", "path": "/spec/unschedulable", "value": True}],
            {"spec.unschedulable": "true"},
        ),
        ("nodes", "patch", [{"op": "remove", "path": "/spec/unschedulable"}], {"spec.unschedulable": "false"}),
        (
            "services",
            "update",
            {"spec": {"type": "LoadBalancer", "ports": [{"port": 443, "nodePort": 30443}, {"port": 0}]}},
            {"type": "LoadBalancer", "ports": "443:30443/TCP"},
        ),
        (
            "services",
            "update",
            {"spec": {"type": "s3cret", "ports": [{"port": 53, "protocol": "UDP"}]}},
            {"ports": "53/UDP"},
        ),
        (
            "clusterrolebindings",
            "create",
            {"roleRef": {"kind": "ClusterRole", "name": "system:node"}, "subjects": [{"name": "s3cret"}]},
            {"roleRef": "ClusterRole system:node"},
        ),
        (
            "validatingwebhookconfigurations",
            "create",
            {"webhooks": [WEBHOOK, {"name": "b.example.com", "namespaceSelector": {}, "rules": []}]},
            {
                "failurePolicy of image-policy.example.com": "Fail",
                "rules of image-policy.example.com": "CREATE,UPDATE pods,*/* of apps",
                "namespaceSelector of image-policy.example.com": "env=prod, name NotIn (kube-system)",
                "rules of b.example.com": "none",
                "namespaceSelector of b.example.com": "every namespace",
            },
        ),
        (
            "configmaps",
            "update",
            {"data": {"Corefile": "s3cret", "no key": "s3cret"}, "binaryData": {"blob.bin": "czNjcmV0"}},
            {"keys": "Corefile, blob.bin"},
        ),
    ],
)
def test_other_objects(resource: str, verb: str, body: object, told: dict[str, str]) -> None:
    assert fields(resource, verb, requestObject=body) == told


@pytest.mark.parametrize(
    ("resource", "verb", "subresource"),
    [
        ("secrets", "create", None),
        ("serviceaccounts", "create", "token"),
        ("configmaps", "get", None),
        ("configmaps", "list", None),
        ("pods", "patch", None),
        ("pods", "patch", "status"),
        ("deployments", "patch", "status"),
        ("nodes", "patch", "status"),
        ("widgets", "create", None),
    ],
)
def test_what_may_hold_a_secret_what_is_read_and_what_tells_of_a_state_is_not_opened(
    resource: str, verb: str, subresource: str | None
) -> None:
    body = {"data": {"password": "s3cret"}, "spec": AGENT | {"unschedulable": True}}
    assert fields(resource, verb, subresource, requestObject=body, responseObject=body) == {}


def test_what_was_refused_is_no_change() -> None:
    cordon = {"spec": {"unschedulable": True}}
    refused = {"code": 403, "message": "no"}
    assert fields("nodes", "patch", responseStatus=refused, requestObject=cordon, responseObject=cordon) == {}


def test_a_patch_is_told_from_what_is_whole() -> None:
    event: dict[str, Any] = {
        "level": "RequestResponse",
        "verb": "patch",
        "objectRef": {"resource": "nodes", "name": "a"},
    }
    cordon = {"spec": {"unschedulable": True}}
    rows = rows_of(AUDIT_FIELDS, line(**event, requestObject=cordon, responseObject=cordon) + b"\n")
    assert [(row["body"], row["whole"], row["name"], row["code"]) for row in rows] == [
        ("request", False, "a", 200),
        ("response", True, "a", 200),
    ]


def test_a_name_that_the_server_made_comes_from_the_answer() -> None:
    event: dict[str, Any] = {
        "level": "RequestResponse",
        "verb": "create",
        "objectRef": {"resource": "pods", "namespace": "shop"},
    }
    body = {"metadata": {"name": "web-x2k8m"}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    rows = rows_of(AUDIT_FIELDS, line(**event, responseObject=body) + b"\n")
    assert {row["name"] for row in rows} == {"web-x2k8m"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"7",
        b"[1]",
        b"[" * 5000,
        b'{"spec":[]}',
        b'{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"s3cret pass"}]}}}}',
        b'{"spec":{"template":{"spec":{"containers":{"name":"a"}}}}}',
        b'{"spec":{"template":{"spec":{"containers":[{"name":7,"image":"a"}]}}}}',
        b'{"spec":{"template":{"spec":{"priorityClassName":"A b"}}}}',
        b'[{"op":"add","path":"/spec/template/spec/containers/0/image","value":"a"}]',
        b'[{"op":"add","path":"/spec","value":3},{"op":"add","path":"/spec/template","value":{}}]',
        b'[{"op":"add"}]',
        '{"spec":{"template":"\xff"}}'.encode("latin-1"),
    ],
)
def test_a_strange_body_tells_nothing_and_breaks_nothing(body: bytes) -> None:
    assert read_fields("deployments", body, whole=False) == []


def test_many_containers_cost_a_bounded_number_of_rows() -> None:
    many = {"spec": {"containers": [{"name": f"c{i}", "image": f"i:{i}"} for i in range(500)]}}
    assert len(read_fields("pods", json.dumps(many).encode(), whole=True)) == 34


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("500m", 0.5),
        ("1.5Gi", 1.5 * 2**30),
        ("128M", 128e6),
        ("1e3", 1000.0),
        ("2E", 2e18),
        (".5", 0.5),
        (4, 4.0),
        ("-1", None),
        ("", None),
        ("m", None),
        ("1 Gi", None),
        ("1Kib", None),
        (True, None),
        (None, None),
        ([], None),
        ("9" * 31, None),
    ],
)
def test_quantities(text: object, value: float | None) -> None:
    """The forms of apimachinery `pkg/api/resource/quantity.go`."""
    assert amount(text) == value
