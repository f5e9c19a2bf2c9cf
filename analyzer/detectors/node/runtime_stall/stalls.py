"""Signals of a node that belong together: a stall."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from msgspec import Struct

from analyzer.detectors.node.runtime_stall.stall import Stall
from analyzer.facts.contract import Frames
from analyzer.facts.kubelet_starts import KUBELET_STARTS
from analyzer.frames import empty


class Limits(Struct, frozen=True, kw_only=True):
    """Settings of the detector."""

    start: float
    deadlines: int
    quiet: float
    down: float


def stalls(rows: pl.DataFrame, frames: Frames, limits: Limits) -> tuple[list[Stall], int]:
    """Stalls by node and time, and how many lines about the PLEG are of a kubelet's start."""
    young = _young(rows, frames, limits.start)
    early = rows.filter(young & (rows["weight"] == "pleg")).height
    found = [
        stall
        for (_,), own in rows.filter(~young).group_by("node", maintain_order=True)
        for stall in _stretches(own, limits.quiet)
        if passes(stall, limits)
    ]
    return sorted(found, key=lambda one: (one.name, one.start)), early


def _young(rows: pl.DataFrame, frames: Frames, seconds: float) -> pl.Series:
    """Which rows of the kubelet and the runtime come so shortly after the kubelet's start. A kernel's rows never do."""
    starts = (frames[KUBELET_STARTS] if KUBELET_STARTS in frames else empty(KUBELET_STARTS.table).lazy()).collect()
    met = rows.with_row_index("row").join_asof(
        starts.select("node", began="time").sort("began"),
        left_on="time",
        right_on="began",
        by="node",
        strategy="backward",
        tolerance=f"{round(seconds * 1e6)}us",
        check_sortedness=False,
    )
    kernel = pl.col("kind").is_in(["hung task", "I/O error", "freezer", "hung task Event"])
    return met.sort("row").select((pl.col("began").is_not_null() & ~kernel).alias("young")).to_series()


def _stretches(rows: pl.DataFrame, quiet: float) -> Iterator[Stall]:
    """Parts of a node's rows with no more than so many quiet seconds between signals. What only says why belongs to the
    stretch in whose time it stands, or a quiet time around it."""
    told = rows.filter(pl.col("weight") != "context")
    if not told.height:
        return
    name = rows["node"][0]
    apart = (told["time"].diff().dt.total_microseconds() > quiet * 1e6).fill_null(False)
    context = rows.filter(pl.col("weight") == "context").sort("time")
    places = context["time"].dt.epoch("us").to_numpy()
    around = round(quiet * 1e6)
    for _, part in told.group_by(apart.cum_sum().alias("part"), maintain_order=True):
        span = part["time"].dt.epoch("us")
        low, high = np.searchsorted(places, [span[0] - around, span[-1] + around + 1])
        near = context[int(low) : int(high)]
        whole = pl.concat([part.select(rows.columns), near]).sort("time", "source", "number", "kind")
        yield Stall(name=name, rows=whole, counts=dict(whole.group_by("kind").len().iter_rows()))


def passes(stall: Stall, limits: Limits) -> bool:
    """A line about the PLEG; or so many deadlines and hung tasks; or one of them beside a weaker sign; or a runtime
    that is down for longer than its restart takes."""
    strong = stall.rows.filter(pl.col("weight") == "strong").height
    weak = stall.rows.filter(pl.col("weight") == "weak").height
    return bool(stall.count("PLEG")) or strong >= limits.deadlines or bool(strong and weak) or stall.down >= limits.down
