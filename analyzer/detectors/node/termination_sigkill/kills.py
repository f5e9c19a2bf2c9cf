"""Kills with what became of them: when the container ended, and whether a restart or the end of its grace did it."""

from __future__ import annotations

import polars as pl
from msgspec import Struct

from analyzer.detectors.node.termination_sigkill.spared import of, spared
from analyzer.facts.container_ends import CONTAINER_ENDS, KILLED
from analyzer.facts.container_kills import CONTAINER_KILLS
from analyzer.facts.container_names import CONTAINER_NAMES
from analyzer.facts.contract import Frames
from analyzer.facts.kubelet_starts import KUBELET_STARTS

RESTART, EXCEEDED = "kubelet restart", "grace exceeded"
FORCED_GRACE = 1.0
"""Seconds of grace up to which somebody forced the deletion (kubectl delete --force)."""


STOPPING = 5.0
"""Seconds before its start, beyond its silence, in which the kubelet before was stopped: it exits at once on SIGTERM,
and what had ended while it still wrote lines ended for another reason."""


ANSWER = 120.0
"""Seconds beyond the grace in which the runtime must have stopped a container (kubernetes
pkg/kubelet/cri/remote/remote_runtime.go, StopContainer: the grace and two minutes)."""


class Limits(Struct, frozen=True, kw_only=True):
    """Settings of the detector."""

    tolerance: float
    settle: float
    unknown_grace: float


def judged(frames: Frames, limits: Limits) -> pl.DataFrame:
    """One row per container that got SIGKILL while it ended: time, source, number, node, host, pod, container,
    container_id, grace_seconds, ended, end_source, end_number, exit_code, ran, lost, restarted (time of the kubelet's
    start within the grace), variant."""
    kills = _kills(frames)
    ends = of(frames, CONTAINER_ENDS).select(
        "container_id",
        pl.col("pod").alias("end_pod"),
        "exit_code",
        ended="time",
        end_source="source",
        end_number="number",
    )
    names = of(frames, CONTAINER_NAMES).select("container_id", named="pod", of="container")
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
    return spared(rows, frames).sort("time", "source", "number", "container_id")


def _kills(frames: Frames) -> pl.DataFrame:
    """The first kill of each container; a kubelet that starts anew tells it again with what is left."""
    told = of(frames, CONTAINER_KILLS).filter(
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
    forced = of(frames, CONTAINER_KILLS).filter(pl.col("why") == "forced", pl.col("container_id").is_not_null())
    first = forced.group_by("container_id").agg(forced=pl.col("time").min()).collect()
    return rows.join(first, on="container_id", how="left")


def _with_restarts(rows: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """`restarted`: the first start of the node's kubelet after the kill, with `after` and `silent`."""
    starts = of(frames, KUBELET_STARTS).select("node", "after", silent="silent_seconds", restarted="time").collect()
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
    restart = (
        inside
        & early
        & around
        & (killed | (unknown & soon & (pl.col("grace_seconds") >= limits.unknown_grace)))
        & (pl.col("after") != "boot").fill_null(True)
    )
    # Before Kubernetes 1.22 no code is told: what ran for the whole grace got SIGKILL, if no new kubelet granted more.
    whole = unknown & pl.col("ran").is_between(pl.col("grace_seconds"), pl.col("grace_seconds") + ANSWER) & ~inside
    over = (killed & ~early) | whole
    forced = (pl.col("forced") >= pl.col("time") + grace - pl.duration(microseconds=int(limits.tolerance * 1e6))) & (
        killed | unknown
    )
    return (
        pl.when(restart.fill_null(False))
        .then(pl.lit(RESTART))
        .when((over | forced).fill_null(False))
        .then(pl.lit(EXCEEDED))
    )
