"""Containers that run out of their CPU quota, by the kernel's counters."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from analyzer.facts.contract import Frames
from analyzer.facts.cpu_throttling import CPU_THROTTLING
from analyzer.facts.pod_moments import POD_MOMENTS
from analyzer.frames import KLOG_LINES

MOST = 10
"""Containers that have a finding each; the others are counted."""

AROUND = timedelta(seconds=30)
"""Probes so near to the snapshots are of the same time: three periods of ten seconds, the default of a probe."""

_PROBE = r"^(?:Probe failed|Probe errored|(?:Readiness|Liveness|Startup) probe )"
_LATE = r"(?i)timeout|timed out|deadline exceeded"


class Throttled(Struct, frozen=True, kw_only=True):
    """One container; `rows` are the differences of its counters in order. `since_start` where there is one snapshot."""

    name: str
    pod: str | None
    rows: pl.DataFrame
    probes: pl.DataFrame

    @property
    def periods(self) -> int:
        return int(self.rows["periods"].sum())

    @property
    def throttled(self) -> int:
        return int(self.rows["throttled_periods"].sum())

    @property
    def share(self) -> float:
        return self.throttled / self.periods if self.periods else 0.0

    @property
    def seconds(self) -> float | None:
        told = self.rows["throttled_seconds"].drop_nulls()
        return float(told.sum()) if told.len() else None

    @property
    def since_start(self) -> bool:
        return bool(self.rows["since_number"].is_null().all())

    @property
    def start(self) -> datetime | None:
        found: datetime | None = self.rows.select(pl.coalesce("since", "time").min()).item()
        return found

    @property
    def end(self) -> datetime | None:
        found: datetime | None = self.rows["time"].max()  # type: ignore[assignment]  # untyped by polars
        return found


def throttled(frames: Frames, share: float, least: int) -> tuple[list[Throttled], int]:
    """Containers above the thresholds, those with most throttled periods first, and how many more there are."""
    if CPU_THROTTLING not in frames:
        return [], 0
    rows = frames[CPU_THROTTLING].collect()
    sums = rows.group_by("subject").agg(pl.col("periods").sum(), pl.col("throttled_periods").sum())
    over = sums.filter(pl.col("throttled_periods") >= least, pl.col("throttled_periods") >= share * pl.col("periods"))
    worst = over.sort("throttled_periods", "subject", descending=[True, False]).head(MOST)
    chosen = rows.join(_named(rows, frames), on="pod_uid", how="left", maintain_order="left")
    chosen = chosen.join(worst.select("subject"), on="subject", how="semi", maintain_order="left")
    parts = chosen.with_columns(
        pod=pl.coalesce(pl.concat_str("namespace", pl.lit("/"), "pod"), "known"),
    ).partition_by("subject", maintain_order=True)
    found = [_one(part, frames) for part in parts]
    return sorted(found, key=lambda one: (-one.throttled, one.name)), over.height - len(found)


def _named(rows: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """Names of pods by their UID, as the kubelet or the API server tells them."""
    schema = {"pod_uid": pl.String, "known": pl.String}
    if POD_MOMENTS not in frames:
        return pl.DataFrame(schema=schema)
    told = frames[POD_MOMENTS].filter(pl.col("uid").is_in(rows["pod_uid"].drop_nulls().unique().implode()))
    return told.group_by(pod_uid="uid").agg(pl.col("pod").min().alias("known")).collect()


def _one(rows: pl.DataFrame, frames: Frames) -> Throttled:
    first = rows.row(0, named=True)
    whose = first["pod"] or (f"pod {first['pod_uid']}" if first["pod_uid"] else first["path"] or first["source"])
    container = first["container"] or (first["subject"][:12] if first["subject"] not in {first["path"], whose} else "")
    return Throttled(
        name=f"{whose} {container}".strip(),
        pod=first["pod"],
        rows=rows,
        probes=_probes(first["pod"], rows, frames),
    )


def _probes(pod: str | None, rows: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """Probes of the pod that took too long meanwhile."""
    place = ["time", "source", "number"]
    start, end = rows.select(pl.coalesce("since", "time").min(), end=pl.col("time").max()).row(0)
    if pod is None or start is None or end is None or KLOG_LINES not in frames:
        return rows.clear().select(place)
    near = frames[KLOG_LINES].filter(pl.col("pod") == pod, pl.col("time").is_between(start - AROUND, end + AROUND))
    failed = pl.col("message").str.contains(_PROBE) & pl.col("text").str.contains(_LATE)
    return near.filter(failed).select(place).collect()
