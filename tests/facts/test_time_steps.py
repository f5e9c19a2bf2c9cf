"""Counts in equal steps of time."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.facts.time_steps import MOST, per_step
from tests.build import T0, at


def test_times_are_counted_in_steps_of_seconds() -> None:
    times = pl.Series([at(0), at(0.5), at(2), None, at(9)], dtype=pl.Datetime("us", "UTC"))
    assert per_step(times, T0, at(3)) == (1, (2.0, 0.0, 1.0, 0.0))


def test_a_longer_span_has_longer_steps() -> None:
    assert per_step(pl.Series([at(119)]), T0, at(119.9))[0] == 1
    step, values = per_step(pl.Series([at(3000)]), T0, at(3000))
    assert (step, len(values), values[-1]) == (30, 101, 1.0)


def test_a_clock_that_jumps_by_a_century_costs_nothing() -> None:
    late = T0 + timedelta(days=36500)
    step, values = per_step(pl.Series([T0, late]), T0, late)
    assert (step, len(values), sum(values)) == (86400, MOST, 1.0)
