"""When requests were rejected, who sent the load, and who paid for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl
from msgspec import Struct

from analyzer.facts.audit_windows import BIN_SECONDS, merged

AGENT = pl.coalesce("agent", pl.lit("")).alias("agent")


LEAST_COST = 1e-6
"""Seconds that any request is taken to cost: the resolution of audit times."""


class Window(Struct, frozen=True):
    """One storm: its first and last rejected request, in microseconds since the epoch for exact comparison."""

    start: datetime
    end: datetime
    rejected: pl.DataFrame

    @property
    def seconds(self) -> float:
        return max((self.end - self.start).total_seconds(), 1.0)

    @property
    def rows(self) -> pl.Expr:
        return pl.col("time").is_between(self.start, self.end)


def storms(rejected: pl.DataFrame, requests: pl.LazyFrame, per_minute: int, share: float) -> list[Window]:
    """Windows whose bins reject at least `per_minute` requests, or `share` of them, and `per_minute` in all.

    `rejected` are the throttled requests that have a time, sorted. Bins are counted from the first of them, so that
    no clock minute cuts a burst in two.
    """
    if not rejected.height:
        return []
    first = rejected["time"][0]
    place = ((pl.col("time") - first).dt.total_microseconds() // (BIN_SECONDS * 1_000_000)).alias("bin")
    bins = (
        requests.group_by(place)
        .agg(pl.len().alias("requests"), pl.col("throttled").sum().alias("rejected"))
        .filter((pl.col("rejected") >= per_minute) | (pl.col("rejected") >= share * pl.col("requests")))
        .filter(pl.col("rejected") > 0)
        .collect()
    )
    placed = rejected.with_columns(place)
    found = []
    for low, high in merged(bins["bin"].to_list()):
        inside = placed.filter(pl.col("bin").is_between(low, high)).drop("bin")
        if inside.height >= per_minute:
            found.append(Window(inside["time"][0], inside["time"][-1], inside))
    return found


def largest(windows: Sequence[Window], count: int) -> list[Window]:
    """Those of the windows that rejected most, in order of time."""
    chosen = sorted(windows, key=lambda window: (-window.rejected.height, window.start))[:count]
    return sorted(chosen, key=lambda window: window.start)


def by_agent(requests: pl.LazyFrame, window: Window, quiet_per_second: pl.DataFrame) -> pl.DataFrame:
    """One row per user agent family of the window, heaviest first.

    `requests`, `rejected`, `clients` (addresses) and `load`: its share of the in-flight seconds that were asked for. A
    rejected request is taken to cost what the served ones of the same agent, verb and resource cost on average, or all
    that were served; without any latency every request costs the same. What an agent sends in quiet times too
    (`quiet_per_second`: agent, rate) is not counted as load: it did not bring the storm.
    """
    inside = requests.filter(window.rows).with_columns(AGENT)
    kinds = (
        inside.group_by("agent", "verb", "resource")
        .agg(
            pl.len().alias("requests"),
            pl.col("throttled").sum().alias("rejected"),
            pl.col("latency_seconds").filter(~pl.col("throttled")).mean().alias("cost"),
            (~pl.col("throttled") & pl.col("latency_seconds").is_not_null()).sum().alias("served"),
        )
        .collect()
    )
    addresses = inside.group_by("agent").agg(pl.col("source_ip").n_unique().alias("clients")).collect()
    served = kinds.filter(pl.col("cost").is_not_null())
    total, count = served.select((pl.col("cost") * pl.col("served")).sum(), pl.col("served").sum()).row(0)
    mean = total / count if count else LEAST_COST
    sums = (
        kinds.with_columns(
            (pl.col("requests") * pl.col("cost").fill_null(mean).clip(lower_bound=LEAST_COST)).alias("asked")
        )
        .group_by("agent")
        .agg(pl.col("requests", "rejected", "asked").sum())
        .join(addresses, on="agent", how="left")
        .join(quiet_per_second, on="agent", how="left")
    )
    more = (1 - pl.col("rate").fill_null(0.0) * window.seconds / pl.col("requests")).clip(0, 1)
    loads = sums.with_columns((pl.col("asked") * more).alias("added"))
    column = "added" if loads["added"].sum() > 0 else "asked"
    return (
        loads.with_columns((pl.col(column) / pl.col(column).sum()).alias("load"))
        .sort(["load", "requests", "agent"], descending=[True, True, False])
        .select("agent", "requests", "rejected", "clients", "load")
    )


def quiet_rates(
    requests: pl.LazyFrame, outside: pl.LazyFrame, windows: Sequence[Window], least_seconds: float
) -> pl.DataFrame:
    """Requests per second of each agent `outside` of all windows; empty where less than `least_seconds` were quiet."""
    edges = requests.select(pl.col("time").min().alias("first"), pl.col("time").max().alias("last")).collect().row(0)
    whole = (edges[1] - edges[0]).total_seconds() if edges[0] is not None else 0.0
    quiet = whole - sum(window.seconds for window in windows)
    schema = {"agent": pl.String, "rate": pl.Float64}
    if quiet < least_seconds:
        return pl.DataFrame(schema=schema)
    counts = outside.group_by(AGENT).agg(pl.len().alias("n")).collect()
    return counts.select("agent", (pl.col("n") / quiet).alias("rate"))


def offenders(agents: pl.DataFrame, share: float) -> list[dict[str, Any]]:
    """The agents that were throttled and carry at least `share` of the load; else the heaviest throttled one."""
    throttled = agents.filter(pl.col("rejected") > 0)
    heavy = throttled.filter(pl.col("load") >= share)
    return (heavy if heavy.height else throttled.head(1)).rows(named=True)
