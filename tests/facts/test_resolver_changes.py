"""When servers of the cluster's resolver were taken away."""

from __future__ import annotations

import polars as pl
import pytest

from analyzer.facts.resolver_changes import RESOLVER_CHANGES
from analyzer.frames import AUDIT_EVENTS, KLOG_LINES, Table
from tests.build import frames_for, rows

Given = dict[Table, pl.LazyFrame]

DELETED = {
    "stage": "ResponseComplete",
    "verb": "delete",
    "resource": "pods",
    "namespace": "kube-system",
    "name": "coredns-7fbc4ff6f5-sxkrx",
    "code": 200,
    "user": "system:node:a",
}
SCALED = DELETED | {"verb": "patch", "resource": "deployments", "subresource": "scale", "name": "coredns"}
KILLED = {"message": "Killing container with a grace period", "pod": "kube-system/coredns-7fbc4ff6f5-sxkrx"}
CPA = "Replicas are not as expected : updating kube-system/coredns from 3 to 2"


def told(given: Given) -> list[tuple[object, ...]]:
    frame = frames_for([RESOLVER_CHANGES], given)[RESOLVER_CHANGES].collect()
    return frame.select("what", "object", "actor", "replicas_before", "replicas_after").rows()


def test_by_audit_events() -> None:
    given = {AUDIT_EVENTS: rows(AUDIT_EVENTS, DELETED, SCALED, SCALED | {"subresource": None})}
    assert told(given) == [
        ("pod deleted", "kube-system/coredns-7fbc4ff6f5-sxkrx", "system:node:a", None, None),
        ("scaled", "kube-system/coredns", "system:node:a", None, None),
        ("changed", "kube-system/coredns", "system:node:a", None, None),
    ]


def test_by_klog_of_a_kubelet_and_of_the_autoscaler() -> None:
    given = {KLOG_LINES: rows(KLOG_LINES, KILLED, {"message": CPA, "text": CPA})}
    assert told(given) == [
        ("container killed", "kube-system/coredns-7fbc4ff6f5-sxkrx", None, None, None),
        ("scaled", "kube-system/coredns", None, 3, 2),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"namespace": "shop"},
        {"name": "etcd-a"},
        {"name": "my-coredns"},
        {"verb": "get"},
        {"code": 404},
        {"stage": "RequestReceived"},
        {"subresource": "status"},
    ],
)
def test_not_by_other_events(other: dict[str, object]) -> None:
    assert not told({AUDIT_EVENTS: rows(AUDIT_EVENTS, DELETED | other)})


@pytest.mark.parametrize("other", [{"pod": "shop/web"}, {"pod": None}, {"message": "Something else"}])
def test_not_by_other_lines(other: dict[str, object]) -> None:
    assert not told({KLOG_LINES: rows(KLOG_LINES, KILLED | other)})


def test_not_by_an_autoscaler_of_something_else() -> None:
    text = CPA.replace("coredns", "calico-typha")
    assert not told({KLOG_LINES: rows(KLOG_LINES, {"message": text, "text": text})})
