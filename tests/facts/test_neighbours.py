"""Neighbours within groups that stand together, against the windows that they stand for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from analyzer.facts.codes import CODE, pair
from analyzer.facts.neighbours import latest, nth
from analyzer.frames import TIME

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def test_latest_is_the_running_maximum_of_each_group_before_1970_and_without_times_too() -> None:
    seconds = [3, None, 2, None, -5, -7, 9, 9, None, 1]
    groups = [0, 0, 0, 1, 1, 1, 2, 2, 3, 4]
    times = [None if second is None else EPOCH + timedelta(seconds=second) for second in seconds]
    frame = pl.DataFrame({"group": groups, "time": times}, schema={"group": pl.UInt32, "time": TIME})
    found = frame.select(fast=latest("time", "group"), window=pl.col("time").cum_max().over("group"))
    assert found["fast"].to_list() == found["window"].to_list()
    assert found["fast"][5] == EPOCH - timedelta(seconds=5)


def test_latest_holds_at_the_ends_of_the_calendar() -> None:
    frame = pl.DataFrame({"group": [0, 1], "time": [1 << 62, -(1 << 62)]}).with_columns(pl.col("time").cast(TIME))
    assert frame.select(latest("time", "group").to_physical()).to_series().to_list() == [1 << 62, -(1 << 62)]


def test_nth_counts_the_rows_of_each_key_from_0() -> None:
    frame = pl.DataFrame({"key": [7, 7, 7, 2, 5, 5]})
    assert frame.select(nth("key")).to_series().to_list() == [0, 1, 2, 0, 0, 1]


def test_a_pair_tells_apart_what_joined_text_would_not() -> None:
    frame = pl.DataFrame({"first": ["a", "ab", "a", None], "second": ["bc", "c", "bc", "c"]}).cast(CODE)
    one, other, again, none = frame.select(key=pair("first", "second"))["key"].to_list()
    assert one == again != other
    assert none is None
