"""Neighbours within groups that stand together, against the windows that they stand for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from polars.testing import assert_frame_equal

from analyzer.facts.codes import CODE, pair
from analyzer.facts.neighbours import begins, by_digits, by_place, hashed, in_order, latest, nth, side_by_side
from analyzer.frames import TIME
from tests.build import at

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


def test_equal_keys_lie_side_by_side_in_their_order() -> None:
    rng = np.random.default_rng(7)
    keys = rng.integers(0, 1 << 63, 50).astype(np.uint64)[rng.integers(0, 50, 2000)]
    assert_side_by_side(keys)


def test_keys_that_share_their_upper_half_are_told_apart() -> None:
    rng = np.random.default_rng(7)
    keys = (rng.integers(0, 3, 2000) << 32 | rng.integers(0, 4, 2000)).astype(np.uint64)
    assert_side_by_side(keys)
    assert_side_by_side(keys[:0])


def assert_side_by_side(keys: NDArray[np.uint64]) -> None:
    order = side_by_side(keys)
    assert sorted(order.tolist()) == list(range(len(keys)))
    assert int(begins(keys[order]).sum()) == len(set(keys.tolist()))
    for key in set(keys.tolist()):
        own = order[keys[order] == key]
        assert (np.diff(own) > 0).all()


@pytest.mark.parametrize("most", [1, 1 << 16, 1 << 33, 1 << 62])
def test_numbers_are_sorted_digit_by_digit_as_they_are_otherwise(most: int) -> None:
    values = np.random.default_rng(7).integers(0, most, 3000).astype(np.uint64)
    assert (by_digits(values) == np.argsort(values, kind="stable")).all()
    assert (by_digits(values << np.uint64(1)) == np.argsort(values, kind="stable")).all()
    assert by_digits(values[:0]).tolist() == []


def test_a_hash_stands_for_all_of_its_columns_and_for_null() -> None:
    frame = pl.DataFrame({"a": ["x", "x", None, None], "b": [1, 2, 1, 1]})
    one, other, first, second = frame.select(hashed(["a", "b"])).to_series()
    assert len({one, other, first}) == 3
    assert first == second


PLACES = (
    {"time": at(2), "source": "a", "number": 1, "qtype": "A"},
    {"time": at(1), "source": "b", "number": 1, "qtype": "AAAA"},
    {"time": at(1), "source": "b", "number": 1, "qtype": "A"},
    {"time": at(1), "source": "a", "number": 2, "qtype": "A"},
    {"time": None, "source": "a", "number": 3, "qtype": "A"},
)


def places(*order: int) -> pl.DataFrame:
    schema = pl.Schema({"time": TIME, "source": pl.String(), "number": pl.Int64(), "qtype": pl.String()})
    return pl.DataFrame([PLACES[place] for place in order], schema=schema)


def test_by_place_is_the_sort_by_time_source_number_and_text() -> None:
    assert_frame_equal(by_place(places(0, 1, 2, 3, 4), "qtype"), places(3, 2, 1, 0, 4))
    assert_frame_equal(by_place(places(), "qtype"), places())


def test_in_order_sorts_only_what_is_not_in_order() -> None:
    one = places(3, 0)
    assert in_order(one) is one
    assert_frame_equal(in_order(places(0, 3)), one)
    assert_frame_equal(in_order(places(2, 1, 3)), places(3, 2, 1))  # equal ones as they stand
    assert_frame_equal(in_order(places(0, 4)), places(4, 0))
    assert_frame_equal(in_order(places()), places())
