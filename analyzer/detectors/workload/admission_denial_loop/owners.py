"""One owner whose objects were denied: how often, until when, and what it lacks."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Thresholds: `count` denials within `window` seconds, or one and `alone` seconds in which nothing was made."""

    count: int
    window: float
    alone: float


class Owner(Struct, frozen=True, kw_only=True):
    """One workload whose objects were denied. `until` is when that ended, as `cure` says; None while it is stuck."""

    namespace: str
    name: str
    kind: str
    denials: int
    first: datetime | None
    last: datetime | None
    until: datetime | None
    cure: str
    missing: int
    channels: frozenset[str]

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.name}"


def owner_of(rows: pl.DataFrame, own: pl.DataFrame) -> Owner:
    """The owner of these denials. `own` is all that is known of what it made.

    Two channels tell of the same denials: the one that tells of more counts.
    """
    counts = rows.group_by("channel").agg(pl.col("count").sum()).sort(["count", "channel"], descending=[True, False])
    # times are those of one channel: logs have clocks of their own, Events have seconds only
    best = rows.filter(pl.col("channel") == counts["channel"][0])
    first, last = best["first_time"].min(), best["time"].max()
    cured, cure = _cured(own, rows, last)  # type: ignore[arg-type]  # untyped by polars
    kinds = rows["workload_kind"].drop_nulls().unique().sort()
    return Owner(
        namespace=rows["namespace"][0],
        name=rows["owned"][0],
        kind=kinds[0] if kinds.len() else "",
        denials=int(counts["count"][0]),
        first=first,  # type: ignore[arg-type]
        last=last,  # type: ignore[arg-type]
        until=cured,
        cure=cure,
        missing=0 if cured else _missing(own, rows),
        channels=frozenset(rows["channel"]),
    )


def too_many(rows: pl.DataFrame, owner: Owner, until: datetime | None, limits: Limits) -> bool:
    """Whether the owner's denials are a loop: dense, or for good as far as the evidence goes."""
    if any(dense(part, limits.count, limits.window) for _, part in rows.group_by("channel")):
        return True
    waited = (until - owner.last).total_seconds() if owner.last and until else 0.0
    return owner.until is None and waited >= limits.alone


def dense(rows: pl.DataFrame, count: int, window: float) -> bool:
    """Whether `count` occurrences lie within `window` seconds. An Event that stands for many spreads them evenly;
    records without a time are taken together."""
    timeless = pl.col("time").is_null()
    if int(rows.filter(timeless)["count"].sum()) >= count:
        return True
    timed = rows.filter(~timeless).sort("time")
    span = (timed["time"] - timed["first_time"]).dt.total_seconds().clip(lower_bound=window)
    if (timed["count"] * window / span >= count).any():
        return True
    times = timed["time"].dt.epoch("us").to_list()
    return any(late - early <= window * 1e6 for early, late in zip(times, times[count - 1 :], strict=False))


def _cured(own: pl.DataFrame, rows: pl.DataFrame, last: datetime | None) -> tuple[datetime | None, str]:
    """When the owner made what it wanted after its last denial, or no longer wanted it."""
    if last is None:
        return None, ""
    after = own.filter(pl.col("time") > last)
    named = pl.col("name").is_in(_names(rows)) | (pl.col("name") == pl.col("workload"))
    kinds = rows["kind"].drop_nulls().unique().to_list()
    made = pl.col("what").is_in(["made", "bound"]) & pl.col("kind").is_in(kinds)
    gone = (pl.col("what") == "removed") & (pl.col("kind") != "Pod") & named
    zero = (pl.col("what") == "scaled") & (pl.col("replicas") == 0) & named
    for what, text in ((made, "made at last"), (gone, "removed"), (zero, "scaled to 0")):
        times = after.filter(what)["time"]
        if times.len():
            return times.min(), text  # type: ignore[return-value]  # untyped by polars
    return None, ""


def _missing(own: pl.DataFrame, rows: pl.DataFrame) -> int:
    """Replicas that the stuck owner lacks, one at least: what is wanted less what was there, made and removed.

    An owner whose making is in the evidence began with none; another is taken as complete at the start.
    """
    pods = own.filter(pl.col("kind") == "Pod")
    made = pods.filter(pl.col("what").is_in(["made", "bound"]))["name"].drop_nulls().n_unique()
    removed = pods.filter(pl.col("what") == "removed")["name"].drop_nulls().n_unique()
    mine = pl.col("name").is_in(_names(rows))
    scaled = own.filter(pl.col("what") == "scaled").sort("time")
    exact = scaled.filter(mine)
    wanted = (exact if exact.height else scaled)["replicas"]
    if not wanted.len():
        return max(1, removed - made)
    from_none = exact["message"].fill_null("").str.contains(r" from 0 to |to [0-9]+ from 0$").any()
    new = from_none or own.filter(mine, pl.col("what") == "made").height > 0
    last = int(wanted[-1])
    return max(1, min(last, last - (0 if new else last) - made + removed))


def _names(rows: pl.DataFrame) -> list[str]:
    return rows["owner"].drop_nulls().unique().to_list()
