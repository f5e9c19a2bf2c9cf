"""Storms that come back in each credential's last minutes: a proxy keeps what the SDK already wants to replace."""

from __future__ import annotations

import polars as pl
from msgspec import Struct

MOSTLY = 0.5
"""Part of the refreshes that must belong to such bursts."""


class Lives(Struct, frozen=True, kw_only=True):
    """Bursts, each within the life of one credential: mean seconds of one, mean seconds that the credential had
    left at its end, and from the start of one to the start of the next (None: there is one only)."""

    bursts: int
    length: float
    left: float
    period: float | None


def bursts(used: pl.DataFrame, least: int) -> Lives | None:
    """The bursts that a renewed credential ended, if they make up the storm; None where they do not.

    metadataproxy before 2.0 hands the same credential out until 5 minutes before its end, while some SDKs want another
    from 15 minutes on (lyft/metadataproxy, CHANGELOG, 2.0.0): they ask at every call for 10 minutes, then no more. A
    credential that never has enough life left is another trouble: its storm has no end.
    """
    who = ["user_agent"]
    short = (pl.col("remaining_seconds") < pl.col("window")).fill_null(False)
    begins = pl.col("time").filter(short).min()
    lives = (
        used.filter(pl.col("expires_at").is_not_null())
        .group_by(*who, "expires_at")
        .agg(
            begins.alias("begins"),
            pl.col("time").filter(short).max().alias("ends"),
            short.sum().alias("count"),
            pl.col("remaining_seconds").filter(short).min().alias("left"),
            (~short).any().alias("enough"),
        )
        .sort(*who, "expires_at", nulls_last=True)
        .with_columns(renewed=pl.col("enough").shift(-1).over(who).fill_null(False))
        .filter("renewed", pl.col("count") >= least)
    )
    if lives["count"].sum() < max(MOSTLY * used.filter(short).height, 1):
        return None
    apart = (pl.col("begins") - pl.col("begins").shift(1).over(who)).dt.total_microseconds() / 1e6
    told = lives.with_columns(apart=apart, length=(pl.col("ends") - pl.col("begins")).dt.total_microseconds() / 1e6)
    period = told["apart"].drop_nulls()
    return Lives(
        bursts=lives.height,
        length=float(told["length"].to_numpy().mean()),
        left=float(told["left"].to_numpy().mean()),
        period=float(period.to_numpy().mean()) if period.len() else None,
    )
