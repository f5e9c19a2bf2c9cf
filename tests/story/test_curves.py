"""Distributions: what is counted, which lanes, and values that were measured."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.facts.contract import Fact
from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import NO_REPLY, Table
from analyzer.model import Curve
from analyzer.story.curves import LEAST, MOST_LANES, SHARES, curves
from tests.build import rows

ASKED = {"hop": "client", "covered": False, "retry": False, "origin": "capture", "rcode": "NOERROR"}
SERVED = {"long_running": False, "throttled": False, "verb": "get"}


def drawn(fact: Fact, *data: dict[str, Any]) -> tuple[Curve, ...]:
    there: dict[Table | Fact, pl.LazyFrame] = {fact: rows(fact.table, *data)}
    return curves(there.get)


def answers(*seconds: float | None, **same: Any) -> list[dict[str, Any]]:
    return [{**ASKED, "duration_seconds": value, **same} for value in seconds]


def requests(*seconds: float | None, **same: Any) -> list[dict[str, Any]]:
    return [{**SERVED, "latency_seconds": value, **same} for value in seconds]


def test_the_median_and_the_99th_percentile_are_values_that_were_measured() -> None:
    [curve] = drawn(DNS_TRANSACTIONS, *answers(*(i / 1000 for i in range(1, 201))))
    [lane] = curve.lanes
    assert (curve.id, curve.unit, curve.shares) == ("dns-latency", "seconds", SHARES)
    assert (lane.name, lane.count, len(lane.values)) == ("NOERROR, capture", 200, 101)
    assert [lane.values[percent] for percent in (0, 50, 99, 100)] == [0.001, 0.1, 0.198, 0.2]


@given(st.lists(st.integers(0, 999), min_size=LEAST, max_size=80))
def test_a_share_is_at_most_the_value_that_stands_at_it(milliseconds: list[int]) -> None:
    [curve] = drawn(AUDIT_REQUESTS, *requests(*(ms / 1000 for ms in milliseconds)))
    [lane] = curve.lanes
    for share, value in zip(SHARES, lane.values, strict=True):
        assert sum(ms / 1000 <= value for ms in milliseconds) >= share * len(milliseconds) - 1e-9
        assert sum(ms / 1000 < value for ms in milliseconds) <= share * len(milliseconds) + 1e-9
    assert (lane.values[0], lane.values[-1]) == (min(milliseconds) / 1000, max(milliseconds) / 1000)


def test_answers_are_told_apart_by_code_and_origin() -> None:
    [curve] = drawn(
        DNS_TRANSACTIONS,
        *answers(*[0.001] * 12),
        *answers(*[0.002] * 11, rcode="NXDOMAIN", origin="log"),
        *answers(*[2.0] * 3, rcode="SERVFAIL"),
        *answers(0.5, rcode="REFUSED"),
    )
    assert [(lane.name, lane.count) for lane in curve.lanes] == [
        ("NOERROR, capture", 12),
        ("NXDOMAIN, CoreDNS log", 11),
        ("other codes, capture", 4),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"covered": True},
        {"retry": True},
        {"hop": "upstream"},
        {"rcode": NO_REPLY},
        {"rcode": None},
        {"duration_seconds": None},
        {"duration_seconds": -0.1},
    ],
)
def test_what_is_no_answer_to_a_client_is_not_counted(other: dict[str, Any]) -> None:
    [curve] = drawn(DNS_TRANSACTIONS, *answers(*[0.001] * LEAST), {**ASKED, "duration_seconds": 9.0, **other})
    assert [(lane.count, lane.values[-1]) for lane in curve.lanes] == [(LEAST, 0.001)]


def test_requests_that_were_turned_away_or_stay_open_are_not_counted() -> None:
    [curve] = drawn(
        AUDIT_REQUESTS,
        *requests(*[0.25] * LEAST),
        *requests(0.0001, throttled=True),
        *requests(600.0, long_running=True, verb="watch"),
    )
    assert [(lane.name, lane.count, lane.values[0]) for lane in curve.lanes] == [("get", LEAST, 0.25)]


def test_the_verbs_with_most_requests_have_lanes_and_the_rest_is_counted_together() -> None:
    data = [row for i in range(9) for row in requests(*[0.1] * (i + 1), verb=f"verb-{i}")]
    [curve] = drawn(AUDIT_REQUESTS, *data)
    assert len(curve.lanes) == MOST_LANES
    assert [lane.name for lane in curve.lanes] == ["verb-8", "verb-7", "verb-6", "verb-5", "verb-4", "other"]
    assert sum(lane.count for lane in curve.lanes) == len(data)


def test_a_few_answers_are_no_distribution() -> None:
    assert drawn(DNS_TRANSACTIONS, *answers(*[0.001] * (LEAST - 1))) == ()
    assert drawn(DNS_TRANSACTIONS) == ()
    assert curves(lambda need: None) == ()


def test_values_keep_three_digits() -> None:
    [curve] = drawn(AUDIT_REQUESTS, *requests(*[0.0012345] * 5, *[12.3456] * 5))
    assert (curve.lanes[0].values[0], curve.lanes[0].values[100]) == (0.00123, 12.3)
