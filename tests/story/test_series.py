"""Charts keep every peak, whatever the span, and fold what is too much into `other`."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from analyzer.facts.contract import Fact
from analyzer.facts.image_pulls import IMAGE_PULLS
from analyzer.facts.tcp_retransmissions import TCP_RETRANSMISSIONS
from analyzer.frames import AUDIT_EVENTS, COREDNS_QUERIES, KLOG_LINES, RUNTIME_MESSAGES, Table
from analyzer.model import Coverage, Series
from analyzer.story.series import FAILURES, MOST_LANES, MOST_STEPS, Get, charts
from tests.build import at, rows


def frames(given_: dict[Table, pl.LazyFrame]) -> Get:
    def get(need: Table | Fact) -> pl.LazyFrame | None:
        return given_.get(need) if isinstance(need, Table) else None

    return get


def draw(table: Table, *data: dict[str, Any], last: float | None = None) -> tuple[Series, ...]:
    frame = rows(table, *data)
    end = at(last if last is not None else max(row["time"] for row in data))
    coverage = Coverage(table=table.name, rows=len(data), first_time=at(0), last_time=end, sources=("t",))
    return charts(frames({table: frame}), (coverage,))


def test_one_lane_per_code_the_busiest_first() -> None:
    [series] = draw(
        COREDNS_QUERIES,
        {"time": 0, "rcode": "NOERROR"},
        {"time": 0.5, "rcode": "NOERROR"},
        {"time": 1, "rcode": "NXDOMAIN"},
        {"time": 2, "rcode": "NOERROR"},
    )
    assert (series.id, series.step_seconds, series.start) == ("dns-log", 1, at(0))
    assert [(lane.name, lane.values) for lane in series.lanes] == [("NOERROR", (2, 0, 1)), ("NXDOMAIN", (0, 1, 0))]


@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=60))
def test_the_greatest_value_of_a_chart_is_the_busiest_second(seconds: list[int]) -> None:
    [series] = draw(COREDNS_QUERIES, *({"time": s, "rcode": "NOERROR"} for s in seconds), last=40_000)
    busiest = max(seconds.count(s) for s in seconds)
    assert max(series.lanes[0].values) == busiest
    assert len(series.lanes[0].values) <= MOST_STEPS + 1


def test_many_agents_are_folded_and_none_is_lost() -> None:
    data = [
        {"time": 0, "stage": "ResponseComplete", "code": 429, "agent": f"agent-{i}", "event_bytes": 1}
        for i in range(20)
        for _ in range(i + 1)
    ]
    throttled = next(series for series in draw(AUDIT_EVENTS, *data) if series.id == "api-throttled")
    assert len(throttled.lanes) == MOST_LANES
    assert throttled.lanes[-1].name == "other"
    assert sum(sum(lane.values) for lane in throttled.lanes) == len(data)


def test_an_eviction_that_a_budget_refused_is_not_drawn_as_throttling() -> None:
    data = {"time": 0, "stage": "ResponseComplete", "code": 429, "decision": "allow", "agent": "drainer"}
    assert all(series.id != "api-throttled" for series in draw(AUDIT_EVENTS, data))


def of_fact(fact: Fact, *data: dict[str, Any], behind: tuple[Table, ...] = ()) -> Series:
    """The series of that fact's rows, ten seconds long; the tables behind it are there and have no rows."""
    given_: dict[Table | Fact, pl.LazyFrame] = {fact: rows(fact.table, *data), **{t: rows(t) for t in behind}}
    covered = Coverage(table="packets", rows=1, first_time=at(0), last_time=at(9), sources=("t",))
    return next(series for series in charts(given_.get, (covered,)) if series.id != FAILURES)


def lanes(series: Series) -> dict[str, tuple[float, ...]]:
    return {lane.name: lane.values for lane in series.lanes}


def test_audit_records_are_drawn_by_verb_and_resource() -> None:
    data: list[dict[str, Any]] = [
        {"time": 0, "verb": "patch", "resource": "pods", "subresource": "status", "event_bytes": 1},
        {"time": 0, "verb": "patch", "resource": "pods", "subresource": "status", "event_bytes": 1},
        {"time": 1, "verb": "list", "resource": "pods", "event_bytes": 1},
        {"time": 1, "verb": "get", "event_bytes": 1},
    ]
    series = next(one for one in draw(AUDIT_EVENTS, *data) if one.id == "audit-operations")
    assert lanes(series) == {"patch pods/status": (2, 0), "get (no resource)": (0, 1), "list pods": (0, 1)}


def test_a_pull_that_several_witnesses_tell_of_is_drawn_once_by_outcome() -> None:
    data: list[dict[str, Any]] = [
        {"time": 0, "what": "attempt", "channel": "kubelet"},
        {"time": 1, "what": "pulled", "channel": "event"},
        {"time": 1, "what": "pulled", "channel": "runtime"},
        {"time": 2, "what": "pulled", "channel": "runtime"},
        {"time": 3, "what": "present", "channel": "event"},
        {"time": 4, "what": "failed", "channel": None},
        {"time": 5, "what": "restarting", "channel": "event"},
    ]
    series = of_fact(IMAGE_PULLS, *data, behind=(RUNTIME_MESSAGES,))
    assert series.id == "image-pulls"
    assert {name: values[:5] for name, values in lanes(series).items()} == {
        "pulled": (0, 1, 1, 0, 0),
        "already present": (0, 0, 0, 1, 0),
        "begun": (1, 0, 0, 0, 0),
        "failed": (0, 0, 0, 0, 1),
    }


def test_a_chart_of_a_fact_is_blind_where_everything_behind_it_is() -> None:
    covered = (
        Coverage(table="klog_lines", rows=1, first_time=at(0), last_time=at(100), sources=("t",)),
        Coverage(table="packets", rows=1, first_time=at(0), last_time=at(900), sources=("t",)),
    )
    pulls = rows(IMAGE_PULLS.table, {"time": 0, "what": "pulled", "channel": "kubelet"})
    alone: dict[Table | Fact, pl.LazyFrame] = {IMAGE_PULLS: pulls, KLOG_LINES: rows(KLOG_LINES)}
    assert [(gap.start, gap.end) for gap in charts(alone.get, covered)[0].gaps] == [(at(100), at(900))]
    both = {**alone, RUNTIME_MESSAGES: rows(RUNTIME_MESSAGES)}  # may tell of a pull at any time
    assert charts(both.get, covered)[0].gaps == ()


def test_segments_sent_again_are_drawn_by_kind_and_packets_captured_twice_apart() -> None:
    data: list[dict[str, Any]] = [
        {"time": 0, "kind": "fast retransmission", "copy": False},
        {"time": 1, "kind": "retransmission", "copy": True},
        {"time": 1, "kind": "retransmission", "copy": None},
    ]
    assert {name: values[:2] for name, values in lanes(of_fact(TCP_RETRANSMISSIONS, *data)).items()} == {
        "captured twice": (0, 1),
        "fast retransmission": (1, 0),
        "retransmission": (0, 1),
    }


def test_nothing_to_draw_without_times_or_rows() -> None:
    assert charts(frames({}), ()) == ()
    unknown = Coverage(table="coredns_queries", rows=1, first_time=None, last_time=None, sources=("t",))
    assert charts(frames({COREDNS_QUERIES: rows(COREDNS_QUERIES, {"time": None})}), (unknown,)) == ()
