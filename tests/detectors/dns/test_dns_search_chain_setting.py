"""What stands between or behind the walks: autopath, caches on a node, and the pods that the clients are."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.detectors.dns.dns_search_chain import DETECTOR
from analyzer.frames import (
    AUDIT_ADDRESSES,
    AUDIT_EVENTS,
    AUDIT_OBJECTS,
    COREDNS_QUERIES,
    DNS_ANSWERS,
    DNS_MESSAGES,
    empty,
)
from analyzer.model import Confidence, Finding
from tests.build import remarks, rows, run
from tests.lookups import LIST, POD, Row, capture, exchange, log, walk

OUTSIDE = "api.example.com"
FIRST = f"{OUTSIDE}.{LIST[0]}"


def lookups(count: int, base: str = OUTSIDE, **more: Any) -> list[Row]:
    return [row for i in range(count) for row in walk(i * 10, base, **more)]


def aliases(*pairs: tuple[str, str]) -> pl.LazyFrame:
    same = {"client": POD, "protocol": "dns", "dns_id": 1, "position": 1, "rtype": "CNAME", "ttl": 5}
    return rows(DNS_ANSWERS, *(same | {"name": name, "value": value} for name, value in pairs), source="node.pcap")


def fixes(finding: Finding) -> set[str]:
    return {way.fix for way in finding.alternatives}


def test_silent_behind_autopath_and_says_so() -> None:
    asked = capture(*(exchange(i, FIRST, "NOERROR", answers=2) for i in range(50)))
    given = {DNS_MESSAGES: asked, DNS_ANSWERS: aliases(*[(FIRST, OUTSIDE)] * 50)}
    assert run(DETECTOR, given) == []
    [remark] = remarks(DETECTOR, given)
    assert remark.startswith("autopath is at work: 50 queries of 1 clients")
    assert f"as for {OUTSIDE}" in remark


def test_a_log_shows_autopath_by_the_length_of_names_only() -> None:
    given = {COREDNS_QUERIES: log(*(exchange(i, FIRST, "NOERROR") for i in range(50)))}
    assert run(DETECTOR, given) == []
    [remark] = remarks(DETECTOR, given)
    assert remark.startswith("autopath seems to be at work: 50 queries")
    assert "a log shows no CNAME" in remark


def test_an_external_name_service_is_not_autopath() -> None:
    name = "api.shop.svc.cluster.local"
    given = {DNS_MESSAGES: capture(exchange(0, name, "NOERROR")), DNS_ANSWERS: aliases((name, OUTSIDE))}
    assert remarks(DETECTOR, given) == []


def test_names_that_autopath_finished_do_not_rely_on_the_client_and_it_is_not_advised_again() -> None:
    """It was switched on after the walks."""
    before = lookups(10)
    after = [row for i in range(5) for row in exchange(500 + i, FIRST, "NOERROR", answers=2)]
    [without] = run(DETECTOR, {DNS_MESSAGES: capture(before)})
    [finding] = run(DETECTOR, {DNS_MESSAGES: capture(before, after), DNS_ANSWERS: aliases(*[(FIRST, OUTSIDE)] * 5)})
    assert fixes(without) - fixes(finding) == {"autopath"}
    assert finding.figure("lookups that rely on the search list") == 0
    assert not any("autopath" in one.snippet for one in finding.remedies)


@pytest.mark.parametrize(
    "given",
    [
        log(lookups(30, client="169.254.20.10")),
        log(lookups(30, client="10.0.12.33")).with_columns(transport=pl.lit("tcp")),
    ],
)
def test_a_cache_on_the_node_is_told_and_believed_less(given: pl.LazyFrame) -> None:
    [finding] = run(DETECTOR, {COREDNS_QUERIES: given})
    assert finding.confidence is Confidence.LOW
    assert "NodeLocal DNSCache" not in fixes(finding)
    assert not any("NodeLocal" in one.text for one in finding.remedies)
    [remark] = remarks(DETECTOR, {COREDNS_QUERIES: given})
    assert "lower bounds" in remark


def test_a_pod_that_asks_over_tcp_at_times_is_no_cache() -> None:
    lines = log(lookups(30)).with_columns(
        transport=pl.when(pl.col("number") > 1).then(pl.lit("tcp")).otherwise("transport")
    )
    [finding] = run(DETECTOR, {COREDNS_QUERIES: lines})
    assert finding.confidence is Confidence.HIGH


def test_many_caches_are_told_in_few_words() -> None:
    parts = [lookups(30, client=f"10.0.12.{i}") for i in range(8)]
    given = {COREDNS_QUERIES: log(*parts).with_columns(transport=pl.lit("tcp"))}
    told = remarks(DETECTOR, given)
    assert len(told) == 6
    assert told[-1].startswith("3 further addresses")


HELD: dict[str, Any] = {
    "resource": "pods",
    "kind": "pod",
    "namespace": "shop",
    "name": "web-7d9f8c5b6-x2lqz",
    "address": POD,
}
OWNED = {
    "resource": "pods",
    "namespace": "shop",
    "name": "web-7d9f8c5b6-x2lqz",
    "owner_kind": "ReplicaSet",
    "owner_name": "web-7d9f8c5b6",
}


def told(*bodies: dict[str, Any]) -> Finding:
    """With the bodies of an audit log: those with an address, and those with an owner."""
    objects, addresses = ([body for body in bodies if ("address" in body) is told] for told in (False, True))
    given = {
        DNS_MESSAGES: capture(lookups(10)),
        AUDIT_EVENTS: empty(AUDIT_EVENTS).lazy(),
        AUDIT_OBJECTS: rows(AUDIT_OBJECTS, *objects),
        AUDIT_ADDRESSES: rows(AUDIT_ADDRESSES, *addresses),
    }
    [finding] = run(DETECTOR, given)
    return finding


def template(*objects: dict[str, Any]) -> str:
    """Where the finding says that ndots is to be set."""
    return told(*objects).remedies[0].text.partition(": ")[0]


def test_the_owner_of_the_pod_is_named_where_the_audit_log_knows_it() -> None:
    assert template(OWNED, HELD, HELD) == "Set ndots to 1 in the pod template of Deployment web in namespace shop"
    daemon = OWNED | {"owner_kind": "DaemonSet", "owner_name": "agent"}
    assert "of DaemonSet agent in" in template(HELD, daemon)
    assert "of ReplicaSet web in" in template(HELD, OWNED | {"owner_name": "web"})


def test_a_pod_without_a_known_owner_is_a_workload_of_its_namespace() -> None:
    assert "of the workload in namespace shop" in template(HELD)


@pytest.mark.parametrize(
    "objects",
    [
        [HELD, HELD | {"name": "other"}],  # one after the other, or on the host's network
        [HELD | {"namespace": "web"}],  # not the namespace whose domains it walks
        [HELD | {"address": "10.0.0.9"}],
        [HELD | {"kind": "node", "namespace": None}],
    ],
)
def test_no_owner_is_named_that_need_not_be_the_clients(objects: list[dict[str, Any]]) -> None:
    assert "of the workload in namespace shop" in template(OWNED, *objects)
