"""Who was turned away and when: every 429 is counted in one cell."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from analyzer.facts.contract import Fact
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import Table
from analyzer.model import Coverage, Gap, Heat
from analyzer.story.heats import MOST_LANES, MOST_STEPS, heats
from tests.build import at, rows


def drawn(*data: dict[str, Any], last: float, gaps: tuple[Gap, ...] = ()) -> tuple[Heat, ...]:
    there: dict[Table | Fact, pl.LazyFrame] = {AUDIT_REQUESTS: rows(AUDIT_REQUESTS.table, *data)}
    covered = Coverage(table="audit_events", rows=9, first_time=at(0), last_time=at(last), sources=("t",), gaps=gaps)
    return heats(there.get, (covered,))


def refused(second: float, agent: str | None = "argocd") -> dict[str, Any]:
    return {"time": second, "agent": agent, "throttled": True}


def test_each_agent_has_a_row_and_each_minute_a_column() -> None:
    [heat] = drawn(refused(0), refused(59.9), refused(60), refused(3600, "velero"), refused(3600, None), last=3660)
    assert (heat.id, heat.start, heat.step_seconds) == ("api-throttled-agents", at(0), 60)
    assert [(lane.name, lane.values[:2], lane.values[60:]) for lane in heat.lanes] == [
        ("argocd", (2, 1), (0, 0)),
        ("(none)", (0, 0), (1, 0)),
        ("velero", (0, 0), (1, 0)),
    ]


def test_a_short_log_is_told_by_parts_of_a_minute_and_a_long_one_by_hours() -> None:
    assert [heat.step_seconds for heat in drawn(refused(0), last=600)] == [10]
    assert [heat.step_seconds for heat in drawn(refused(0), last=86400 * 4)] == [3600]


@given(st.lists(st.integers(0, 40_000_000), min_size=1, max_size=40))
def test_no_refusal_is_lost_whatever_the_span(seconds: list[int]) -> None:
    [heat] = drawn(*(refused(second, f"agent-{second % 17}") for second in seconds), last=max(seconds))
    assert sum(sum(lane.values) for lane in heat.lanes) == len(seconds)
    assert {len(lane.values) for lane in heat.lanes} <= set(range(1, MOST_STEPS + 1))


def test_the_agents_with_most_refusals_have_rows_and_the_rest_has_the_last() -> None:
    data = [refused(0, f"agent-{i:02}") for i in range(20) for _ in range(i + 1)]
    [heat] = drawn(*data, last=60)
    assert len(heat.lanes) == MOST_LANES
    assert (heat.lanes[0].name, heat.lanes[-1].name) == ("agent-19", "other")
    assert sum(sum(lane.values) for lane in heat.lanes) == len(data)


def test_gaps_of_the_audit_log_are_kept() -> None:
    gap = Gap(start=at(60), end=at(120), reason="nothing for a minute")
    assert [heat.gaps for heat in drawn(refused(0), last=600, gaps=(gap,))] == [(gap,)]


def test_nothing_is_drawn_where_nobody_was_turned_away() -> None:
    assert drawn({"time": 0, "agent": "argocd", "throttled": False}, last=600) == ()
    assert drawn(refused(0) | {"time": None}, last=600) == ()
    assert heats(lambda need: None, ()) == ()
