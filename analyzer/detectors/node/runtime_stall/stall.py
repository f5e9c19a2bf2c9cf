"""One stall: the signals of a node in one stretch of time."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.node.runtime_stall.signals import FREEZER

_ID = r"^[0-9a-f]{32,64}$"

STRONG = ("stop deadline", "sandbox deadline", "hung task", "hung task Event", "failed health check")


EPISODE = 60
"""Seconds between two lines about a runtime that is down beyond which another episode begins: the kubelet says it every
five seconds (pkg/kubelet/kubelet.go, syncLoop: back-off 100 ms to 5 s)."""


SAME = 5.0
"""Seconds between two moments of which lines about the PLEG say that it was active then, that are one moment: the log's
own clock and what a line took to be written."""


NEXT = timedelta(minutes=5)
"""A node that is not ready so long before or after: a call that runs into its deadline began minutes before."""


class Stall(Struct, frozen=True, kw_only=True):
    """One node and one stretch of time; `rows` are its signals, in the order of time, and `counts` says how
    many there are of each kind."""

    name: str
    rows: pl.DataFrame
    counts: dict[str, int]

    def of(self, *kinds: str) -> pl.DataFrame:
        return self.rows.filter(pl.col("kind").is_in(kinds))

    def count(self, *kinds: str) -> int:
        return sum(self.counts.get(kind, 0) for kind in kinds)

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
        """The most of each episode, summed. An episode ends where the PLEG was active meanwhile: the moment that a line
        counts from is another one. Lines that are missing between do not end it."""
        active = pl.col("time") - pl.duration(microseconds=pl.col("seconds") * 1e6)
        rows = self.of("PLEG").with_columns(active=active).sort("active")
        again = (rows["active"].diff().dt.total_microseconds() > SAME * 1e6).fill_null(False)
        most = rows.with_columns(part=again.cum_sum()).group_by("part").agg(pl.col("seconds").max())
        return round(float(most["seconds"].fill_null(0).sum()), 6)

    @property
    def down(self) -> float:
        """Seconds of the longest stretch in which the kubelet says that the runtime is down."""
        rows = self.of("runtime down")
        apart = (rows["time"].diff().dt.total_seconds() > EPISODE).fill_null(False)
        spans = (
            rows.with_columns(part=apart.cum_sum()).group_by("part").agg(pl.col("time").max() - pl.col("time").min())
        )
        longest = spans["time"].dt.total_microseconds().max()
        return round(longest / 1e6, 6) if isinstance(longest, int) else 0.0

    @property
    def pods(self) -> int:
        """Containers or pods that could not be stopped. The kubelet says it of the container by its id, then of its pod
        by name: ids whose pods nothing tells are those of the pods that it names."""
        told = self.of("stop deadline", "failed kill")["about"].drop_nulls().unique()
        ids = int(told.str.contains(_ID).sum())
        return max(ids, told.len() - ids)

    @property
    def hung(self) -> int:
        """Tasks that hung: the kernel tells of each again and again (kernel/hung_task.c)."""
        return int(self.of("hung task")["about"].n_unique())

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
    def fell(self) -> bool:
        """Whether the node became not ready while it stood still, or next to that."""
        down = self.of("not ready")["time"]
        return bool(down.is_between(self.start - NEXT, self.end + NEXT).any())

    @property
    def hung_alone(self) -> bool:
        """Whether only tasks of the kernel stood still, for all that is told: they need not be the runtime's."""
        return self.signals["kind"].is_in(["hung task", "hung task Event"]).all()

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
