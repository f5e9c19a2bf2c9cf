"""The storm without its offender: requests in flight by Little's law, second by second, against the server's limit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyzer.detectors.apiserver.apiserver_throttle_storm.load import AGENT, Window
from analyzer.model import Saving


@dataclass(frozen=True, slots=True)
class Replay:
    """`limit` requests in flight were possible; without the offender at most `peak` would have been wanted."""

    observed: int
    modelled: int
    limit: float
    peak: float
    estimated: bool

    @property
    def verdict(self) -> str:
        if self.modelled == 0:
            return f"in flight would have stayed at {self.peak:.3g} or below, under {self.limit:.3g}: no storm"
        return f"in flight would have reached {self.peak:.3g} against {self.limit:.3g}: part of the storm would remain"


def replay(requests: pl.LazyFrame, window: Window, agent: str, limit: float) -> Replay:
    """What would have been rejected had `agent` sent nothing.

    In flight is the time that served requests spent in each second (Little's law: rate times mean time). Where `limit`
    is 0 it is taken from the log: the most that was in flight in any second in which requests were rejected, for so
    many the server did hold. On a recorded server with --max-requests-inflight=8 this gives 8.1.
    """
    inside = requests.filter(window.rows).with_columns(AGENT.eq(agent).alias("mine"))
    rows = inside.select(
        (pl.col("time") - window.start).dt.total_microseconds().alias("at") / 1e6,
        pl.col("latency_seconds").fill_null(0.0).clip(lower_bound=0.0).alias("took"),
        "throttled",
        "mine",
    ).collect()
    edges = np.arange(math.floor(window.seconds) + 2, dtype=np.float64)
    served, others = rows.filter(~pl.col("throttled")), rows.filter(~pl.col("throttled"), ~pl.col("mine"))
    flight, flight_of_others = occupancy(served, edges), occupancy(others, edges)
    rejected = _counts(rows.filter("throttled"), edges)
    rejected_of_others = _counts(rows.filter(pl.col("throttled"), ~pl.col("mine")), edges)
    estimated = limit <= 0
    if estimated:
        limit = float(flight[rejected > 0].max(initial=0.0))
    mean = float(others["took"].mean() or 0.0)  # type: ignore[arg-type]
    wanted = flight_of_others + rejected_of_others * mean
    full = (wanted >= limit) & (rejected_of_others > 0)
    return Replay(
        observed=int(rejected.sum()),
        modelled=int(rejected_of_others[full].sum()),
        limit=limit,
        peak=float(wanted.max(initial=0.0)),
        estimated=estimated,
    )


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


def _counts(requests: pl.DataFrame, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.histogram(requests["at"].to_numpy(), edges)[0]


def saving(model: Replay, agent: str) -> Saving:
    """The replay as a saving."""
    source = (
        "the limit is not in the log: it is taken as the most that was in flight in a second with rejections"
        if model.estimated
        else "the limit is as set"
    )
    return Saving(
        fix=f"no requests of {agent}",
        observed=model.observed,
        modelled=model.modelled,
        unit="rejected requests",
        assumption=(
            f"Without {agent} {model.verdict}; {source} ({model.limit:.3g}). Others would have sent the same requests, "
            "and those of theirs that were rejected would have taken their mean latency."
        ),
        formula="in flight = time that served requests spent in each second (Little's law); rejected "
        "requests of others count in those seconds only in which they alone reach the limit",
    )
