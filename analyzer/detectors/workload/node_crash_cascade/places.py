"""Which pods were on which node, and for how long, as far as anybody tells."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from analyzer.facts.contract import Frames
from analyzer.facts.node_names import short_node
from analyzer.facts.pod_life import POD_LIFE

POD = ["namespace", "pod"]
OWNER = ["namespace", "workload_kind", "workload"]

APART_FROM = ("DaemonSet", "Node", "Job", "CronJob")
"""What has a pod on every node by design, or ends by itself."""

ENDS = ("deleted", "evicted", "gone")


def places(frames: Frames) -> pl.DataFrame:
    """One row per pod and node: first and last record of it there, `since` (null where the first record is of its end:
    it had been there before), and `over`, the first record of its end after that, wherever it stands."""
    life = (
        frames[POD_LIFE]
        .filter(~pl.col("workload_kind").is_in(APART_FROM))
        .with_columns(node=short_node(pl.col("node")))
        .sort("time", "source", "number")
        .collect()
    )
    ending = pl.col("what").is_in([*ENDS, "killing", "died", "unready"])
    there = (
        life.filter(pl.col("node").is_not_null())
        .group_by(*POD, "node", maintain_order=True)
        .agg(
            *(pl.col(name).first() for name in ("time", "source", "number", "workload_kind", "workload")),
            last=pl.col("time").max(),
            since=pl.when(~ending.first()).then(pl.col("time").first()),
        )
    )
    over = life.filter(pl.col("what").is_in(ENDS)).select(*POD, over="time")
    met = there.join(over, on=POD, how="left").with_columns(over=pl.when(pl.col("over") >= pl.col("time")).then("over"))
    ended = met.group_by(*POD, "node").agg(pl.col("over").min())
    return there.join(ended, on=[*POD, "node"], how="left").sort("time", "source", "number")


def alive(placed: pl.DataFrame, outages: pl.DataFrame, time: datetime) -> pl.DataFrame:
    """The pods that were there at that time, each on the last node where it was placed. A node that failed took along
    the pods that nothing was heard of there since, whether or not their deletion is told."""
    begun = pl.col("since").is_null() | (pl.col("since") <= time)
    left = pl.col("over").is_null() | (pl.col("over") >= time)
    failed = outages.filter(pl.col("time") < time).group_by("node").agg(failed=pl.col("time").max())
    there = placed.filter(begun, left).join(failed, on="node", how="left", maintain_order="left")
    heard = pl.col("failed").is_null() | (pl.min_horizontal("last", pl.lit(time)) > pl.col("failed"))
    return there.filter(heard).drop("failed").sort("time").unique(POD, keep="last", maintain_order=True)
