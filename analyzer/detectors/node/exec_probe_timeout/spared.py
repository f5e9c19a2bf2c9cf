"""Timeouts that do not count: of containers that end, and of nodes that are late as a whole."""

from __future__ import annotations

import polars as pl

from analyzer.facts.container_kills import CONTAINER_KILLS
from analyzer.facts.contract import Frames
from analyzer.facts.node_names import node
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES

ENDING = 30.0
"""Seconds beyond the grace in which a container may still be on its way out."""


STALL = "5m"
"""So near to a sign of a stall of the node a timeout is the node's."""


BIN = "1m"


def without_ends(rows: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """Without timeouts of containers that were told to end: probes and hooks of these fail as they go."""
    if CONTAINER_KILLS not in frames:
        return rows
    kills = frames[CONTAINER_KILLS].filter(
        pl.col("told_by") != "event", pl.col("grace_seconds").is_not_null(), pl.col("time").is_not_null()
    )
    for key in ("container_id", "pod"):
        told = (
            kills.filter(pl.col(key).is_not_null()).select(key, "grace_seconds", asked="time").sort("asked").collect()
        )
        met = rows.with_row_index("row").join_asof(
            told, left_on="time", right_on="asked", by=key, strategy="backward", check_sortedness=False
        )
        since = (pl.col("time") - pl.col("asked")).dt.total_microseconds() / 1e6
        ending = met.filter(
            since <= pl.col("grace_seconds") + ENDING, pl.col("pod" if key == "pod" else key).is_not_null()
        )
        rows = met.join(ending.select("row"), on="row", how="anti", maintain_order="left").select(rows.columns)
    return rows


def split_shared(rows: pl.DataFrame, frames: Frames, together: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Timeouts of single workloads, and those that the node explains: many workloads in the same minute, or a sign of a
    stall (PLEG, hung task) within five minutes."""
    bins = rows.with_columns(bin=pl.col("time").dt.truncate(BIN))
    crowd = bins.group_by("node", "bin").agg(pl.col("group").n_unique().alias("groups"))
    signs = _stalls(frames)
    near = bins.join(crowd, on=["node", "bin"], how="left", maintain_order="left").with_row_index("row")
    marks = pl.Series([], dtype=pl.UInt32)
    for strategy in ("backward", "forward"):
        met = near.select("row", "node", "time").join_asof(
            signs,
            left_on="time",
            right_on="seen",
            by="node",
            strategy=strategy,
            tolerance=STALL,
            check_sortedness=False,
        )
        marks = marks.append(met.filter(pl.col("seen").is_not_null())["row"].cast(pl.UInt32))
    shared = (pl.col("groups") >= together) | pl.col("row").is_in(marks.implode())
    return near.filter(~shared).select(rows.columns), near.filter(shared).select(rows.columns)


def _stalls(frames: Frames) -> pl.DataFrame:
    parts = [pl.LazyFrame(schema={"node": pl.String(), "seen": pl.Datetime("us", "UTC")})]
    if KLOG_LINES in frames:
        lines = frames[KLOG_LINES].filter(pl.col("text").str.contains("pleg was last seen active", literal=True))
        parts.append(lines.select(node=node(), seen="time"))
    if KERNEL_MESSAGES in frames:
        hung = frames[KERNEL_MESSAGES].filter(pl.col("kind") == "hung_task")
        parts.append(hung.select(node=node(), seen="time"))
    return pl.concat(parts).filter(pl.col("seen").is_not_null()).sort("seen").collect()
