"""Who was turned away, and when: 429 answers by user agent and minute."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import polars as pl

from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.model import Coverage, Heat, Lane
from analyzer.story.series import Get

STEPS = (10, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
"""Seconds per column; the least that gives at most MOST_STEPS columns is taken: minutes for up to two hours, and parts
of a minute where the audit log is so short that minutes would show nothing."""

MOST_STEPS = 120
MOST_LANES = 12
"""Rows: the agents with most 429s; where there are more, the last row is that of all others."""

_AUDIT = "audit_events"
_DAY = 86400
_REST = "other"


def heats(get: Get, coverage: tuple[Coverage, ...]) -> tuple[Heat, ...]:
    """The 429s of each agent over the time of the audit log; nothing where nobody was turned away."""
    frame = get(AUDIT_REQUESTS)
    if frame is None:
        return ()
    counts = (
        frame.filter(pl.col("throttled"), pl.col("time").is_not_null())
        .group_by(lane=pl.col("agent").fill_null("(none)"), second=pl.col("time").dt.epoch("s"))
        .agg(count=pl.len().cast(pl.Int64))
        .collect()
    )
    if counts.is_empty():
        return ()
    covered = next((entry for entry in coverage if entry.table == _AUDIT), None)
    start, step, steps = _axis(counts, covered)
    cells = _fold(counts).group_by("lane", column=(pl.col("second") - start) // step).agg(pl.col("count").sum())
    totals = cells.group_by("lane").agg(pl.col("count").sum())
    names = totals.sort(pl.col("lane") == _REST, -pl.col("count"), "lane")["lane"].to_list()
    made = Heat(
        id="api-throttled-agents",
        title="429 answers by user agent and time",
        unit="answers",
        start=datetime.fromtimestamp(start, tz=UTC),
        step_seconds=step,
        lanes=tuple(Lane(name=name, values=_dense(cells.filter(pl.col("lane") == name), steps)) for name in names),
        gaps=covered.gaps if covered else (),
    )
    return (made,)


def _axis(counts: pl.DataFrame, covered: Coverage | None) -> tuple[int, int, int]:
    """First second, seconds per column and number of columns, over all of the audit log."""
    seconds = counts["second"].to_list()
    if covered is not None and covered.first_time is not None and covered.last_time is not None:
        seconds += [math.floor(covered.first_time.timestamp()), math.floor(covered.last_time.timestamp())]
    first, last = min(seconds), max(seconds)
    step = next((step for step in STEPS if last // step - first // step < MOST_STEPS), 0)
    step = step or _DAY * math.ceil((last - first + _DAY) / _DAY / (MOST_STEPS - 1))
    start = first - first % step
    return start, step, (last - start) // step + 1


def _fold(counts: pl.DataFrame) -> pl.DataFrame:
    totals = counts.group_by("lane").agg(pl.col("count").sum()).sort(-pl.col("count"), "lane")
    names = totals["lane"].to_list()
    kept = names if len(names) <= MOST_LANES else names[: MOST_LANES - 1]
    return counts.with_columns(lane=pl.when(pl.col("lane").is_in(kept)).then("lane").otherwise(pl.lit(_REST)))


def _dense(cells: pl.DataFrame, steps: int) -> tuple[float, ...]:
    values = [0] * steps
    for column, count in cells.select("column", "count").iter_rows():
        values[column] = count
    return tuple(values)
