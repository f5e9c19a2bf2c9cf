"""The storm without one agent: requests in flight by Little's law, second by second, against the server's limit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from analyzer.detectors.apiserver.apiserver_throttle_storm.flight import occupancy
from analyzer.detectors.apiserver.apiserver_throttle_storm.load import AGENT, LEAST_COST, Window
from analyzer.model import Column, EvidenceTable, Saving

BURST = 10.0
"""Most by which the peak of a second is taken to be above its mean (engineering default)."""


class Replay(Struct, frozen=True):
    """`limit` requests in flight were possible; without the agent at most `peak` would have been wanted."""

    observed: int
    modelled: int
    limit: float
    peak: float
    estimated: bool

    @property
    def verdict(self) -> str:
        if self.modelled == 0:
            return f"in flight would have stayed at {self.peak:.3g} or below, under {self.limit:.3g}: no storm"
        return f"up to {self.peak:.3g} of {self.limit:.3g} would have been wanted: part of the storm would remain"


def replays(requests: pl.LazyFrame, window: Window, agents: Sequence[str], limit: float) -> dict[str, Replay]:
    """What would have been rejected had each of `agents`, taken alone, sent nothing.

    In flight is the time that served requests spent in each second (Little's law: rate times mean time), those that
    came before the window among them; a rejected request would have taken what those of its kind took.

    A second's mean is less than its peak, at which the server rejects. So without a `limit` a second stays full if as
    much would have been wanted in it as was in flight: its peaks are taken to be as much above its mean as they were,
    but not more than BURST times.
    The limit is then the most that was in flight in any second with rejections, for so many the server did hold: on a
    recorded server with --max-requests-inflight=8 this gives 8.6.
    """
    rows = _rows(requests, window)
    edges = np.arange(math.floor(window.seconds) + 2, dtype=np.float64)
    flight, rejected, cost = _measured(rows, edges)
    most = float(flight[rejected > 0].max(initial=0.0))
    full = np.full_like(flight, limit) if limit > 0 else flight.clip(min=most / BURST)
    found = {}
    for agent in agents:
        own_flight, own_rejected, own_cost = _measured(rows.filter(pl.col("agent") == agent), edges)
        left = rejected - own_rejected
        wanted = (flight - own_flight + cost - own_cost).clip(min=0.0)
        # sums of the same times in another order differ in the last digits
        stays = (left > 0) & (wanted >= full * (1 - LEAST_COST))
        found[agent] = Replay(
            observed=int(rejected.sum()),
            modelled=int(left[stays].sum()),
            limit=limit if limit > 0 else most,
            peak=float(wanted.max(initial=0.0)),
            estimated=limit <= 0,
        )
    return found


def _rows(requests: pl.LazyFrame, window: Window) -> pl.DataFrame:
    """What was in flight in the window, or rejected in it: agent, at, took (seconds), throttled, cost (seconds)."""
    took = pl.col("took").filter(~pl.col("throttled")).mean()
    kind = ["verb", "resource"]
    return (
        requests.filter(pl.col("time") <= window.end, pl.coalesce("end_time", "time") >= window.start)
        .select(
            AGENT,
            *kind,
            (pl.col("time") - window.start).dt.total_microseconds().alias("at") / 1e6,
            pl.col("latency_seconds").fill_null(0.0).clip(lower_bound=0.0).alias("took"),
            "throttled",
        )
        # a rejected request from before the window is none of its own
        .filter(~pl.col("throttled") | (pl.col("at") >= 0))
        .sort("at", "took")
        .with_columns(
            pl.coalesce(took.over("agent", *kind), took.over(kind), took, pl.lit(LEAST_COST))
            .clip(lower_bound=LEAST_COST)
            .alias("cost")
        )
        .collect()
    )


def _measured(
    rows: pl.DataFrame, edges: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """In flight, rejected, and what the rejected would have had in flight, second by second."""
    served, refused = rows.filter(~pl.col("throttled")), rows.filter("throttled")
    at = refused["at"].to_numpy()
    cost: NDArray[np.float64] = np.histogram(at, edges, weights=refused["cost"].to_numpy())[0]
    return occupancy(served, edges), np.histogram(at, edges)[0], cost


def without_each(models: dict[str, Replay], names: dict[str, str]) -> EvidenceTable:
    """The replays beside each other: whose absence would have made a difference."""
    return EvidenceTable(
        caption="The storm replayed without each of these agents, one at a time",
        columns=(
            Column(name="without"),
            Column(name="rejected requests left", unit="requests"),
            Column(name="most in flight", unit="requests"),
            Column(name="limit", unit="requests"),
        ),
        rows=tuple(
            (names[agent], model.modelled, round(model.peak, 3), round(model.limit, 3))
            for agent, model in models.items()
        ),
    )


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
            "and those of theirs that were rejected would have taken the mean latency of their kind."
        ),
        formula="in flight = time that served requests spent in each second (Little's law); rejected "
        "requests of others count in those seconds only in which they alone would have filled the server as it was",
    )
