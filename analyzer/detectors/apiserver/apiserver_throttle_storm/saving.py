"""The storm without its offender: requests in flight by Little's law, second by second, against the server's limit."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

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

    L = sum of the latencies of the requests received in a second (Little: rate times mean time). Where `limit` is 0 it
    is taken from the log: the median L of the seconds in which requests were rejected, for then the server was full.
    """
    other = pl.col("agent") != agent
    served = ~pl.col("throttled")
    seconds = (
        requests.filter(window.rows)
        .with_columns(AGENT)
        .group_by(pl.col("time").dt.truncate("1s").alias("second"))
        .agg(
            pl.col("latency_seconds").filter(served).sum().alias("all"),
            pl.col("latency_seconds").filter(served & other).sum().alias("others"),
            pl.col("latency_seconds").filter(served & other).count().alias("others_served"),
            pl.col("throttled").sum().alias("rejected"),
            (pl.col("throttled") & other).sum().alias("others_rejected"),
        )
        .collect()
    )
    estimated = limit <= 0
    if estimated:
        limit = float(seconds.filter(pl.col("rejected") > 0)["all"].median() or 0.0)  # type: ignore[arg-type]
    count = int(seconds["others_served"].sum())
    mean = float(seconds["others"].sum()) / count if count else 0.0
    wanted = pl.col("others") + pl.col("others_rejected") * mean
    without = seconds.with_columns(wanted.alias("wanted"))
    full = without.filter((pl.col("wanted") >= limit) & (pl.col("others_rejected") > 0))
    return Replay(
        observed=int(seconds["rejected"].sum()),
        modelled=int(full["others_rejected"].sum()),
        limit=limit,
        peak=float(without["wanted"].max() or 0.0),  # type: ignore[arg-type]
        estimated=estimated,
    )


def saving(model: Replay, agent: str) -> Saving:
    """The replay as a saving."""
    source = (
        "the limit is not in the log: it is taken as the median in flight of the seconds with rejections"
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
        formula="in flight per second = sum of the latencies of the requests received in it (Little's law); rejected "
        "requests of others count in those seconds only in which they alone reach the limit",
    )
