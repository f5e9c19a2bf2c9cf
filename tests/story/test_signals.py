"""Each failure signal has a lane of its own, counted once whoever tells of it; what a source cannot see is no zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest

from analyzer.facts.contract import Fact
from analyzer.frames import (
    AUDIT_EVENTS,
    COREDNS_QUERIES,
    DNS_MESSAGES,
    KERNEL_MESSAGES,
    KLOG_LINES,
    KUBE_EVENTS,
    PACKETS,
    Table,
)
from analyzer.model import Coverage, Lane, Series
from analyzer.story.series import FAILURES, Get, charts
from analyzer.story.signals import SIGNALS
from tests.build import at, frames_for, rows

END = 600


def getter(given: Mapping[Table, pl.LazyFrame]) -> Get:
    """What the store does: tables as given, facts as they can be derived."""

    def get(need: Table | Fact) -> pl.LazyFrame | None:
        return frames_for([need], given).get(need)

    return get


def failures(given: Mapping[Table, pl.LazyFrame], **spans: tuple[float, float]) -> Series:
    """The series over ten minutes; `spans` tells what single tables cover of them."""
    coverage = tuple(
        Coverage(
            table=table.name,
            rows=1,
            first_time=at(spans.get(table.name, (0, END))[0]),
            last_time=at(spans.get(table.name, (0, END))[1]),
            sources=("t",),
        )
        for table in given
    )
    (found,) = [series for series in charts(getter(given), coverage) if series.id == FAILURES]
    return found


def lane(series: Series, name: str) -> Lane:
    (found,) = [lane for lane in series.lanes if lane.name == name]
    return found


def logged(time: float, rcode: str, number: int = 1) -> dict[str, Any]:
    ask = {"client": "10.0.0.7", "client_port": 4000, "dns_id": number, "name": "a", "qtype": "A", "transport": "udp"}
    return {**ask, "time": time, "query_time": time, "duration_seconds": 0.0, "rcode": rcode}


def query(time: float, dns_id: int) -> dict[str, Any]:
    ends = {"src": "10.0.0.7", "src_port": 40000 + dns_id, "dst": "10.96.0.10", "dst_port": 53}
    name = {"name": "a.example.com", "qtype": "A", "protocol": "dns", "transport": "udp", "wire_bytes": 80}
    return {"time": time, "dns_id": dns_id, "response": False, "duplicate": False, **ends, **name}


def test_a_query_in_a_capture_that_nobody_answered_has_a_lane() -> None:
    messages = rows(DNS_MESSAGES, query(100, 1), query(100.5, 2), query(300, 3))
    found = failures({DNS_MESSAGES: messages, PACKETS: rows(PACKETS, {"time": 0}, {"time": END})})
    assert {at: value for at, value in enumerate(lane(found, "DNS no reply").values) if value} == {100: 2, 300: 1}
    assert {"DNS SERVFAIL", "DNS NXDOMAIN"} <= set(found.never)


@pytest.mark.parametrize(
    ("name", "table", "row"),
    [
        ("DNS SERVFAIL", COREDNS_QUERIES, logged(200, "SERVFAIL")),
        ("DNS no reply", COREDNS_QUERIES, logged(200, "NO_REPLY")),
        ("API 429", AUDIT_EVENTS, {"stage": "ResponseComplete", "code": 429, "audit_id": "a", "verb": "list"}),
        ("API 5xx", AUDIT_EVENTS, {"stage": "ResponseComplete", "code": 504, "audit_id": "a", "verb": "get"}),
        ("API 401, 403", AUDIT_EVENTS, {"stage": "ResponseComplete", "code": 403, "audit_id": "a", "verb": "get"}),
        ("OOM kills", KERNEL_MESSAGES, {"kind": "cgroup_oom", "text": "Memory cgroup out of memory", "count": 1}),
        ("Kernel stalls", KERNEL_MESSAGES, {"kind": "hung_task", "text": "task x blocked", "count": 1}),
        (
            "PLEG unhealthy",
            KLOG_LINES,
            {"text": "skipping pod synchronization: PLEG is not healthy: x", "severity": "I"},
        ),
        ("Log errors", KLOG_LINES, {"text": "x", "severity": "E"}),
        ("Probe failures", KUBE_EVENTS, {"reason": "Unhealthy", "kind": "Pod", "name": "a", "count": 1}),
        ("Nodes not ready", KUBE_EVENTS, {"reason": "NodeNotReady", "kind": "Node", "name": "n", "count": 1}),
        ("Mounts failed", KUBE_EVENTS, {"reason": "FailedMount", "kind": "Pod", "name": "a", "count": 1}),
        (
            "FailedScheduling",
            KUBE_EVENTS,
            {
                "reason": "FailedScheduling",
                "kind": "Pod",
                "namespace": "shop",
                "name": "a",
                "count": 1,
                "message": "0/3",
            },
        ),
        (
            "Image pulls failed",
            KUBE_EVENTS,
            {
                "reason": "Failed",
                "kind": "Pod",
                "namespace": "shop",
                "name": "a",
                "count": 1,
                "message": 'Failed to pull image "registry.example.com/a:1": rpc error: not found',
            },
        ),
    ],
)
def test_a_signal_has_a_lane_where_its_table_is_there(name: str, table: Table, row: dict[str, Any]) -> None:
    quiet = {key: value for key, value in row.items() if key not in {"rcode", "code", "kind", "reason", "severity"}}
    calm = {**quiet, "text": "fine"} if "text" in quiet else quiet
    found = failures({table: rows(table, {**calm, "time": 0}, {**row, "time": 200}, {**calm, "time": END})})
    values = lane(found, name).values
    assert [i for i, value in enumerate(values) if value] == [200]
    assert name not in found.never


def test_a_rare_signal_stands_beside_a_loud_one() -> None:
    loud = [logged(i % END, "NXDOMAIN", i) for i in range(4_000)]
    found = failures({COREDNS_QUERIES: rows(COREDNS_QUERIES, *loud, logged(77, "SERVFAIL", 5_000))})
    assert max(lane(found, "DNS SERVFAIL").values) == 1
    assert max(lane(found, "DNS NXDOMAIN").values) >= 6


def test_before_a_source_begins_and_after_it_ends_nothing_is_known() -> None:
    log = rows(COREDNS_QUERIES, logged(200, "SERVFAIL"))
    lines = rows(KLOG_LINES, {"time": 0, "text": "x", "severity": "E"}, {"time": END, "text": "x", "severity": "E"})
    found = failures({COREDNS_QUERIES: log, KLOG_LINES: lines}, coredns_queries=(150, 400))
    assert [(gap.start, gap.end) for gap in lane(found, "DNS SERVFAIL").gaps] == [(at(0), at(150)), (at(400), at(END))]
    assert lane(found, "Log errors").gaps == ()


def test_what_another_source_still_sees_is_no_gap() -> None:
    log = rows(COREDNS_QUERIES, logged(200, "SERVFAIL"))
    lines = rows(KLOG_LINES, {"time": 0, "text": "x", "severity": "I"})
    given = {
        COREDNS_QUERIES: log,
        DNS_MESSAGES: rows(DNS_MESSAGES, query(1, 1)),
        PACKETS: rows(PACKETS, {"time": 1}),
        KLOG_LINES: lines,
    }
    found = failures(given, coredns_queries=(150, 400), packets=(0, 300), dns_messages=(0, 300))
    assert [(gap.start, gap.end) for gap in lane(found, "DNS SERVFAIL").gaps] == [(at(400), at(END))]


def test_two_witnesses_of_one_thing_count_once() -> None:
    event = {
        "reason": "FailedScheduling",
        "kind": "Pod",
        "namespace": "shop",
        "name": "a",
        "count": 1,
        "message": "0/3",
    }
    told = rows(KUBE_EVENTS, *({**event, "time": 10, "event_uid": str(i)} for i in range(3)))
    line = 'Event occurred object="shop/a" kind="Pod" type="Warning" reason="FailedScheduling" message="0/3"'
    logged = rows(KLOG_LINES, {"time": 10, "message": "Event occurred", "text": line, "severity": "I"})
    found = failures({KUBE_EVENTS: told, KLOG_LINES: logged})
    assert max(lane(found, "FailedScheduling").values) == 3


def test_names_of_signals_fit_their_place_and_stand_once() -> None:
    names = [signal.name for signal in SIGNALS]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 18 for name in names)
