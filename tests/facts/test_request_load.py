from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.request_load import REQUEST_LOAD
from analyzer.frames import AUDIT_EVENTS
from tests.build import at, frames_for, rows

GET: dict[str, Any] = {"stage": "ResponseComplete", "code": 200, "verb": "get", "resource": "pods", "agent": "web"}
WATCH = GET | {"verb": "watch"}


def load(*events: dict[str, Any]) -> pl.DataFrame:
    named = [{"audit_id": f"id-{i}", "decision": "allow"} | event for i, event in enumerate(events)]
    given = {AUDIT_EVENTS: rows(AUDIT_EVENTS, *named)}
    return frames_for([REQUEST_LOAD], given)[REQUEST_LOAD].collect()


def test_a_request_is_in_flight_in_every_second_that_it_lasts() -> None:
    table = load(GET | {"time": 0.25, "stage_time": 2.5})
    assert table.select("time", "requests", "in_flight", "in_flight_at_end").rows() == [
        (at(0), 1, 0.75, 1),
        (at(2), 0, 0.5, 0),
    ]


def test_in_flight_is_arrivals_times_latency() -> None:
    """Little's law: what 30 requests of 0.3 s a second, for ten seconds, add up to."""
    table = load(*[GET | {"time": i / 30, "stage_time": i / 30 + 0.3} for i in range(300)])
    assert table["in_flight"].sum() == pytest.approx(300 * 0.3)
    steady = table.filter(pl.col("time").is_between(at(1), at(8)))
    assert steady["in_flight"].to_list() == pytest.approx([30 * 0.3] * steady.height, rel=0.01)
    assert steady["requests"].to_list() == [30] * steady.height


def test_agents_are_counted_apart() -> None:
    table = load(GET | {"time": 0, "stage_time": 0.5}, GET | {"time": 0, "stage_time": 0.25, "agent": None})
    assert table.select("agent", "in_flight").rows() == [("", 0.25), ("web", 0.5)]


def test_a_rejected_request_is_counted_and_takes_no_place() -> None:
    refused = GET | {"code": 429, "decision": None, "time": 0, "stage_time": 0.9}
    assert load(refused).select("requests", "rejected", "in_flight").rows() == [(1, 1, 0.0)]


def test_long_running_requests_stand_apart() -> None:
    table = load(WATCH | {"time": 0, "stage_time": 60.5}, GET | {"time": 1, "stage_time": 1.5})
    told = table.select("time", "requests", "opened", "in_flight", "open_at_end").rows()
    assert told == [(at(0), 0, 1, 0.0, 1), (at(1), 1, 0, 0.5, 1), (at(60), 0, 0, 0.0, 0)]


def test_a_watch_without_an_end_stays_open() -> None:
    table = load(WATCH | {"time": 0, "stage": "ResponseStarted", "stage_time": 0.1}, GET | {"time": 9, "stage_time": 9})
    assert table["open_at_end"].to_list() == [1, 1]


def test_an_end_before_the_begin_or_none_takes_no_time() -> None:
    table = load(GET | {"time": 5, "stage_time": 4}, GET | {"time": 5, "stage_time": None})
    assert table.select("requests", "in_flight", "in_flight_at_end").rows() == [(2, 0.0, 0)]


def test_a_request_of_a_hundred_years_is_two_rows() -> None:
    assert load(GET | {"time": 0, "stage_time": 3e9}).height == 2


def test_rows_in_any_order_and_without_a_time_give_the_same() -> None:
    some = [GET | {"time": i * 0.7, "stage_time": i * 0.9} for i in range(20)]
    assert load(*some).drop("number").equals(load(*some[::-1], GET | {"time": None}).drop("number"))


def test_no_rows_give_no_load() -> None:
    assert load().height == 0
