"""Kills that do not count: for a probe, by the OOM killer, while a node shuts down; and ends that nobody asked for."""

from __future__ import annotations

import polars as pl

from analyzer.facts.container_ends import CONTAINER_ENDS, KILLED
from analyzer.facts.container_kills import CONTAINER_KILLS
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.node_names import node
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, empty

PROBE_SECONDS = 60
"""A probe that failed is the reason of a kill so shortly after or before its record."""


OOM_SECONDS = 10
KILLS = ("oom_kill", "cgroup_oom")
OOM_EVENTS = ("OOMKilling", "SystemOOM")
AT_ONCE = 2
"""Seconds between an OOM kill that names no container and the end of one on its node."""


_SHUTDOWN = "Shutdown manager detected new shutdown event"


def of(frames: Frames, fact: Fact) -> pl.LazyFrame:
    return frames[fact] if fact in frames else empty(fact.table).lazy()


def spared(rows: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """Without kills for a probe, OOM kills, and nodes that shut down."""
    probes = of(frames, CONTAINER_KILLS).filter(pl.col("why") == "probe", pl.col("pod").is_not_null())
    probed = pl.concat([near.collect() for near in _around(rows, probes, "pod", "time", PROBE_SECONDS)])
    kernel = frames[KERNEL_MESSAGES] if KERNEL_MESSAGES in frames else empty(KERNEL_MESSAGES).lazy()
    oom = kernel.filter(pl.col("kind").str.contains("oom"), pl.col("container_id").is_not_null())
    lines = frames[KLOG_LINES] if KLOG_LINES in frames else empty(KLOG_LINES).lazy()
    shutdown = lines.filter(pl.col("message").str.starts_with(_SHUTDOWN)).with_columns(node=node())
    nameless = kernel.filter(
        pl.col("kind").is_in(KILLS), pl.col("container_id").is_null(), pl.col("pod_uid").is_null()
    ).with_columns(node=node())
    taken = [
        probed,
        *(near.collect() for near in _around(rows, nameless, "node", "ended", AT_ONCE)),
        *(near.collect() for near in _around(rows, _told_oom(frames), "node", "ended", AT_ONCE)),
        *(near.collect() for near in _around(rows, oom, "container_id", "ended", OOM_SECONDS)),
        *(near.collect() for near in _around(rows, shutdown, "node", "ended", 600)),
    ]
    return rows.join(pl.concat(taken).unique(), on="container_id", how="anti")


def _told_oom(frames: Frames) -> pl.LazyFrame:
    """OOM kills as Events of the node tell them, without a container: `OOMKilling` of node-problem-detector
    (config/kernel-monitor.json) and `SystemOOM` of the kubelet (pkg/kubelet/oom/oom_watcher_linux.go)."""
    told = of(frames, TOLD_EVENTS).filter(pl.col("kind") == "Node", pl.col("reason").is_in(OOM_EVENTS))
    named = told.with_columns(host=pl.coalesce("node", "name")).drop("node").with_columns(node=node())
    return pl.concat([named.select("time", "node"), named.select("node", time="first_time").select("time", "node")])


def _around(
    rows: pl.DataFrame, others: pl.LazyFrame, key: str, time: str, seconds: int
) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """The container_id of rows that have one of the others with the same key so shortly before or after."""
    near = others.filter(pl.col("time").is_not_null()).select(key, met="time").sort("met")
    own = (
        rows.lazy()
        .filter(pl.col(time).is_not_null(), pl.col(key).is_not_null())
        .select(*dict.fromkeys(("container_id", key)), at=time)
    )

    def met(strategy: str) -> pl.LazyFrame:
        found = own.sort("at").join_asof(
            near,
            left_on="at",
            right_on="met",
            by=key,
            strategy=strategy,  # type: ignore[arg-type]  # a Literal of polars
            tolerance=f"{seconds}s",
            check_sortedness=False,
        )
        return found.filter(pl.col("met").is_not_null()).select("container_id")

    return met("backward"), met("forward")


def unasked(frames: Frames) -> tuple[int, int]:
    """Containers that exited with 137 and that nobody had asked to end: by an OOM kill, and by something else."""
    ends = of(frames, CONTAINER_ENDS).filter(pl.col("exit_code") == KILLED)
    asked = of(frames, CONTAINER_KILLS).filter(pl.col("container_id").is_not_null()).select("container_id").unique()
    alone = ends.join(asked, on="container_id", how="anti").with_columns(ended="time").collect()
    if not alone.height:
        return 0, 0
    kernel = frames[KERNEL_MESSAGES] if KERNEL_MESSAGES in frames else empty(KERNEL_MESSAGES).lazy()
    oom = kernel.filter(pl.col("kind").str.contains("oom")).with_columns(node=node())
    ids = oom.select("container_id", "pod_uid").unique().collect()
    named = alone.filter(
        pl.col("container_id").is_in(ids["container_id"].drop_nulls().implode())
        | pl.col("uid").is_in(ids["pod_uid"].drop_nulls().implode()).fill_null(False)
    )
    kills = (oom.filter(pl.col("kind").is_in(KILLS)), _told_oom(frames))
    near = [part.collect() for one in kills for part in _around(alone, one, "node", "ended", AT_ONCE)]
    killed = pl.concat([named.select("container_id"), *near]).unique().height
    return killed, alone.height - killed


def exceeded_events(frames: Frames) -> pl.DataFrame:
    """Events `ExceededGracePeriod` of pods: time, source, number, pod."""
    told = of(frames, TOLD_EVENTS).filter(pl.col("reason") == "ExceededGracePeriod", pl.col("kind") == "Pod")
    pod = pl.col("namespace") + "/" + pl.col("name")
    return told.select("time", "source", "number", pod=pod, host="node").sort("time", "source", "number").collect()
