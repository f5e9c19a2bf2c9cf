"""Answers that leave at the beat of the CPU quota's period, as a capture of plaintext HTTP shows them.

A group that ran out of its quota goes on when the period's timer next fires, and the timer keeps its beat
(kernel/sched/fair.c, start_cfs_bandwidth: hrtimer_forward_now by whole periods). So answers that were held up leave in
one phase of the period, whenever their requests came, while answers that were not leave at any. A program that waits
100 ms leaves at any phase too; one that collects answers and sends them by a timer leaves in phase with all of them.
"""

from __future__ import annotations

from datetime import datetime
from math import pi

import polars as pl
from msgspec import Struct

from analyzer.facts.contract import Frames
from analyzer.facts.http_requests import HTTP_REQUESTS

WINDOW = "10m"
"""A clock that runs 10 millionths fast against the node's shifts the phase by 6 ms in this time."""

MOST = 10
"""Servers that have a finding each, those with most stalls."""

FEWEST_QUICK = 20
"""Quick answers that are needed to see that these keep no beat."""

QUICK_BEAT = 0.5
"""Beat of the quick answers from which the program keeps it, not the kernel [an engineering default]."""

LEAD = 0.3
"""By how much the beat of the held-up answers must exceed that of their requests [an engineering default]."""


class Limits(Struct, frozen=True, kw_only=True):
    """Thresholds; see the detector's settings. `beat` is the mean resultant length of phases, from 0 to 1."""

    period: float
    stalls: int
    beat: float


class Stalls(Struct, frozen=True, kw_only=True):
    """One server; `rows` are its held-up requests, `quick` the median of the others, beats those of the best window."""

    server: str
    port: int
    rows: pl.DataFrame
    answers: int
    quick: float
    beat: float
    quick_beat: float
    asked_beat: float
    peers: float | None

    @property
    def start(self) -> datetime:
        found: datetime = self.rows["time"].item(0)
        return found

    @property
    def end(self) -> datetime:
        found: datetime = self.rows["answered"].sort().item(-1)
        return found

    @property
    def seconds(self) -> float:
        """What the held-up answers took above the median of the others."""
        return float((self.rows["duration_seconds"] - self.quick).sum())


def stalls(frames: Frames, limits: Limits) -> list[Stalls]:
    """Servers whose held-up answers keep the beat, sorted by address."""
    if HTTP_REQUESTS not in frames:
        return []
    requests = _phased(frames[HTTP_REQUESTS], limits.period)
    server = ["server", "server_port"]
    windows = requests.group_by(*server, "window", "slow").agg(
        pl.len().alias("n"),
        *(_beat(name) for name in ("answered", "asked")),
    )
    slow = windows.filter("slow", pl.col("n") >= limits.stalls)
    quick = windows.filter(~pl.col("slow")).select(*server, "window", quick_n="n", quick_beat="answered")
    both = slow.join(quick, on=[*server, "window"], how="inner").filter(
        pl.col("quick_n") >= FEWEST_QUICK,
        pl.col("answered") >= limits.beat,
        pl.col("quick_beat") <= QUICK_BEAT,
        pl.col("answered") - pl.col("asked") >= LEAD,
    )
    best = both.sort("answered", "window", descending=[True, False]).unique(server, keep="first", maintain_order=True)
    best = best.sort("n", *server, descending=[True, False, False]).head(MOST)
    return [_one(requests, row) for row in best.sort(server).iter_rows(named=True)]


def _phased(requests: pl.LazyFrame, period: float) -> pl.DataFrame:
    """Answered requests with `slow` and the phases of request and answer."""
    micros = round(period * 1e6)
    answered = requests.filter(
        ~pl.col("covered"), ~pl.col("metadata").fill_null(False), pl.col("duration_seconds") > 0
    ).filter(pl.col("time").is_not_null(), pl.col("answered").is_not_null())
    turn = {
        name: (pl.col(column).dt.epoch("us") % micros) * (2 * pi / micros)
        for name, column in (("answer_phase", "answered"), ("asked_phase", "time"))
    }
    return (
        answered.with_columns(
            slow=pl.col("duration_seconds") >= period / 2, window=pl.col("time").dt.truncate(WINDOW), **turn
        )
        .sort("time", "source", "number")
        .collect()
    )


def _beat(name: str) -> pl.Expr:
    """The mean resultant length of phases: 1 where all are equal, about 0 where they are spread evenly."""
    phase = pl.col("answer_phase" if name == "answered" else "asked_phase")
    return (phase.cos().mean().pow(2) + phase.sin().mean().pow(2)).sqrt().alias(name)


def _one(requests: pl.DataFrame, row: dict[str, object]) -> Stalls:
    own = requests.filter(pl.col("server") == row["server"], pl.col("server_port") == row["server_port"])
    near = requests.filter(pl.col("server_port") == row["server_port"], pl.col("server") != row["server"])
    near = near.filter(pl.col("source").is_in(own["source"].unique().implode()))
    others = near.group_by("server").agg(pl.col("slow").mean())["slow"]
    quick = own.filter(~pl.col("slow"))["duration_seconds"].median()
    return Stalls(
        server=str(row["server"]),
        port=int(own["server_port"][0]),
        rows=own.filter("slow"),
        answers=own.height,
        quick=float(quick) if isinstance(quick, float) else 0.0,
        beat=float(row["answered"]),  # type: ignore[arg-type]  # a float of the frame
        quick_beat=float(row["quick_beat"]),  # type: ignore[arg-type]
        asked_beat=float(row["asked"]),  # type: ignore[arg-type]
        peers=None if not others.len() else float(others.median()),  # type: ignore[arg-type]  # untyped by polars
    )
