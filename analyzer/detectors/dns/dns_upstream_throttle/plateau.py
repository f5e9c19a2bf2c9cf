"""Whether an upstream answers so many queries a second and no more."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

SECONDS = 5
"""Seconds with loss, and seconds below the rate without, that a limit must be seen in [an engineering default]."""
LEAST = 10
"""Answers a second below which no rate is told from chance [an engineering default]."""
FLAT = 0.2
"""How far the answers of a second may lie from the limit: seconds of a limiter do not begin with ours."""
STEADY = 0.8
"""Share of the seconds with loss that must be so near to it, and of the limit up to which nothing may be lost."""
LOSS = 0.01
"""Loss that is none."""

FORWARDED_SECONDS = 0.0005
"""A log line of less was answered from CoreDNS's cache: no answer from outside the node comes so soon [an engineering
default]."""


def handed_on() -> pl.Expr:
    """Of forwarded queries, those that the cache did not answer."""
    cached = ~pl.col("failed") & (pl.col("duration_seconds") < FORWARDED_SECONDS)
    return ~cached.fill_null(False)


def plateau(upstream: pl.DataFrame, asked: pl.DataFrame) -> float | None:
    """The answers a second that an upstream does not exceed; None where there is no such limit to be seen.

    A limit is told from loss by chance by three signs: answers stay flat while queries rise, hardly a second has more
    of them, and nothing is lost in seconds that ask for less. `upstream` are CoreDNS's own queries of the whole
    evidence, each server of the cluster by itself, because limits are laid on interfaces; where a log has to do,
    `asked` are the forwarded queries of clients, each log by itself.
    """
    own = upstream.select("time", who="client", lost="failed")
    logged = asked.filter(pl.col("origin") == "log", handed_on())
    rows = own if own.height else logged.select("time", who="source", lost="failed")
    levels = [level for part in _seconds(rows) if (level := _level(part)) is not None]
    return max(levels, default=None)


def _seconds(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    counts = (
        rows.filter(pl.col("time").is_not_null())
        .group_by("who", pl.col("time").dt.truncate("1s").alias("second"))
        .agg(pl.len().cast(pl.Float64).alias("sent"), pl.col("lost").sum().cast(pl.Float64))
        .filter(pl.col("lost").sum().over("who") > 0)
        .sort("who", "second")
    )
    yield from counts.partition_by("who") if counts.height else []


def _level(seconds: pl.DataFrame) -> float | None:
    sent, lost = seconds["sent"].to_numpy(), seconds["lost"].to_numpy()
    answered = sent - lost
    lossy = lost > LOSS * sent
    if lossy.sum() < SECONDS:
        return None
    # The first and the last second of loss are lossy in part only.
    level = float(np.median(answered[lossy]))
    near = np.abs(answered[lossy] - level) <= FLAT * level
    below = sent <= STEADY * level
    if level < LEAST or near.mean() < STEADY or below.sum() < SECONDS:
        return None
    calm = lost[below].sum() <= LOSS * sent[below].sum()
    capped = np.quantile(answered, 0.95) <= (1 + FLAT) * level
    return level if calm and capped else None
