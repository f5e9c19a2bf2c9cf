"""How many wait at once, and whether a CronJob's backlog grows from run to run."""

from __future__ import annotations

import numpy as np
import polars as pl


def peak_of(rows: pl.DataFrame) -> int:
    """How many waits lasted at once at the most; without times all of them."""
    timed = rows.filter(pl.col("start").is_not_null())
    starts = np.sort(timed["start"].dt.epoch("us").to_numpy())
    ends = np.sort(timed["end"].dt.epoch("us").to_numpy())
    ended = np.searchsorted(ends, starts, side="left")
    most = int((np.arange(1, len(starts) + 1) - ended).max(initial=0))
    return most + rows.height - timed.height


def growth(rows: pl.DataFrame) -> tuple[float | None, float | None]:
    """Period of a CronJob's runs in seconds, and by how many pods its backlog grew with each: the slope of a line
    through the numbers of pods that waited just before each next run."""
    dues = rows["due"].drop_nulls().unique().sort().to_numpy().astype(np.float64)
    if len(dues) < 2:
        return None, None
    period = float(np.median(np.diff(dues)))
    marks = dues + period - 1
    last = rows["end"].dt.epoch("us").max()
    marks = marks[marks <= float(last or 0) / 1e6]  # type: ignore[arg-type]  # untyped by polars
    if len(marks) < 2:
        return period, None
    starts, ends = (np.sort(rows[name].dt.epoch("us").to_numpy()) / 1e6 for name in ("start", "end"))
    # what lasts to the end of the evidence has not ended
    waiting = np.searchsorted(starts, marks, "right") - np.searchsorted(ends, marks, "left")
    slope = float(np.polyfit((marks - marks[0]) / period, waiting, 1)[0])
    return period, round(slope, 6)
