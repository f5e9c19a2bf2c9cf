"""Ports of services and to whom they open, in the exact shapes of the API."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.frames import AUDIT_SERVICE_PORTS
from analyzer.sources.audit import decode
from analyzer.sources.audit.services import internal, ports_of
from tests.sources.audit_log import line, lines, rows_of

SERVICE: dict[str, Any] = {
    "kind": "Service",
    "apiVersion": "v1",
    "metadata": {"name": "scope", "namespace": "weave", "annotations": {"token": "s3cret"}},
    "spec": {
        "ports": [
            {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 4040, "nodePort": 31840},
            {"protocol": "TCP", "port": 443, "targetPort": "https"},
        ],
        "selector": {"app": "weave-scope"},
        "clusterIP": "10.96.0.9",
        "type": "LoadBalancer",
    },
    "status": {"loadBalancer": {"ingress": [{"hostname": "a1.us-east-1.elb.amazonaws.com"}]}},
}


@pytest.fixture(params=[0, decode.LONG], ids=["bodies are cut first", "bodies are decoded over"], autouse=True)
def cutting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "LONG", request.param)


def told(subresource: str | None = None, **changed: Any) -> list[dict[str, Any]]:
    ref = {
        "resource": "services",
        "namespace": "weave",
        "name": "scope",
        "subresource": subresource,
        "apiVersion": "v1",
    }
    fields: dict[str, Any] = {"level": "RequestResponse", "objectRef": ref, "verb": "create", **changed}
    return rows_of(AUDIT_SERVICE_PORTS, lines(5) + line(**fields) + b"\n")


def test_each_port_is_a_row_with_what_the_service_says() -> None:
    first, second = told(responseObject=SERVICE)
    assert (first["namespace"], first["name"], first["type"], first["number"]) == ("weave", "scope", "LoadBalancer", 2)
    names = ("port", "target_port", "node_port", "protocol", "port_name")
    assert tuple(first[name] for name in names) == (80, "4040", 31840, "TCP", "http")
    assert tuple(second[name] for name in names) == (443, "https", None, "TCP", None)
    assert (first["internal"], first["source_ranges"], first["balancer"]) == (
        False,
        "",
        "a1.us-east-1.elb.amazonaws.com",
    )
    assert first["selector"] == "app=weave-scope"
    assert "s3cret" not in str(first)


def test_the_answer_counts_where_both_are_logged_and_the_request_alone_is_enough() -> None:
    asked = SERVICE | {"spec": SERVICE["spec"] | {"type": "ClusterIP"}}
    assert {row["type"] for row in told(requestObject=asked, responseObject=SERVICE)} == {"LoadBalancer"}
    assert {(row["type"], row["body"]) for row in told(requestObject=asked)} == {("ClusterIP", "request")}


def test_what_a_patch_does_not_name_is_null() -> None:
    patch = {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}}
    assert told(verb="patch", requestObject=patch) == []
    [row] = told(verb="patch", requestObject={"spec": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}})
    assert (row["port"], row["type"], row["internal"], row["source_ranges"]) == (None, None, None, "10.0.0.0/8")
    [row] = told(verb="patch", requestObject={"spec": {"loadBalancerSourceRanges": None}})
    assert row["source_ranges"] == ""
    [row] = told(
        "status", verb="patch", requestObject={"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}}
    )
    assert (row["balancer"], row["type"]) == ("203.0.113.9", None)


@pytest.mark.parametrize(
    ("key", "value", "inside"),
    [
        ("service.beta.kubernetes.io/aws-load-balancer-internal", "true", True),
        ("service.beta.kubernetes.io/aws-load-balancer-internal", "0.0.0.0/0", True),
        ("service.beta.kubernetes.io/aws-load-balancer-internal", "false", False),
        ("service.beta.kubernetes.io/aws-load-balancer-scheme", "internal", True),
        ("service.beta.kubernetes.io/aws-load-balancer-scheme", "internet-facing", False),
        ("service.beta.kubernetes.io/aws-load-balancer-type", "external", True),
        ("service.beta.kubernetes.io/aws-load-balancer-type", "nlb", False),
        ("service.beta.kubernetes.io/azure-load-balancer-internal", "true", True),
        ("networking.gke.io/load-balancer-type", "Internal", True),
        ("cloud.google.com/load-balancer-type", "External", False),
        ("load-balancer.hetzner.cloud/disable-public-network", "true", True),
        ("example.org/internal", "true", False),
    ],
)
def test_annotations_of_clouds_for_internal_load_balancers(key: str, value: str, inside: bool) -> None:
    assert internal({key: value}) is inside
    [row, _] = told(responseObject=SERVICE | {"metadata": {"annotations": {key: value}}})
    assert row["internal"] is inside


def test_an_internet_facing_balancer_of_the_aws_controller_is_public() -> None:
    scheme = {"service.beta.kubernetes.io/aws-load-balancer-scheme": "internet-facing"}
    assert internal({"service.beta.kubernetes.io/aws-load-balancer-type": "external", **scheme}) is False
    assert internal({}, "service.k8s.aws/nlb") is True
    assert internal({}, "tailscale") is True


def test_source_ranges_stand_in_the_spec_or_in_an_annotation() -> None:
    note = {"service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8, 192.0.2.7,nonsense"}
    [row, _] = told(responseObject=SERVICE | {"metadata": {"annotations": note}})
    assert row["source_ranges"] == "10.0.0.0/8,192.0.2.7/32"


@pytest.mark.parametrize(
    "changed",
    [
        {"verb": "list", "responseObject": {"items": [SERVICE]}},
        {"verb": "delete", "responseObject": SERVICE},
        {"responseStatus": {"metadata": {}, "code": 409}, "requestObject": SERVICE},
        {"objectRef": {"resource": "services", "apiGroup": "serving.knative.dev"}, "responseObject": SERVICE},
        {"objectRef": {"resource": "secrets"}, "responseObject": SERVICE},
        {"responseObject": {"spec": {"ports": "80"}}},
        {"responseObject": [{"op": "add", "path": "/spec/type", "value": "LoadBalancer"}]},
    ],
    ids=["a list", "a delete", "a refusal", "knative", "a secret", "a wrong type", "steps"],
)
def test_other_bodies_tell_nothing(changed: dict[str, Any]) -> None:
    assert told(**changed) == []


def test_hostile_bodies_cost_nothing_but_their_row() -> None:
    assert ports_of(b"[" * 5000) == []
    assert ports_of(b'{"spec":{"ports":[{"port":0},{"port":70000}]}}') == [
        {
            "name": None,
            "type": "ClusterIP",
            "internal": False,
            "source_ranges": "",
            "balancer": None,
            "selector": None,
            "port": None,
            "target_port": None,
            "node_port": None,
            "protocol": None,
            "port_name": None,
        }
    ]
    [row] = ports_of(b'{"spec":{"ports":[{"port":80,"name":"<script>","targetPort":"a b"}]}}')
    assert (row["port_name"], row["target_port"]) == (None, None)
