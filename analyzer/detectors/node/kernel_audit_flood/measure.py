"""How many audit events a node makes a second, by their serials, and from when to when there are far too many."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyzer.detectors.node.kernel_audit_flood.flood import Flood, Limits
from analyzer.facts.audit_windows import BIN_SECONDS, merged

MOST_RATE = 100_000
"""Events a second that no kernel writes: a serial that jumps so far is damage."""

MOST_BOOTS = 2_000
"""Boots of nodes that are looked at, those with the most events first: a log may claim a boot with every line."""

MINUTES_BEFORE = 30
"""Minutes before a flood that are shown with it."""

SHORTEST = 10.0
"""Seconds of a minute that is cut, from which its rate is one."""

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

MONOTONE = 100
"""Serials below this are too small to tell a new boot by their fall."""


def floods(audit: pl.LazyFrame, limits: Limits) -> Iterator[Flood]:
    """The floods of every node, in order; rows without a time tell nothing of a rate."""
    rows = audit.filter(pl.col("time").is_not_null()).sort("node", "time", "source", "number").collect()
    before = pl.col("serial").forward_fill().shift(1).over("node")
    fall = ((pl.col("serial") < before / 2) & (before > MONOTONE)).fill_null(False)
    anew = (pl.col("what") == "boot") | fall
    rows = rows.with_columns(anew.cum_sum().over("node").alias("boot"))
    span = (pl.col("serial").max() - pl.col("serial").min()).fill_null(0)
    boots = rows.group_by("node", "boot").agg(span.alias("span"), pl.col("time").min().alias("began"))
    kept = boots.sort("span", "node", "boot", descending=[True, False, False]).head(MOST_BOOTS).drop("span", "began")
    chosen = rows.join(kept, on=["node", "boot"], how="semi", maintain_order="left")
    for boot in chosen.partition_by("node", "boot", maintain_order=True):
        yield from _of_boot(boot, limits)


def _of_boot(boot: pl.DataFrame, limits: Limits) -> Iterator[Flood]:
    records = boot.filter(pl.col("what") == "record")
    # A system call that lasted has a stamp older than its serial: such a record does not place the serial in time.
    in_order = pl.col("serial") <= pl.col("serial").reverse().cum_min().reverse()
    placed = records.filter(in_order).unique("serial", keep="first", maintain_order=True)
    if placed.height < 2:
        return
    seconds = placed["time"].dt.epoch("us").to_numpy() / 1e6
    serials = placed["serial"].to_numpy().astype(np.float64)
    bins = np.unique(np.floor(seconds / BIN_SECONDS).astype(np.int64))
    ends = np.clip(np.stack([bins, bins + 1]) * float(BIN_SECONDS), seconds[0], seconds[-1])
    at = np.interp(ends, seconds, serials)
    # The first and the last minute are cut where the log begins and ends.
    rates = (at[1] - at[0]) / np.maximum(ends[1] - ends[0], SHORTEST)
    flooded, before = _flooded(bins, rates, at, limits)
    for first, last in merged(bins[flooded].tolist()):
        if int(((bins >= first) & (bins <= last) & flooded).sum()) >= limits.minutes:
            yield _flood(boot, placed, (first, last), before)


def _flooded(bins: Ints, rates: Floats, at: Floats, limits: Limits) -> tuple[Bools, float | None]:
    """Which minutes are flooded, and the rate of the quiet time, None where there is too little of it. `at` holds the
    serials at the beginning and at the end of the minutes."""
    low = float(np.quantile(rates, 0.1))
    sound = rates <= MOST_RATE
    step = min(limits.factor * low, limits.much) if low < limits.alone else 0.0
    hot = sound & (rates >= max(limits.rate, step))
    quiet_minutes = int(bins[-1] - bins[0]) + 1 - int(hot.sum())
    if quiet_minutes < limits.quiet_minutes:
        return sound & (rates >= limits.alone), None
    events = float(at[1, -1] - at[0, 0]) - float((at[1] - at[0])[hot | ~sound].sum())
    before = max(events, 0.0) / (quiet_minutes * BIN_SECONDS)
    return hot & (rates >= min(limits.factor * before, limits.much)), before


def _flood(boot: pl.DataFrame, placed: pl.DataFrame, window: tuple[int, int], before: float | None) -> Flood:
    bins = pl.col("time").dt.epoch("us") // (BIN_SECONDS * 1_000_000)
    inside = bins.is_between(*window)
    rows = boot.filter(inside)
    serials = placed.filter(inside)["serial"]
    records = rows.filter(pl.col("what") == "record")
    return Flood(
        node=boot["node"][0],
        rows=records,
        placed=placed.filter(inside),
        course=placed.filter(bins.is_between(window[0] - MINUTES_BEFORE, window[1])),
        told=rows.filter(pl.col("what") != "record"),
        events=int(serials[-1] - serials[0]) + 1,
        before=before,
        since_boot=_since_boot(boot, placed, records["time"][0]),
    )


def _since_boot(boot: pl.DataFrame, placed: pl.DataFrame, first: datetime) -> float | None:
    """Seconds from the boot, by a line of it, else by the first serials of all; None where it is not in the log."""
    began = (
        boot.filter(pl.col("what") == "boot")["time"].to_list()
        or placed.filter(pl.col("serial") <= MONOTONE)["time"].to_list()
    )
    return (first - began[0]).total_seconds() if began else None
