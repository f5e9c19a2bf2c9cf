"""Requests in flight, second by second, from when they came and how long they took."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray


def occupancy(requests: pl.DataFrame, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean number of requests in flight between neighbouring edges, from columns at and took (seconds)."""
    starts = np.sort(requests["at"].to_numpy())
    ends = np.sort((requests["at"] + requests["took"]).to_numpy())
    spent = _passed(starts, edges) - _passed(ends, edges)
    return np.diff(spent) / np.diff(edges)


def _passed(moments: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the time since each moment, at each edge."""
    before = np.searchsorted(moments, edges)
    sums: NDArray[np.float64] = np.concatenate([[0.0], np.cumsum(moments)])
    passed: NDArray[np.float64] = before * edges - sums[before]
    return passed
