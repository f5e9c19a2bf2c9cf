"""One small example of each cause rule: its two ends, the entity that they share, and a time that the lag allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from msgspec import Struct

from analyzer.facts.application import APPLICATION_REQUESTS
from analyzer.facts.container_ends import CONTAINER_ENDS
from analyzer.facts.contract import Fact
from analyzer.facts.dns_hops import DNS_HOPS
from analyzer.facts.image_pulls import IMAGE_PULLS
from analyzer.facts.kubelet_starts import KUBELET_STARTS
from analyzer.facts.node_outages import NODE_OUTAGES
from analyzer.facts.pod_life import POD_LIFE
from analyzer.facts.pod_owners import POD_OWNERS
from analyzer.facts.pod_stops import POD_STOPS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.resolver_changes import RESOLVER_CHANGES
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import COREDNS_QUERIES, KERNEL_MESSAGES, KLOG_LINES, Table
from analyzer.model import (
    Cell,
    Column,
    Confidence,
    Evidence,
    EvidenceTable,
    Figure,
    Finding,
    Record,
    Severity,
)
from tests.build import at, rows

START, END = 1000, 1300
POD, OTHER_POD = "shop/web-7d9f8c6b5d-x2x4z", "shop/api-7d9f8c6b5d-x2x4z"

Given = dict["Table | Fact", pl.LazyFrame]


def finding(
    detector: str, subject: str, *, start: float = START, end: float = END, source: str = "own.log", **said: Any
) -> Finding:
    """A finding about `subject`, and what its evidence names: columns of one row (`node="n1"`)."""
    names = {name.replace("_", " "): value for name, value in said.items()}
    row: tuple[Cell, ...] = tuple(names.values())
    table = EvidenceTable(caption="Named", columns=tuple(Column(name=name) for name in names), rows=(row,))
    return Finding(
        detector=detector,
        subject=subject,
        summary=f"{subject} is in trouble.",
        severity=Severity.MEDIUM,
        confidence=Confidence.LOW,
        confidence_reason="one sign; another sign",
        start=at(start),
        end=at(end),
        impact=(),
        evidence=Evidence(records=(Record(source=source, number=1),), tables=(table,) if names else ()),
        refuted_by="The opposite.",
        key=f"{detector}:{subject}",
    )


def one(need: Table | Fact, time: float, **row: Any) -> Given:
    """One row of a table or a fact, read from an input of its own."""
    return {need: rows(need if isinstance(need, Table) else need.table, {"time": time, **row}, source="other.log")}


class Chain(Struct, frozen=True, kw_only=True):
    """`told` gives the other end at a time about an entity: tables, or a finding more. `at` is a time that joins;
    at each of `never` it is too late, too early or in the wrong order."""

    rule: str
    findings: tuple[Finding, ...]
    told: Callable[[float, str], Given | Finding]
    who: str
    other: str
    at: float
    never: tuple[float, ...]


def _api(time: float, node: str) -> Given:
    """A request of the kubelet of node-1 that was rejected, and what a kubelet logs."""
    refused = one(AUDIT_REQUESTS, START + 30, node="node-1.internal", code=429, throttled=True)
    return refused | one(KLOG_LINES, time, host=node, text='"Failed to update lease"')


def _outage(time: float, node: str) -> Given:
    refused = one(AUDIT_REQUESTS, START + 30, node="node-1.internal", code=429, throttled=True)
    return refused | one(NODE_OUTAGES, time, node=node)


def _hop(time: float, upstream: str) -> Given:
    return one(DNS_HOPS, time, forwarded=True, forwarded_at=time, upstream=upstream, upstream_rcode="NO_REPLY")


def _flood(time: float, node: str) -> Given:
    own = one(POD_LIFE, 0, namespace="kube-system", pod="coredns-5d78c9869d-abcde", node="node-1", what="placed")
    return own | one(TOLD_EVENTS, time, reason="NodeHasDiskPressure", kind="Node", name=node)


def _denied(time: float, image: str) -> Given:
    host = image.split("/", 1)[0]
    return one(IMAGE_PULLS, time, what="failed", image=image, registry=host, count=1, **{"class": "permission"})


def _turned_away(time: float, image: str) -> Given:
    host = image.split("/", 1)[0]
    return one(IMAGE_PULLS, time, what="failed", image=image, registry=host, count=1, **{"class": "quota"})


def _pod(pod: str) -> dict[str, str]:
    namespace, name = pod.split("/")
    return {"namespace": namespace, "pod": name}


CHAINS = (
    Chain(
        rule="c1",
        findings=(finding("dns-backend-blackhole", "10.96.0.10"),),
        told=lambda time, what: one(RESOLVER_CHANGES, time, what=what, object="kube-system/coredns-a"),
        who="pod deleted",
        other="changed",
        at=START - 299,
        never=(START - 301, START + 1),
    ),
    Chain(
        rule="c2",
        findings=(finding("dns-search-chain", "10.244.1.7", pod=POD),),
        told=lambda time, pod: one(POD_OWNERS, time, **_pod(pod), workload_kind="Deployment", workload="web"),
        who=POD,
        other=OTHER_POD,
        at=START - 3600,
        never=(),
    ),
    Chain(
        rule="c4",
        findings=(finding("dns-upstream-throttle", "10.0.0.2"),),
        told=_hop,
        who="10.0.0.2",
        other="10.0.0.3",
        at=START + 10,
        never=(START - 61, END + 61),
    ),
    Chain(
        rule="c5",
        findings=(finding("imds-credential-storm", "10.244.1.7"),),
        told=lambda time, client: one(APPLICATION_REQUESTS, time, client=client),
        who="10.244.1.7",
        other="10.244.1.8",
        at=START + 10,
        never=(START - 61, END + 61),
    ),
    Chain(
        rule="c6",
        findings=(finding("imds-credential-refusal", "terminating pods", pod=POD),),
        told=lambda time, pod: one(POD_LIFE, time, **_pod(pod), what="deleted", channel="audit"),
        who=POD,
        other=OTHER_POD,
        at=START - 200,
        never=(START - 301, START + 1),
    ),
    Chain(
        rule="c7",
        findings=(finding("apiserver-throttle-storm", "agent"),),
        told=_api,
        who="node-1",
        other="node-2",
        at=START + 20,
        never=(START - 61, END + 61),
    ),
    Chain(
        rule="c7",
        findings=(finding("apiserver-overload", "kube-apiserver"),),
        told=_outage,
        who="node-1",
        other="node-2",
        at=END + 299,
        never=(START - 1, END + 301),
    ),
    Chain(
        rule="c8",
        findings=(finding("watch-list-amplification", "iam-proxy"),),
        told=lambda time, name: one(CONTAINER_ENDS, time, pod=f"kube-system/{name}-x2x4z", exit_code=137),
        who="iam-proxy",
        other="fluentd",
        at=START + 100,
        never=(START - 1801, END + 1801),
    ),
    Chain(
        rule="c10",
        findings=(finding("image-pull-stampede", "registry.example.com"),),
        told=_denied,
        who="registry.example.com/agent:latest",
        other="quay.example.com/agent:latest",
        at=START - 60,
        never=(START - 1801, END + 1801),
    ),
    Chain(
        rule="c10",
        findings=(finding("image-pull-stampede", "registry.example.com"),),
        told=_turned_away,
        who="registry.example.com/shop:7",
        other="quay.example.com/shop:7",
        at=END + 60,
        never=(START - 1801, END + 1801),
    ),
    Chain(
        rule="c11",
        findings=(finding("admission-denial-loop", "policy.example.com", owner="shop/web"),),
        told=lambda time, name: one(POD_STOPS, time, namespace="shop", pod=f"{name}-1", workload=name),
        who="web",
        other="api",
        at=START + 60,
        never=(START - 1, END + 1801),
    ),
    Chain(
        rule="c12",
        findings=(finding("exec-probe-timeout", "shop/web container web", node="node-1.internal"),),
        told=lambda time, node: one(KERNEL_MESSAGES, time, kind="hung_task", host=node),
        who="NODE-1",
        other="node-10",
        at=START - 100,
        never=(START - 301, END + 301),
    ),
    Chain(
        rule="c12",
        findings=(finding("slow-pod-start", "node-1"),),
        told=lambda time, node: finding("runtime-stall", node, start=time, end=time + 1),
        who="node-1.internal",
        other="node-2",
        at=START - 100,
        never=(START - 302, END + 301),
    ),
    Chain(
        rule="c13",
        findings=(finding("termination-sigkill", "node-1"),),
        told=lambda time, node: one(KUBELET_STARTS, time, host=node, node=node),
        who="node-1",
        other="node-2",
        at=END,
        never=(START - 61, END + 61),
    ),
    Chain(
        rule="c14",
        findings=(finding("terminating-endpoint-traffic", "shop/web", pod=POD.split("/")[1]),),
        told=lambda time, pod: one(POD_LIFE, time, **_pod(pod), what="deleted", channel="audit"),
        who=POD,
        other="pay/web-7d9f8c6b5d-x2x4z",
        at=START - 1,
        never=(START - 301, END + 301),
    ),
    Chain(
        rule="c15",
        findings=(finding("cryptominer-traffic", "10.244.1.7", pod=POD),),
        told=lambda time, pod: one(
            AUDIT_REQUESTS,
            time,
            resource="pods",
            subresource="exec",
            namespace="shop",
            name=pod.split("/")[1],
            user="system:anonymous",
            code=101,
        ),
        who=POD,
        other=OTHER_POD,
        at=START - 1700,
        never=(START - 1801, START + 1),
    ),
    Chain(
        rule="c16",
        findings=(finding("dns-query-flood", "10.244.1.7"),),
        told=_flood,
        who="node-1.internal",
        other="node-2",
        at=END + 1700,
        never=(START - 1, END + 1801),
    ),
)


def lost_before(count: int) -> tuple[Finding, Given]:
    """A finding that counts lost queries which a log lacks, and the log."""
    from msgspec.structs import replace

    figure = Figure(name="lost before CoreDNS", value=count, unit="queries")
    hole = replace(finding("dns-client-timeout", "10.244.1.7"), impact=(figure,))
    return hole, one(COREDNS_QUERIES, START, client="10.244.1.7")
