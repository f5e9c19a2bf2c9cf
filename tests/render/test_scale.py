"""Buckets keep every peak; ticks are round and inside the axis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.render.scale import peaks, stacked, time_ticks, value_ticks

VALUES = st.lists(st.one_of(st.none(), st.floats(0, 1e9)), min_size=1, max_size=400)


@given(VALUES, st.integers(1, 500))
def test_the_greatest_bucket_is_the_greatest_value(values: list[float | None], most: int) -> None:
    known = [v for v in values if v is not None]
    drawn = [b.value for b in peaks(values, most) if b.value is not None]
    assert max(drawn, default=None) == max(known, default=None)


@given(VALUES, st.integers(1, 500))
def test_buckets_cover_every_step_once(values: list[float | None], most: int) -> None:
    buckets = peaks(values, most)
    assert len(buckets) <= most
    assert [i for b in buckets for i in range(b.first, b.stop)] == list(range(len(values)))


def test_a_spike_of_one_step_in_a_day_of_seconds_survives() -> None:
    values: list[float | None] = [0.0] * 86_400
    values[51_234] = 1900.0
    assert max(b.value or 0 for b in peaks(values, 480)) == 1900.0


def test_a_stretch_without_data_is_not_zero() -> None:
    assert [b.value for b in peaks([1.0, None, None, 0.0], 4)] == [1.0, None, None, 0.0]


def test_what_is_stacked_happened_in_the_same_step() -> None:
    low, high = stacked([[9.0, 1.0], [0.0, 5.0]], 1)
    assert (low[0].value, high[0].value) == (9.0, 9.0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.integers(1, 50))
def test_the_top_of_a_stack_keeps_the_greatest_total(values: list[float], most: int) -> None:
    other = values[::-1]
    top = stacked([values, other], most)[-1]
    assert max(b.value or 0 for b in top) == pytest.approx(max(a + b for a, b in zip(values, other, strict=True)))


@given(st.floats(0, 1e300))
def test_value_ticks_begin_at_zero_and_reach_the_top(top: float) -> None:
    ticks = value_ticks(top)
    assert ticks[0] == 0
    assert ticks[-1] >= top * 0.99999
    assert 2 <= len(ticks) <= 8


@pytest.mark.parametrize("top", [float("nan"), float("inf"), -1.0, 0.0, 5e-324])
def test_a_scale_without_height_still_has_two_ticks(top: float) -> None:
    assert len(value_ticks(top)) >= 2


@given(st.integers(0, 4_000_000_000), st.integers(0, 1_000_000_000))
def test_time_ticks_lie_inside_the_axis_and_are_few(start: int, span: int) -> None:
    ticks = time_ticks(start, start + span)
    assert len(ticks) <= 9
    assert all(start <= at <= start + span for at, _ in ticks)


def test_time_labels_say_the_date_where_a_day_begins() -> None:
    night = 1_773_442_800  # 2026-03-13 23:00:00Z
    assert [label for _, label in time_ticks(night, night + 7200)] == [
        "23:00", "23:15", "23:30", "23:45", "03-14", "00:15", "00:30", "00:45", "01:00",
    ][: len(time_ticks(night, night + 7200))]  # fmt: skip
    assert "03-14" in [label for _, label in time_ticks(night, night + 7200)]
