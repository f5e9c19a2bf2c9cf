"""Kills with what became of them: when the container ended, and whether a restart or the end of its grace did it."""

from __future__ import annotations

import polars as pl
from msgspec import Struct

from analyzer.facts.container_ends import CONTAINER_ENDS, KILLED
from analyzer.facts.container_kills import CONTAINER_KILLS
from analyzer.facts.container_names import CONTAINER_NAMES
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.kubelet_starts import KUBELET_STARTS
from analyzer.facts.pleg_events import node
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, empty

RESTART, EXCEEDED = "kubelet restart", "grace exceeded"
FORCED_GRACE = 1.0
"""Seconds of grace up to which somebody forced the deletion (kubectl delete --force)."""

PROBE_SECONDS = 60
"""A probe that failed is the reason of a kill so shortly after or before its record."""

OOM_SECONDS = 10
STOPPING = 30.0
"""Seconds before its start, beyond its silence, in which the kubelet before was stopped."""

_SHUTDOWN = "Shutdown manager detected new shutdown event"


class Limits(Struct, frozen=True, kw_only=True):
    """Settings of the detector."""

    tolerance: float
    settle: float


def _of(frames: Frames, fact: Fact) -> pl.LazyFrame:
    return frames[fact] if fact in frames else empty(fact.table).lazy()


def judged(frames: Frames, limits: Limits) -> pl.DataFrame:
    """One row per container that got SIGKILL while it ended: time, source, number, node, host, pod, container,
    container_id, grace_seconds, ended, end_source, end_number, exit_code, ran, lost, restarted (time of the kubelet's
    start within the grace), variant."""
    kills = _kills(frames)
    ends = _of(frames, CONTAINER_ENDS).select(
        "container_id",
        pl.col("pod").alias("end_pod"),
        "exit_code",
        ended="time",
        end_source="source",
        end_number="number",
    )
    names = _of(frames, CONTAINER_NAMES).select("container_id", named="pod", of="container")
    rows = (
        kills.lazy()
        .join(ends, on="container_id", how="left")
        .join(names, on="container_id", how="left")
        .with_columns(pod=pl.coalesce("pod", "end_pod", "named"), container=pl.coalesce("container", "of"))
        .drop("end_pod", "named", "of")
        .collect()
    )
    rows = _with_restarts(_with_forced(rows, frames), frames)
    ran = (pl.col("ended") - pl.col("time")).dt.total_microseconds() / 1e6
    rows = rows.with_columns(ran=ran).filter((pl.col("ran") >= 0).fill_null(True))
    rows = rows.with_columns(variant=_variant(limits)).filter(pl.col("variant").is_not_null())
    rows = rows.with_columns(lost=(pl.col("grace_seconds") - pl.col("ran")).clip(0.0))
    return _spared(rows, frames).sort("time", "source", "number", "container_id")


def _kills(frames: Frames) -> pl.DataFrame:
    """The first kill of each container; a kubelet that starts anew tells it again with what is left."""
    told = _of(frames, CONTAINER_KILLS).filter(
        pl.col("grace_seconds") > FORCED_GRACE, pl.col("container_id").is_not_null(), pl.col("time").is_not_null()
    )
    return (
        told.sort("time", "source", "number")
        .group_by("container_id", maintain_order=True)
        .agg(
            pl.col("time", "source", "number", "node").first(),
            pl.col("grace_seconds").first(),
            *(pl.col(name).drop_nulls().first() for name in ("host", "pod", "container")),
        )
        .collect()
    )


def _with_forced(rows: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """`forced`: when the runtime said that it kills the container."""
    forced = _of(frames, CONTAINER_KILLS).filter(pl.col("why") == "forced", pl.col("container_id").is_not_null())
    first = forced.group_by("container_id").agg(forced=pl.col("time").min()).collect()
    return rows.join(first, on="container_id", how="left")


def _with_restarts(rows: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """`restarted`: the first start of the node's kubelet after the kill, with `after` and `silent`."""
    starts = _of(frames, KUBELET_STARTS).select("node", "after", silent="silent_seconds", restarted="time").collect()
    return rows.sort("time").join_asof(
        starts.sort("restarted"),
        left_on="time",
        right_on="restarted",
        by="node",
        strategy="forward",
        check_sortedness=False,
    )


def _variant(limits: Limits) -> pl.Expr:
    grace = pl.duration(microseconds=(pl.col("grace_seconds") * 1e6).cast(pl.Int64))
    stopped = pl.duration(microseconds=((pl.col("silent").fill_null(0.0).clip(0, 600) + STOPPING) * 1e6).cast(pl.Int64))
    inside = (pl.col("restarted") < pl.col("time") + grace).fill_null(False)
    early = pl.col("ran") < pl.col("grace_seconds") - limits.tolerance
    around = pl.col("ended") >= pl.col("restarted") - stopped
    soon = pl.col("ended") <= pl.col("restarted") + pl.duration(microseconds=int(limits.settle * 1e6))
    killed = pl.col("exit_code") == KILLED
    unknown = pl.col("exit_code").is_null()
    restart = inside & early & around & (killed | (unknown & soon)) & (pl.col("after") != "boot").fill_null(True)
    over = killed & ~early
    forced = (pl.col("forced") >= pl.col("time") + grace - pl.duration(microseconds=int(limits.tolerance * 1e6))) & (
        killed | unknown
    )
    return (
        pl.when(restart.fill_null(False))
        .then(pl.lit(RESTART))
        .when((over | forced).fill_null(False))
        .then(pl.lit(EXCEEDED))
    )


def _spared(rows: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """Without kills for a probe, OOM kills, and nodes that shut down."""
    probes = _of(frames, CONTAINER_KILLS).filter(pl.col("why") == "probe", pl.col("pod").is_not_null())
    probed = pl.concat([near.collect() for near in _around(rows, probes, "pod", "time", PROBE_SECONDS)])
    kernel = frames[KERNEL_MESSAGES] if KERNEL_MESSAGES in frames else empty(KERNEL_MESSAGES).lazy()
    oom = kernel.filter(pl.col("kind").str.contains("oom"), pl.col("container_id").is_not_null())
    lines = frames[KLOG_LINES] if KLOG_LINES in frames else empty(KLOG_LINES).lazy()
    shutdown = lines.filter(pl.col("message").str.starts_with(_SHUTDOWN)).with_columns(node=node())
    taken = [
        probed,
        *(near.collect() for near in _around(rows, oom, "container_id", "ended", OOM_SECONDS)),
        *(near.collect() for near in _around(rows, shutdown, "node", "ended", 600)),
    ]
    return rows.join(pl.concat(taken).unique(), on="container_id", how="anti")


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
    ends = _of(frames, CONTAINER_ENDS).filter(pl.col("exit_code") == KILLED)
    asked = _of(frames, CONTAINER_KILLS).filter(pl.col("container_id").is_not_null()).select("container_id").unique()
    alone = ends.join(asked, on="container_id", how="anti").collect()
    if KERNEL_MESSAGES not in frames or not alone.height:
        return 0, alone.height
    oom = frames[KERNEL_MESSAGES].filter(pl.col("kind").str.contains("oom"))
    ids = oom.select("container_id", "pod_uid").unique().collect()
    killed = alone.filter(
        pl.col("container_id").is_in(ids["container_id"].drop_nulls().implode())
        | pl.col("uid").is_in(ids["pod_uid"].drop_nulls().implode()).fill_null(False)
    ).height
    return killed, alone.height - killed


def exceeded_events(frames: Frames) -> pl.DataFrame:
    """Events `ExceededGracePeriod` of pods: time, source, number, pod."""
    told = _of(frames, TOLD_EVENTS).filter(pl.col("reason") == "ExceededGracePeriod", pl.col("kind") == "Pod")
    pod = pl.col("namespace") + "/" + pl.col("name")
    return told.select("time", "source", "number", pod=pod, host="node").sort("time", "source", "number").collect()
