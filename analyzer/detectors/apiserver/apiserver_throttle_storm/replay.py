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
from analyzer.facts.audit_windows import short

BURST = 10.0
"""Most by which the peak of a second is taken to be above its mean (engineering default)."""

MOSTLY = 0.9
"""Share of the served requests whose priority level must be known, so that levels are replayed one by one."""


class Replay(Struct, frozen=True):
    """`limit` requests in flight were possible; without the agent at most `peak` would have been wanted. Where levels
    were replayed one by one these two are of the `level` that rejected most, else `level` is None."""

    observed: int
    modelled: int
    limit: float
    peak: float
    estimated: bool
    level: str | None = None

    @property
    def verdict(self) -> str:
        where = f" of priority level {short(self.level, 60)}" if self.level else ""
        if self.modelled == 0:
            return (
                f"at most {self.peak:.3g} requests{where} would have been in flight at a time, of the {self.limit:.3g} "
                "that are possible: no storm"
            )
        return (
            f"up to {self.peak:.3g} of {self.limit:.3g}{where} would have been wanted: part of the storm would remain"
        )


def replays(
    requests: pl.LazyFrame, window: Window, agents: Sequence[str], limit: float, levels: pl.DataFrame
) -> dict[str, Replay]:
    """What would have been rejected had each of `agents`, taken alone, sent nothing.

    In flight is the time that served requests spent in each second (Little's law: rate times mean time), those that
    came before the window among them; a rejected request would have taken what those of its kind took.

    A second's mean is less than its peak, at which the server rejects. So without a `limit` a second stays full if as
    much would have been wanted in it as was in flight: its peaks are taken to be as much above its mean as they were,
    but not more than BURST times.
    The limit is then the most that was in flight in any second with rejections, for so many the server did hold: on a
    recorded server with --max-requests-inflight=8 this gives 8.6.

    Each priority level has seats of its own, so where `levels` (audit_id, priority) tells that of every rejected
    request and of most others, each level is replayed by itself; else one limit is taken for the whole server.
    """
    rows = _rows(requests, window).join(levels.select("audit_id", "priority"), on="audit_id", how="left")
    edges = np.arange(math.floor(window.seconds) + 2, dtype=np.float64)
    parts = [_Part(name, part, edges, limit) for name, part in _levels(rows, limit)]
    # the level that rejected most stands for all where figures of one are told
    first = max(parts, key=lambda part: int(part.rejected.sum()))
    found = {}
    for agent in agents:
        left = [part.without(agent) for part in parts]
        found[agent] = Replay(
            observed=sum(int(part.rejected.sum()) for part in parts),
            modelled=sum(count for count, _ in left),
            limit=first.limit,
            peak=left[parts.index(first)][1],
            estimated=limit <= 0,
            level=first.name,
        )
    return found


def _levels(rows: pl.DataFrame, limit: float) -> list[tuple[str | None, pl.DataFrame]]:
    """The rows of each priority level where levels are known, by name; else all rows without a name."""
    known = rows.select(
        pl.col("priority").filter("throttled").is_not_null().all().alias("rejected"),
        pl.col("priority").filter(~pl.col("throttled")).is_not_null().mean().fill_null(1.0).alias("served"),
    ).row(0)
    if limit > 0 or not known[0] or known[1] < MOSTLY:
        return [(None, rows)]
    told = rows.filter(pl.col("priority").is_not_null()).partition_by("priority", as_dict=True, maintain_order=True)
    return sorted((str(key[0]), part) for key, part in told.items() if part["throttled"].any())


class _Part:
    """One limit and those who share it, second by second."""

    def __init__(self, name: str | None, rows: pl.DataFrame, edges: NDArray[np.float64], limit: float) -> None:
        self.name, self._rows, self._edges = name, rows, edges
        self._flight, self.rejected, self._cost = _measured(rows, edges)
        most = float(self._flight[self.rejected > 0].max(initial=0.0))
        self.limit = limit if limit > 0 else most
        self._full = np.full_like(self._flight, limit) if limit > 0 else self._flight.clip(min=most / BURST)

    def without(self, agent: str) -> tuple[int, float]:
        """Rejections left and the most that would have been wanted, had the agent sent nothing."""
        own_flight, own_rejected, own_cost = _measured(self._rows.filter(pl.col("agent") == agent), self._edges)
        left = self.rejected - own_rejected
        wanted = (self._flight - own_flight + self._cost - own_cost).clip(min=0.0)
        # sums of the same times in another order differ in the last digits
        stays = (left > 0) & (wanted >= self._full * (1 - LEAST_COST))
        return int(left[stays].sum()), float(wanted.max(initial=0.0))


def _rows(requests: pl.LazyFrame, window: Window) -> pl.DataFrame:
    """What was in flight in the window, or rejected in it: agent, audit_id, at, took and cost (seconds), throttled."""
    took = pl.col("took").filter(~pl.col("throttled")).mean()
    kind = ["verb", "resource"]
    return (
        requests.filter(pl.col("time") <= window.end, pl.coalesce("end_time", "time") >= window.start)
        .select(
            AGENT,
            "audit_id",
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
