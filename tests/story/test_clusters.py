"""Several clusters are told by what only one cluster has, or by two halves that share nothing; else nothing is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest

from analyzer.facts.cluster_marks import CLUSTER_MARKS
from analyzer.frames import AUDIT_ADDRESSES, AUDIT_EVENTS, AUDIT_OBJECTS, KLOG_LINES, Table
from analyzer.model import Cluster, InputReport
from analyzer.sources.clusters import cluster_of
from analyzer.story.clusters import apart, clusters, homes, remark
from tests.build import frames_for, rows

Row = dict[str, Any]
Given = Mapping[Table, pl.LazyFrame]


def found(given: Given, **names: str) -> tuple[Cluster, ...]:
    facts = frames_for([CLUSTER_MARKS], given)
    sources = {name for frame in given.values() for name in frame.select("source").collect()["source"]}
    reports = [
        InputReport(path=name, kind="audit", sha256="", bytes=1, used=1, cluster=names.get(name, ""))
        for name in sorted(sources)
    ]
    return clusters(lambda need: facts.get(need) if need is CLUSTER_MARKS else given.get(need), reports)  # type: ignore[arg-type]


def log(source: str, site: str, at: float = 0) -> list[Row]:
    """An audit log that names two nodes and two namespaces of a site."""
    return [
        {
            "time": at + i,
            "source": source,
            "node": f"{site}-n{i}.internal",
            "namespace": f"{site}-{i}",
            "resource": "pods",
        }
        | {"name": f"web-{site}-{i}", "verb": "get"}
        for i in (1, 2)
    ]


def audit(*parts: list[Row]) -> Given:
    return {AUDIT_EVENTS: rows(AUDIT_EVENTS, *(row for part in parts for row in part))}


def inputs(told: tuple[Cluster, ...]) -> list[tuple[str, ...]]:
    return [one.inputs for one in told]


def test_two_logs_of_one_time_that_share_nothing_are_of_two_clusters() -> None:
    told = found(audit(log("a", "east"), log("b", "west")))
    assert inputs(told) == [("a",), ("b",)]
    assert told[0].told_by == "nodes east-n1, east-n2, namespaces east-1, east-2, and none of those of the others"
    [sentence] = remark(told)
    assert sentence.startswith("These inputs are of 2 clusters: a (nodes east-n1, east-n2")


@pytest.mark.parametrize(
    "shared",
    [
        {"node": "east-n1"},
        {"namespace": "east-1"},
        {"service_account_namespace": "east-1"},
        {"namespace": "kube-system", "resource": "pods", "name": "coredns-abc"},
    ],
)
def test_one_thing_in_common_makes_them_one(shared: Row) -> None:
    both = [{"time": 5, "source": source} | shared for source in ("a", "b")]
    assert found(audit(log("a", "east"), log("b", "west"), both)) == ()


def test_what_every_cluster_has_is_nothing_in_common() -> None:
    both = [{"time": 5, "source": source, "namespace": "kube-system"} for source in ("a", "b")]
    assert len(found(audit(log("a", "east"), log("b", "west"), both))) == 2


def test_logs_of_two_days_or_of_a_part_of_a_cluster_are_no_proof() -> None:
    assert found(audit(log("a", "east"), log("b", "west", at=86_400))) == ()
    assert found(audit(log("a", "east"), log("b", "west")[:1])) == ()
    assert found(audit(log("a", "east"), log("a", "west"))) == ()


def test_kubelets_of_different_nodes_alone_are_no_proof() -> None:
    lines = [{"time": 0, "source": f"k{i}", "host": f"n{i}", "pod": f"shop/web-{i}"} for i in range(4)]
    assert found({KLOG_LINES: rows(KLOG_LINES, *lines)}) == ()
    with_audit = {KLOG_LINES: rows(KLOG_LINES, *lines), **audit(log("a", "east"))}
    assert found(with_audit) == ()


def uid(source: str, value: str, body: str = "response") -> Row:
    return {"time": 0, "source": source, "body": body, "resource": "namespaces", "name": "kube-system", "uid": value}


def test_a_namespace_kube_system_of_another_uid_is_another_cluster_whatever_else_is_shared() -> None:
    given = audit(log("a", "east"), log("b", "east"))
    assert found({**given, AUDIT_OBJECTS: rows(AUDIT_OBJECTS, uid("a", "u1"), uid("b", "u1"))}) == ()
    told = found({**given, AUDIT_OBJECTS: rows(AUDIT_OBJECTS, uid("a", "u1"), uid("b", "u2"))})
    assert [(one.inputs, one.told_by) for one in told] == [
        (("a",), "UID u1 of namespace kube-system"),
        (("b",), "UID u2 of namespace kube-system"),
    ]


def test_the_address_of_the_service_kubernetes_tells_within_its_family() -> None:
    def service(source: str, address: str) -> Row:
        own = {"kind": "service", "namespace": "default", "name": "kubernetes"}
        return {"time": 0, "source": source, "address": address} | own

    def told(*addresses: tuple[str, str]) -> int:
        given = {AUDIT_ADDRESSES: rows(AUDIT_ADDRESSES, *(service(*one) for one in addresses))}
        return len(found({**audit(log("a", "east"), log("b", "east")), **given}))

    assert told(("a", "10.96.0.1"), ("b", "172.20.0.1")) == 2
    assert told(("a", "10.96.0.1"), ("b", "10.96.0.1")) == 0
    assert told(("a", "10.96.0.1"), ("b", "fd00::1")) == 0


def test_managed_api_servers_tell_by_their_host_names() -> None:
    hosts = [f"{letter * 32}.gr7.us-east-1.eks.amazonaws.com" for letter in "AB"]
    lines = [
        {"time": 0, "source": f"k{i}", "text": f'Get "https://{host}/api/v1/nodes": EOF'}
        for i, host in enumerate(hosts)
    ]
    assert inputs(found({KLOG_LINES: rows(KLOG_LINES, *lines)})) == [("k0",), ("k1",)]


def test_names_of_exports_tell_and_a_log_without_one_goes_where_its_nodes_are() -> None:
    lines = rows(KLOG_LINES, {"time": 0, "source": "k", "host": "east-n1", "text": ""})
    told = found({**audit(log("a", "east"), log("b", "west")), KLOG_LINES: lines}, a="prod", b="stage")
    assert inputs(told) == [("a", "k"), ("b",)]
    assert told[1].told_by == "cluster stage by its export"
    known = homes(told)
    assert apart(known, ["a"], ["b"])
    assert not apart(known, ["a"], ["k"])
    assert not apart(known, ["a", "node.pcap"], ["b"])  # nobody knows whose the capture is
    assert not apart({}, ["a"], ["b"])


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b'{"logGroup":"/aws/eks/prod-1/cluster","logStream":"kube-apiserver-audit-1"}', "prod-1"),
        (b'{"resource":{"type":"k8s_cluster","labels":{"cluster_name":"Prod","location":"eu"}}}', "prod"),
        (b'{"resourceId":"/SUBSCRIPTIONS/1/PROVIDERS/MICROSOFT.CONTAINERSERVICE/MANAGEDCLUSTERS/AKS-1"}', "aks-1"),
        (b'"/aws/eks/a/cluster" "/aws/eks/b/cluster"', ""),
        (b'"message":"\\"cluster_name\\":\\"a\\""', ""),
        (b"", ""),
    ],
)
def test_the_name_stands_in_the_head_of_an_export(head: bytes, name: str) -> None:
    assert cluster_of(head) == name
