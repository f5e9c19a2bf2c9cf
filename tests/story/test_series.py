"""Charts keep every peak, whatever the span, and fold what is too much into `other`."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from analyzer.facts.contract import Fact
from analyzer.frames import AUDIT_EVENTS, COREDNS_QUERIES, Table
from analyzer.model import Coverage, Series
from analyzer.story.series import MOST_LANES, MOST_STEPS, Get, charts
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


def test_nothing_to_draw_without_times_or_rows() -> None:
    assert charts(frames({}), ()) == ()
    unknown = Coverage(table="coredns_queries", rows=1, first_time=None, last_time=None, sources=("t",))
    assert charts(frames({COREDNS_QUERIES: rows(COREDNS_QUERIES, {"time": None})}), (unknown,)) == ()
