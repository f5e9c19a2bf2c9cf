"""How often something happened, in equal steps of time, few enough for a chart."""

from __future__ import annotations

from datetime import datetime

import polars as pl

STEPS = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 21600, 86400)
"""Lengths of a step in seconds."""
BARS = 120
"""The most steps that a chart has, unless the longest step is too short for that."""
MOST = 10 * BARS
"""Later steps than this are left out: a clock that jumps by years must not cost memory."""


def per_step(times: pl.Series, start: datetime, end: datetime) -> tuple[int, tuple[float, ...]]:
    """Seconds of a step, and how many of the times are in each from `start` to `end`; others do not count."""
    span = (end - start).total_seconds()
    step = next((one for one in STEPS if span < one * BARS), STEPS[-1])
    size = min(int(span // step) + 1, MOST)
    since = (times.drop_nulls() - start).dt.total_microseconds() // (step * 1_000_000)
    counts = since.filter(since.is_between(0, size - 1)).value_counts(sort=False)
    values = [0.0] * size
    for place, count in counts.iter_rows():
        values[place] = float(count)
    return step, tuple(values)
