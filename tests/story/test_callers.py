"""One table of callers: what no input tells is null, and an address is a pod only where one alone had it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.contract import Fact
from analyzer.frames import AUDIT_EVENTS, COREDNS_QUERIES, Table
from analyzer.model import Caller
from analyzer.story.callers import MOST, callers
from tests.build import frames_for, rows


def told(given: Mapping[Table, pl.LazyFrame], owners: pl.LazyFrame | None = None) -> dict[str, Caller]:
    def get(need: Table | Fact) -> pl.LazyFrame | None:
        return owners if need is ADDRESS_OWNERS else frames_for([need], given).get(need)

    return {f"{one.kind} {one.name}": one for one in callers(get)}


def request(audit_id: str, **more: Any) -> dict[str, Any]:
    base = {"stage": "ResponseComplete", "verb": "list", "code": 200, "agent": "kubectl", "user": "alice"}
    return {**base, "audit_id": audit_id, "event_bytes": 100, "user_agent": "kubectl/v1", **more}


def owner(address: str, pod: str, **more: Any) -> dict[str, Any]:
    base = {"kind": "pod", "namespace": "shop", "confidence": "high", "contradicted": False, "host_network": False}
    return {**base, "address": address, "name": pod, "known_from": "audit", **more}


def asked(client: str, rcode: str, number: int) -> dict[str, Any]:
    return {"client": client, "rcode": rcode, "name": "a", "qtype": "A", "dns_id": number, "client_port": number}


def test_requests_watches_refusals_and_bytes_by_agent_account_and_pod() -> None:
    pod = {"caller_pod": "web-1", "service_account_namespace": "shop", "user": "system:serviceaccount:shop:web"}
    events = rows(
        AUDIT_EVENTS,
        request("a"),
        request("b", verb="watch"),
        request("c", code=429),
        request("d", code=503, agent="web", user_agent="web/1", **pod),
    )
    found = told({AUDIT_EVENTS: events})
    kubectl = found["user agent kubectl"]
    assert (kubectl.requests, kubectl.watches, kubectl.throttled, kubectl.server_errors) == (3, 1, 1, 0)
    assert kubectl.audit_bytes == 300
    assert kubectl.dns_queries is None
    assert found["account alice"].requests == 3
    assert found["pod shop/web-1"].server_errors == 1


def test_dns_queries_by_the_pod_that_alone_had_the_address() -> None:
    log = rows(
        COREDNS_QUERIES,
        asked("10.0.0.7", "NXDOMAIN", 1),
        asked("10.0.0.7", "SERVFAIL", 2),
        asked("10.0.0.8", "NOERROR", 3),
        asked("10.0.0.9", "NOERROR", 4),
    )
    owners = rows(
        ADDRESS_OWNERS.table,
        owner("10.0.0.7", "web-1"),
        owner("10.0.0.8", "old"),
        owner("10.0.0.8", "new"),
        owner("10.0.0.9", "guess", confidence="low"),
    )
    found = told({COREDNS_QUERIES: log}, owners)
    assert set(found) == {"pod shop/web-1", "address 10.0.0.8", "address 10.0.0.9"}
    web = found["pod shop/web-1"]
    assert (web.dns_queries, web.dns_nxdomain, web.dns_failed, web.requests) == (2, 1, 1, None)


def test_who_leads_in_any_column_is_listed_however_few_its_requests() -> None:
    busy = [request(f"{i}-{k}", agent=f"busy-{i}", user=f"u{i}") for i in range(30) for k in range(20)]
    failing = request("x", agent="failing", user="f", code=500)
    found = told({AUDIT_EVENTS: rows(AUDIT_EVENTS, *busy, failing)})
    agents = [one for one in found.values() if one.kind == "user agent"]
    assert agents[0].name == "failing"
    assert len(agents) == MOST


def test_without_any_table_nobody_is_listed() -> None:
    assert told({}) == {}
