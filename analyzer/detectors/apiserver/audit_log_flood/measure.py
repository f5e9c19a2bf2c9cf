"""Records and bytes of the audit log by minute and user, and the minutes in which one user floods it."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from analyzer.facts.audit_windows import BIN_SECONDS, merged
from analyzer.facts.requests import TOO_MANY

WRITTEN = pl.coalesce("stage_time", "time").alias("written")
"""When the record was written: the end of its stage."""

WRITER = pl.coalesce("user", pl.lit("")).alias("user")

HALF = 0.5
"""Share of a minute's records or bytes from which one user dominates it."""

LOOPBACK = "system:apiserver"
STARTUP_BINS = 2
"""An apiserver lists everything when it starts; this lasts a minute, which two bins hold."""


class Limits(Struct, frozen=True):
    """Thresholds of a flood, per bin of 60 s."""

    step: float
    quiet_bins: int
    least_records: float
    least_bytes: float
    alone_records: float
    alone_bytes: float


class Flood(Struct, frozen=True):
    """One writer's window; `before` is its rate of records in quiet minutes, None where there were none to measure."""

    user: str
    start: datetime
    end: datetime
    bins: int
    baseline: bool
    before: float | None

    @property
    def rows(self) -> pl.Expr:
        return pl.col("written").is_between(self.start, self.end)

    @property
    def seconds(self) -> float:
        return max((self.end - self.start).total_seconds(), 1.0)


def by_minute(events: pl.LazyFrame) -> pl.DataFrame:
    """`bin` (minutes since the epoch), `user`, `records`, `bytes`, `first`, `last`, and the minute's whole as all_*."""
    place = (pl.col("written").dt.epoch("s") // BIN_SECONDS).alias("bin")
    counts = (
        events.group_by(place, "user")
        .agg(
            pl.len().alias("records"),
            pl.col("event_bytes").sum().alias("bytes"),
            pl.col("written").min().alias("first"),
            pl.col("written").max().alias("last"),
        )
        .sort("bin", "user")
        .collect()
    )
    return counts.with_columns(
        pl.col("records").sum().over("bin").alias("all_records"), pl.col("bytes").sum().over("bin").alias("all_bytes")
    )


def floods(minutes: pl.DataFrame, limits: Limits) -> list[Flood]:
    """Every writer's windows, in order of time.

    The quiet minutes of a writer are those that it does not dominate; with enough of them a flood is a step over
    their median, else an absolute rate. The minutes beside a flood that the writer dominates too are its edges.
    """
    dominated = (pl.col("records") >= HALF * pl.col("all_records")) | (pl.col("bytes") >= HALF * pl.col("all_bytes"))
    fast = (pl.col("records") >= limits.least_records) | (pl.col("bytes") >= limits.least_bytes)
    candidates = minutes.filter(dominated & fast)["user"].unique().sort()
    whole = minutes.group_by("bin").agg(pl.col("all_records", "all_bytes").first(), pl.col("first").min())
    found = []
    for user in candidates:
        own = minutes.filter(pl.col("user") == user).with_columns(dominated.alias("dominated"))
        quiet = whole.join(own.filter("dominated"), on="bin", how="anti")
        baseline = quiet.height >= limits.quiet_bins
        hot = own.filter(pl.col("dominated") & _hot(quiet, limits, baseline=baseline))
        edges = set(own.filter("dominated")["bin"].to_list())
        for low, high in merged(hot["bin"].to_list()):
            while low - 1 in edges:
                low -= 1
            while high + 1 in edges:
                high += 1
            inside = own.filter(pl.col("bin").is_between(low, high) & pl.col("dominated"))
            if user == LOOPBACK and inside.height <= STARTUP_BINS:
                continue
            start, end = inside.select(pl.col("first").min(), pl.col("last").max()).row(0)
            before = _before(own, quiet, whole, start, baseline=baseline)
            found.append(Flood(user, start, end, inside.height, baseline, before))
    return sorted(set(found), key=lambda flood: (flood.start, flood.user))


def _hot(quiet: pl.DataFrame, limits: Limits, *, baseline: bool) -> pl.Expr:
    if not baseline:
        mostly = pl.col("bytes") >= HALF * pl.col("all_bytes")
        return mostly & ((pl.col("records") >= limits.alone_records) | (pl.col("bytes") >= limits.alone_bytes))
    records, size = (limits.step * float(quiet[name].median() or 0) for name in ("all_records", "all_bytes"))  # type: ignore[arg-type]
    return ((pl.col("all_records") >= records) & (pl.col("records") >= limits.least_records)) | (
        (pl.col("all_bytes") >= size) & (pl.col("bytes") >= limits.least_bytes)
    )


def _before(
    own: pl.DataFrame, quiet: pl.DataFrame, whole: pl.DataFrame, start: datetime, *, baseline: bool
) -> float | None:
    """The writer's records per second in its quiet minutes; without a baseline, in what the log holds before it."""
    if baseline:
        count = own.join(quiet, on="bin", how="semi")["records"].sum()
        return float(count) / (quiet.height * BIN_SECONDS)
    first: datetime = whole.select(pl.col("first").min()).item()
    # the writer dominates nothing before its window, so what it wrote then is in bins before it
    earlier = own.filter(pl.col("last") < start)["records"].sum()
    return float(earlier) / (start - first).total_seconds() if start - first >= timedelta(seconds=1) else None


def totals(rows: pl.LazyFrame, flood: Flood) -> dict[str, int]:
    """`records` and `bytes` of the writer, `all_records` and `all_bytes`, its requests `answered` and `rejected`."""
    own = pl.col("user") == flood.user
    last = own & (pl.col("stage") != "ResponseStarted").fill_null(True)
    counts = rows.select(
        own.sum().alias("records"),
        pl.col("event_bytes").filter(own).sum().alias("bytes"),
        pl.len().alias("all_records"),
        pl.col("event_bytes").sum().alias("all_bytes"),
        (last & (pl.col("code") == TOO_MANY) & pl.col("decision").is_null()).sum().alias("rejected"),
        (last & pl.col("code").is_not_null()).sum().alias("answered"),
    )
    return counts.collect().row(0, named=True)
