"""How far clocks are from each other, by what two inputs both tell of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest

from analyzer.facts import clock_events
from analyzer.facts.clock_offsets import CLOCK_OFFSETS
from analyzer.frames import AUDIT_EVENTS, COREDNS_QUERIES, DNS_MESSAGES, KLOG_LINES, KUBE_EVENTS, PACKETS, Table
from tests.build import frames_for, rows

Row = dict[str, Any]


def offsets(given: Mapping[Table, pl.LazyFrame]) -> list[tuple[str, str, float, float, int]]:
    found = frames_for([CLOCK_OFFSETS], given)
    if CLOCK_OFFSETS not in found:
        return []
    columns = ("source", "reference", "seconds", "spread_seconds", "events")
    return found[CLOCK_OFFSETS].select(columns).collect().rows()


def asked(*queries: tuple[float, int], source: str = "node.pcap", **more: Any) -> pl.LazyFrame:
    same = {"src": "10.0.0.7", "src_port": 40000, "name": "a.example", "qtype": "A", "protocol": "dns"}
    same |= {"response": False, "source": source}
    return rows(DNS_MESSAGES, *({"time": time, "dns_id": dns_id, **same, **more} for time, dns_id in queries))


def logged(*lines: tuple[float, int], source: str = "coredns.log", took: float = 0.0) -> pl.LazyFrame:
    same = {"client": "10.0.0.7", "client_port": 40000, "name": "a.example", "qtype": "A", "source": source}
    same |= {"duration_seconds": took}
    made = ({"time": time, "query_time": time - took, "dns_id": dns_id, **same} for time, dns_id in lines)
    return rows(COREDNS_QUERIES, *made)


THREE = ((0, 1), (1, 2), (2, 3))


def later(by: float, queries: tuple[tuple[float, int], ...] = THREE) -> tuple[tuple[float, int], ...]:
    return tuple((time + by, dns_id) for time, dns_id in queries)


@pytest.mark.parametrize("by", [0.0, 1.7, -1.7, 10_800.0])
def test_a_log_is_ahead_by_the_median_of_line_less_duration_and_packet(by: float) -> None:
    found = offsets({DNS_MESSAGES: asked(*THREE), COREDNS_QUERIES: logged(*later(by + 2), took=2.0)})
    assert found == [("coredns.log", "node.pcap", by, 0.0, 3)]


def test_the_spread_is_the_median_absolute_deviation_and_a_stray_match_moves_nothing() -> None:
    lines = [(0.1, 1), (1.2, 2), (2.3, 3), (503.0, 4), (4.2, 5)]
    found = offsets({DNS_MESSAGES: asked(*((i, i + 1) for i in range(5))), COREDNS_QUERIES: logged(*lines)})
    assert found == [("coredns.log", "node.pcap", 0.2, 0.1, 5)]


def test_two_moments_are_no_estimate() -> None:
    assert offsets({DNS_MESSAGES: asked(*THREE[:2]), COREDNS_QUERIES: logged(*THREE[:2])}) == []


def test_what_comes_again_later_is_no_moment_but_copies_at_interfaces_are() -> None:
    at_interfaces = asked(*THREE, (0.001, 1), (2.002, 3))
    assert offsets({DNS_MESSAGES: at_interfaces, COREDNS_QUERIES: logged(*THREE)})[0][-1] == 3
    sent_again = asked(*THREE, (5.0, 1))
    assert offsets({DNS_MESSAGES: sent_again, COREDNS_QUERIES: logged(*THREE)}) == []


@pytest.mark.parametrize(
    "other", [{"response": True}, {"duplicate": True}, {"src": "10.0.0.8"}, {"name": "b.example"}, {"protocol": "mdns"}]
)
def test_what_is_not_the_same_query_is_not_matched(other: Row) -> None:
    assert offsets({DNS_MESSAGES: asked(*THREE, **other), COREDNS_QUERIES: logged(*THREE)}) == []


def test_a_log_without_times_or_ids_tells_nothing() -> None:
    without = logged(*THREE).with_columns(query_time=pl.lit(None, pl.Datetime("us", "UTC")))
    assert offsets({DNS_MESSAGES: asked(*THREE), COREDNS_QUERIES: without}) == []
    without = logged(*THREE).with_columns(dns_id=pl.lit(None, pl.Int32))
    assert offsets({DNS_MESSAGES: asked(*THREE), COREDNS_QUERIES: without}) == []


def test_captures_are_compared_by_queries_and_by_syns() -> None:
    both = pl.concat([asked(*THREE, source="a.pcap"), asked(*later(0.25), source="b.pcap")])
    assert offsets({DNS_MESSAGES: both}) == [("b.pcap", "a.pcap", 0.25, 0.0, 3)]
    syn = {"protocol": "TCP", "src": "10.0.0.7", "src_port": 1, "dst": "10.0.0.8", "dst_port": 2, "tcp_flags": 2}
    seen = [
        syn | {"source": source, "time": i + by, "seq": i} for source, by in (("a", 0), ("b", -3)) for i in range(3)
    ]
    assert offsets({PACKETS: rows(PACKETS, *seen)}) == [("b", "a", -3.0, 0.0, 3)]
    data = [row | {"tcp_flags": 0x18} for row in seen]
    assert offsets({PACKETS: rows(PACKETS, *data)}) == []


def test_of_many_queries_every_input_keeps_the_same_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_events, "ENOUGH", 10)
    many = tuple((float(i), i) for i in range(40))
    found = offsets({DNS_MESSAGES: asked(*many), COREDNS_QUERIES: logged(*later(1.0, many))})
    assert found == [("coredns.log", "node.pcap", 1.0, 0.0, 10)]


def line(time: float, message: str, text: str, pod: str | None = None) -> Row:
    return {"time": time, "message": message, "text": f'"{message}" {text}', "pod": pod, "source": "kubelet.log"}


def request(time: float, verb: str, name: str, subresource: str | None = None, node: str | None = None) -> Row:
    made = {"time": time - 5, "stage_time": time, "stage": "ResponseComplete", "verb": verb, "resource": "pods"}
    made |= {"subresource": subresource, "namespace": "shop", "name": name, "node": node, "code": 200}
    return made | {"source": "audit.log"}


def loop(time: float, what: str, name: str) -> Row:
    return line(time, f"SyncLoop {what}", f'source="api" pods=["shop/{name}"]')


def pods(audit: list[Row], kubelet: list[Row]) -> list[tuple[str, str, float, float, int]]:
    return offsets({AUDIT_EVENTS: rows(AUDIT_EVENTS, *audit), KLOG_LINES: rows(KLOG_LINES, *kubelet)})


REQUESTS = [
    request(0, "create", "web-1", "binding"),
    request(10, "delete", "web-1"),
    request(20, "delete", "web-1", node="n1"),
]


def test_a_kubelet_follows_what_the_api_server_answered() -> None:
    kubelet = [loop(0.02, "ADD", "web-1"), loop(10.01, "DELETE", "web-1"), loop(20.02, "REMOVE", "web-1")]
    assert pods(REQUESTS, kubelet) == [("kubelet.log", "audit.log", 0.02, 0.0, 3)]


def test_an_eviction_and_the_form_of_old_kubelets() -> None:
    audit = [request(0, "create", "web-1", "binding"), request(10, "create", "web-1", "eviction"), REQUESTS[2]]
    kubelet = [
        {"time": at + 3600, "message": f'SyncLoop ({what}, "api"): "web-1_shop(u)"', "pod": "shop/web-1", "text": ""}
        for at, what in ((0, "ADD"), (10, "DELETE"), (20, "REMOVE"))
    ]
    assert pods(audit, [row | {"source": "kubelet.log"} for row in kubelet]) == [
        ("kubelet.log", "audit.log", 3600.0, 0.0, 3)
    ]


def test_the_pods_that_a_kubelet_is_given_at_its_start_were_placed_before() -> None:
    start = line(0, "SyncLoop ADD", 'source="api" pods=["shop/web-1","shop/web-2","shop/web-3"]')
    audit = [request(-900, "create", f"web-{i}", "binding") for i in (1, 2, 3)]
    assert pods(audit, [start]) == []


def test_writes_of_a_status_are_matched_in_their_order_where_both_hold_all_of_them() -> None:
    said = [line(i + 0.5, "Status for pod updated successfully", "", "shop/web-1") for i in range(3)]
    written = [request(i, "patch", "web-1", "status", "n1") for i in range(3)]
    assert pods(written, said) == [("kubelet.log", "audit.log", 0.5, 0.0, 3)]
    assert pods(written[1:], said) == []


def test_a_refused_request_is_none() -> None:
    kubelet = [loop(0.02, "ADD", "web-1"), loop(10.01, "DELETE", "web-1"), loop(20.02, "REMOVE", "web-1")]
    assert pods([*REQUESTS[:2], REQUESTS[2] | {"code": 404}], kubelet) == []


def test_events_are_as_fine_as_seconds() -> None:
    same = {"kind": "Pod", "namespace": "shop", "component": "kubelet", "reason": "Killing", "count": 1}
    events = [same | {"time": i, "name": f"web-{i}", "field_path": "spec.containers{web}"} for i in range(3)]
    killing = "Killing container with a grace period"
    kubelet = [line(i + 7200.4, killing, 'containerName="web"', f"shop/web-{i}") for i in range(3)]
    given = {KUBE_EVENTS: rows(KUBE_EVENTS, *events, source="events.json"), KLOG_LINES: rows(KLOG_LINES, *kubelet)}
    assert offsets(given) == [("kubelet.log", "events.json", 7199.9, 0.5, 3)]


def test_events_in_bodies_of_an_audit_log_have_other_clocks() -> None:
    event = {"kind": "Pod", "namespace": "shop", "reason": "Scheduled", "count": 1, "source": "audit.log"}
    events = [event | {"time": 50 + i, "name": f"web-{i}"} for i in range(3)]
    kubelet = [loop(i, "ADD", f"web-{i}") for i in range(3)]
    audit = rows(AUDIT_EVENTS, request(0, "get", "x"))
    given = {AUDIT_EVENTS: audit, KUBE_EVENTS: rows(KUBE_EVENTS, *events), KLOG_LINES: rows(KLOG_LINES, *kubelet)}
    assert offsets(given) == []


def test_nothing_in_common() -> None:
    assert offsets({}) == []
    assert offsets({DNS_MESSAGES: asked()}) == []
    assert offsets({KLOG_LINES: rows(KLOG_LINES, loop(0, "ADD", "web-1"))}) == []


def test_hosts_in_one_journal_are_compared_one_by_one() -> None:
    def both(by: float, name: str, host: str | None) -> list[Row]:
        turns = ((0, "ADD"), (10, "DELETE"), (20, "REMOVE"))
        return [loop(at + by, what, name) | {"host": host} for at, what in turns]

    other = [request(at + 100, verb, "db-0", sub, node) for at, verb, sub, node in
             ((0, "create", "binding", None), (10, "delete", None, None), (20, "delete", None, "n2"))]  # fmt: skip
    audit = rows(AUDIT_EVENTS, *REQUESTS, *other)
    columns = ("source", "host", "seconds", "events")

    def found(*lines: Row) -> list[tuple[object, ...]]:
        made = frames_for([CLOCK_OFFSETS], {AUDIT_EVENTS: audit, KLOG_LINES: rows(KLOG_LINES, *lines)})
        return made[CLOCK_OFFSETS].select(columns).collect().rows()

    several = found(*both(0.02, "web-1", "n1"), *both(102.0, "db-0", "n2"))
    assert several == [("kubelet.log", "n1", 0.02, 3), ("kubelet.log", "n2", 2.0, 3)]
    assert found(*both(0.02, "web-1", "n1"), *both(100.02, "db-0", "n1")) == [("kubelet.log", "", 0.02, 6)]
    assert found(*both(0.02, "web-1", None)) == [("kubelet.log", "", 0.02, 3)]
