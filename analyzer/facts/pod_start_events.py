"""Starts of pods as Events tell them, where no kubelet's log does: whole seconds, and no parts of the node's own."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.facts.node_names import short_node

_LIFE = timedelta(hours=1)

_NEW = ("Starting", "Rebooted", "RegisteredNode", "NodeReady")
"""Events of a node that begins (pkg/kubelet/kubelet.go, pkg/controller/nodelifecycle)."""
_JUST = pl.duration(minutes=1)


def started(told: pl.LazyFrame, pulls: pl.LazyFrame) -> pl.LazyFrame:
    """`time, source, number, pod, node, ran, attach, pull, start`: from `Scheduled` until the first container was
    `Started`, which may be an init container, less pulls (from the first `Pulling` to the first `Pulled`, or what that
    tells) and the wait for `SuccessfulAttachVolume`. Each Event counts with its first occurrence."""
    about = told.filter((pl.col("kind") == "Pod").fill_null(True), pl.col("time").is_not_null()).select(
        "reason",
        "source",
        "number",
        "node",
        pod=pl.concat_str("namespace", pl.lit("/"), "name"),
        at=pl.coalesce("first_time", "time"),
    )
    first = about.filter(pl.col("pod").is_not_null()).sort("at", "source", "number")

    def of(reason: str, name: str) -> pl.LazyFrame:
        return first.filter(pl.col("reason") == reason).select("pod", pl.col("at").alias(name)).sort(name, "pod")

    ran = first.filter(pl.col("reason") == "Started").unique("pod", keep="first", maintain_order=True).sort("at")
    found = ran.join_asof(
        of("Scheduled", "bound"),
        left_on="at",
        right_on="bound",
        by="pod",
        strategy="backward",
        tolerance=_LIFE,
        check_sortedness=False,
    ).filter(pl.col("bound").is_not_null())
    for reason, name in (("Pulling", "asked"), ("Pulled", "got"), ("SuccessfulAttachVolume", "attached")):
        found = found.join(of(reason, name).group_by("pod").agg(pl.col(name).min()), on="pod", how="left")
    done = pulls.filter(pl.col("what") == "pulled", pl.col("pod").is_not_null())
    found = found.join(done.group_by("pod").agg(pl.col("seconds").sum().alias("said")), on="pod", how="left")

    def between(later: str, earlier: str) -> pl.Expr:
        return ((pl.col(later) - pl.col(earlier)).dt.total_microseconds() / 1e6).clip(0.0).fill_null(0.0)

    parts = found.with_columns(
        pull=pl.max_horizontal(between("got", "asked"), pl.col("said").fill_null(0.0)),
        attach=between("attached", "bound"),
    )
    rest = between("at", "bound") - pl.col("pull") - pl.col("attach")
    return parts.select(
        *("source", "number", "pod", "node", "attach", "pull"),
        time="bound",
        ran="at",
        start=rest.clip(0.0),
    )


def with_young(starts: pl.LazyFrame, told: pl.LazyFrame) -> pl.LazyFrame:
    """The starts (with `node`, `time` and `ran`) with `young`: whether the node began shortly before or became ready
    meanwhile. What a new node has to run waits for its network, and for everything else that starts there."""
    begun = told.filter(pl.col("kind") == "Node", pl.col("reason").is_in(_NEW), pl.col("time").is_not_null())
    named = begun.select(node=short_node(pl.coalesce("node", "name")), begun="time").sort("begun")
    met = starts.sort("ran").join_asof(
        named, left_on="ran", right_on="begun", by="node", strategy="backward", check_sortedness=False
    )
    return met.with_columns(young=(pl.col("begun") >= pl.col("time") - _JUST).fill_null(False)).drop("begun")
