"""Which clients flood the resolver, when, and what they asked meanwhile."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from analyzer.facts.audit_windows import BIN_SECONDS, QUIET_BINS
from analyzer.facts.neighbours import hashed

I64 = NDArray[np.int64]

MINUTE = BIN_SECONDS * 1_000_000
"""Microseconds for which a rate must hold."""

OTHERS = 4
"""Other clients in a minute that a median of them needs [an engineering default]."""


class Limits(Struct, frozen=True):
    """Thresholds: queries per second, a share of all queries, times the median client, least queries per second."""

    rate: float
    share: float
    step: float
    least: float


class Flood(Struct, frozen=True):
    """One client's window. `queries` are its own (time, source, number, origin, name, qtype, rcode, ...) in order."""

    client: str
    start: datetime
    end: datetime
    fast: bool
    queries: pl.DataFrame
    all_queries: int
    others: pl.DataFrame

    @property
    def seconds(self) -> float:
        return max((self.end - self.start).total_seconds(), 1.0)

    @property
    def rate(self) -> float:
        return self.queries.height / self.seconds

    @property
    def share(self) -> float:
        return self.queries.height / self.all_queries

    @property
    def failed(self) -> float:
        """Share of its answered or given-up queries that failed."""
        known = self.queries["rcode"].drop_nulls()
        return float((~known.is_in(["NOERROR", "NXDOMAIN"])).mean() or 0) if len(known) else 0.0  # type: ignore[arg-type]


def floods(queries: pl.DataFrame, limits: Limits) -> list[Flood]:
    """Every client's windows, in order of time; `queries` are counted once each and sorted by time.

    A client floods while it asks at `rate` for a whole minute, wherever the minute begins, or in the minutes in which
    it asks `share` of all queries, `step` times the median of at least four others, at `least` queries a second.
    """
    if queries.height < BIN_SECONDS * min(limits.rate, limits.least):
        return []
    busy = _shares(queries, limits)
    heavy = queries["client"].value_counts().filter(pl.col("count") >= limits.rate * BIN_SECONDS)
    found = []
    for client in sorted({*heavy["client"], *busy["client"]}):
        own = queries.filter(pl.col("client") == client)
        time = own["time"].to_physical().to_numpy()
        fast = _fast(time, int(np.ceil(limits.rate * BIN_SECONDS)))
        minutes = busy.filter(pl.col("client") == client)["minute"].to_list()
        spans = [*fast, *((minute * MINUTE, (minute + 1) * MINUTE - 1) for minute in minutes)]
        for first, last in _merged(spans):
            inside = slice(*np.searchsorted(time, [first, last + 1]))
            part = own[inside]
            start, end = part["time"][0], part["time"][-1]
            meanwhile = queries.filter(pl.col("time").is_between(start, end))
            others = meanwhile.group_by("client").len("queries").sort(["queries", "client"], descending=[True, False])
            is_fast = any(first <= low and high <= last for low, high in fast)
            found.append(Flood(client, start, end, is_fast, part, meanwhile.height, others))
    return sorted(found, key=lambda flood: (flood.start, flood.client))


def _fast(time: I64, count: int) -> list[tuple[int, int]]:
    """Stretches in which every query is one of `count` that came within a minute."""
    if len(time) < max(count, 1):
        return []
    begin = np.flatnonzero(time[count - 1 :] - time[: len(time) - count + 1] <= MINUTE)
    if not len(begin):
        return []
    breaks = np.flatnonzero(np.diff(begin) >= count) + 1
    return [(int(time[part[0]]), int(time[part[-1] + count - 1])) for part in np.split(begin, breaks)]


def _shares(queries: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """`client` and `minute` (since the epoch) where one client outweighs all others."""
    minute = (pl.col("time").to_physical() // MINUTE).alias("minute")
    # By one number, because text is slow to group.
    asked = queries.select("client", minute).group_by(hashed(["client", "minute"]).alias("key"))
    counts = asked.agg(pl.col("client", "minute").first(), count=pl.len()).drop("key")
    top = pl.col("count") == pl.col("count").max().over("minute")
    # The median of the others: of all but the largest.
    rest = (
        counts.filter(~top).group_by("minute").agg(pl.col("count").median().alias("median"), pl.len().alias("others"))
    )
    return (
        counts.with_columns(share=pl.col("count") / pl.col("count").sum().over("minute"))
        .filter(top)
        .join(rest, on="minute")
        .filter(
            pl.col("share") >= limits.share,
            pl.col("count") >= limits.step * pl.col("median"),
            pl.col("count") >= limits.least * BIN_SECONDS,
            pl.col("others") >= OTHERS,
        )
        .select("client", "minute")
        .sort("client", "minute")
    )


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans with fewer than five quiet minutes between them are one."""
    whole: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if whole and low - whole[-1][1] < QUIET_BINS * MINUTE:
            whole[-1] = (whole[-1][0], max(high, whole[-1][1]))
        else:
            whole.append((low, high))
    return whole


def per_step(flood: Flood, step: timedelta) -> list[float]:
    """The client's queries in each step from the start of its window."""
    since = (flood.queries["time"] - flood.start).dt.total_microseconds().to_numpy()
    counts = np.bincount(since // (step // timedelta(microseconds=1)))
    return [float(count) for count in counts]
