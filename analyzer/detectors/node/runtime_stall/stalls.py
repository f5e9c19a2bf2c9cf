"""Signals of a node that belong together: a stall."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.detectors.node.runtime_stall.signals import FREEZER
from analyzer.facts.contract import Frames
from analyzer.facts.kubelet_starts import KUBELET_STARTS
from analyzer.frames import empty

STRONG = ("stop deadline", "sandbox deadline", "hung task")
EPISODE = 60
"""Seconds between two lines about the PLEG beyond which another episode begins: the kubelet says it every five seconds
(pkg/kubelet/kubelet.go, syncLoop: back-off 100 ms to 5 s)."""


class Limits(Struct, frozen=True, kw_only=True):
    """Settings of the detector."""

    start: float
    deadlines: int
    quiet: float


class Stall(Struct, frozen=True, kw_only=True):
    """One node and one stretch of time; `rows` are its signals, in the order of time."""

    name: str
    rows: pl.DataFrame

    def of(self, *kinds: str) -> pl.DataFrame:
        return self.rows.filter(pl.col("kind").is_in(kinds))

    def count(self, *kinds: str) -> int:
        return self.of(*kinds).height

    @property
    def signals(self) -> pl.DataFrame:
        """Without what only says why, or how it went on."""
        return self.rows.filter(pl.col("weight") != "context")

    @property
    def longest(self) -> float:
        """Seconds since the PLEG was last active, at the most."""
        found = self.of("PLEG")["seconds"].max()
        return float(found) if isinstance(found, float) else 0.0

    @property
    def stalled(self) -> float:
        """The most of each episode, summed. An episode ends where the PLEG was active meanwhile."""
        rows = self.of("PLEG")
        apart = (rows["time"].diff().dt.total_seconds() > EPISODE).fill_null(False)
        again = (rows["seconds"].diff() < 0).fill_null(False)
        most = rows.with_columns(part=(apart | again).cum_sum()).group_by("part").agg(pl.col("seconds").max())
        return round(float(most["seconds"].fill_null(0).sum()), 6)

    @property
    def pods(self) -> int:
        """Containers or pods that could not be stopped."""
        return int(self.of("stop deadline", "failed kill")["about"].drop_nulls().n_unique())

    @property
    def not_ready(self) -> float | None:
        """Seconds from `not ready` to the next `ready`; None where either is not told."""
        total, since, told = 0.0, None, False
        for time, kind in self.of("not ready", "ready").select("time", "kind").iter_rows():
            if kind == "not ready":
                since = since or time
            elif since is not None:
                total, since, told = total + (time - since).total_seconds(), None, True
        return round(total, 6) if told else None

    @property
    def kernel(self) -> bool:
        return self.count("hung task", "freezer", "I/O error", "hung task Event") > 0

    @property
    def kubelet(self) -> bool:
        return self.count("PLEG", "stop deadline", "sandbox deadline") > 0

    @property
    def variant(self) -> str:
        if self.count("freezer") or self.rows["text"].str.contains(FREEZER).any():
            return "frozen cgroup"
        if self.count("hung task", "I/O error", "hung task Event"):
            return "blocked I/O"
        return "runtime does not answer"

    @property
    def start(self) -> datetime:
        first: datetime = self.signals["time"][0]
        return first

    @property
    def end(self) -> datetime:
        last: datetime = self.signals["time"][-1]
        return last


def stalls(rows: pl.DataFrame, frames: Frames, limits: Limits) -> tuple[list[Stall], int]:
    """Stalls by node and time, and how many lines about the PLEG are of a kubelet's start."""
    young = _young(rows, frames, limits.start)
    early = rows.filter(young & (rows["weight"] == "pleg")).height
    found = [
        stall
        for (_,), own in rows.filter(~young).group_by("node", maintain_order=True)
        for stall in _stretches(own, limits.quiet)
        if passes(stall, limits.deadlines)
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
    kernel = pl.col("kind").is_in(["hung task", "I/O error", "freezer"])
    return met.sort("row").select((pl.col("began").is_not_null() & ~kernel).alias("young")).to_series()


def _stretches(rows: pl.DataFrame, quiet: float) -> Iterator[Stall]:
    """Parts of a node's rows with no more than so many quiet seconds between signals. What only says why belongs to the
    stretch in whose time, or within a quiet time after it, it stands."""
    told = rows.filter(pl.col("weight") != "context")
    if not told.height:
        return
    name = next((host for host in rows["host"].to_list() if host), rows["node"][0])
    apart = (told["time"].diff().dt.total_microseconds() > quiet * 1e6).fill_null(False)
    around = pl.duration(microseconds=round(quiet * 1e6))
    for _, part in told.group_by(apart.cum_sum().alias("part"), maintain_order=True):
        low, high = part["time"][0], part["time"][-1]
        context = rows.filter(
            pl.col("weight") == "context",
            pl.col("time") >= pl.lit(low) - around,
            pl.col("time") <= pl.lit(high) + around,
        )
        whole = pl.concat([part.select(rows.columns), context]).sort("time", "source", "number", "kind")
        yield Stall(name=name, rows=whole)


def passes(stall: Stall, deadlines: int) -> bool:
    """A line about the PLEG; or so many deadlines and hung tasks; or one of them beside a weaker sign."""
    strong = stall.count(*STRONG)
    weak = stall.rows.filter(pl.col("weight") == "weak").height
    return bool(stall.count("PLEG")) or strong >= deadlines or bool(strong and weak)
