"""The requests of a log in order of time, so that each of many storms looks at those near it only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from analyzer.detectors.apiserver.apiserver_throttle_storm.load import Window

NEAR = timedelta(minutes=10)
"""How far around a storm its requests are looked at: what was in flight before it, retries and renewals after it."""


class Timeline(Struct, frozen=True):
    """`rows` are the requests that have a time, in order of it; `moments` are their times in microseconds."""

    rows: pl.DataFrame
    moments: NDArray[np.int64]

    def near(self, window: Window) -> pl.LazyFrame:
        """The requests from NEAR before the window until NEAR after it."""
        low, high = (_microseconds(one) for one in (window.start - NEAR, window.end + NEAR))
        first = int(np.searchsorted(self.moments, low))
        last = int(np.searchsorted(self.moments, high, side="right"))
        return self.rows.slice(first, last - first).lazy()

    def outside(self, windows: Sequence[Window]) -> pl.LazyFrame:
        """The requests that lie in no window. Windows are in order and do not overlap."""
        starts, ends = (
            np.array([_microseconds(one) for one in edges], dtype=np.int64)
            for edges in ([window.start for window in windows], [window.end for window in windows])
        )
        place = np.searchsorted(starts, self.moments, side="right") - 1
        inside = (place >= 0) & (self.moments <= ends[place])
        return self.rows.filter(pl.Series(~inside)).lazy()


def _microseconds(moment: datetime) -> int:
    return int(pl.Series([moment], dtype=pl.Datetime("us", "UTC")).to_physical()[0])


def timeline(requests: pl.LazyFrame) -> Timeline:
    """The requests in order. They are given in order of time, those without one first."""
    rows = requests.collect()
    rows = rows.slice(rows["time"].null_count())
    return Timeline(rows, rows["time"].to_physical().to_numpy())
