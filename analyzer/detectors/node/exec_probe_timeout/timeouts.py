"""Exec probes that ran into their timeout, by everybody who tells of it, with the pods and containers they are of."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.node.exec_probe_timeout.other_witnesses import of_events, of_runtime
from analyzer.detectors.node.exec_probe_timeout.witnesses import EXEC, PROBE, SCHEMA, of_kubelet
from analyzer.facts.container_names import CONTAINER_NAMES
from analyzer.facts.contract import Frames
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KLOG_LINES, RUNTIME_MESSAGES, empty

NEAR = "2s"
"""The kubelet writes `Probe failed` right after the call's error."""


def timeouts(frames: Frames) -> pl.DataFrame:
    """All rows with a time, as SCHEMA, with pod and container as far as anything tells them."""
    parts = [pl.LazyFrame(schema=SCHEMA)]
    parts += of_kubelet(frames[KLOG_LINES]) if KLOG_LINES in frames else []
    parts += [of_events(frames[TOLD_EVENTS])] if TOLD_EVENTS in frames else []
    parts += [of_runtime(frames[RUNTIME_MESSAGES])] if RUNTIME_MESSAGES in frames else []
    rows = pl.concat(parts).filter(pl.col("time").is_not_null()).sort("time", "source", "number").collect()
    return _named(rows, frames)


def _followed(calls: pl.DataFrame, probes: pl.DataFrame) -> pl.DataFrame:
    """The probe that follows most calls of a container (container_id, after, part, kind): one with the same command,
    else one that errored, whose line names none (`Liveness probe for ".." errored: rpc error: ..`)."""
    bare = probes.filter(pl.col("command").is_null()).drop("command")
    told = probes.filter(pl.col("command").is_not_null())
    met = [
        calls.join_asof(
            others, on="time", by=by, strategy="forward", tolerance=NEAR, check_sortedness=False
        ).with_columns(bare=pl.lit(place))
        for place, (others, by) in enumerate(((told, ["source", "command"]), (bare, ["source"])))
    ]
    return (
        pl.concat(met)
        .filter(pl.col("after").is_not_null(), pl.col("container_id").is_not_null())
        .group_by("container_id", "bare", "after", "part", "kind", maintain_order=True)
        .len()
        .sort(["bare", "len"], descending=[False, True], maintain_order=True)
        .unique("container_id", keep="first", maintain_order=True)
        .select("container_id", "after", "part", "kind")
    )


def _named(rows: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """Containers by their id, as the logs name it, or as the probe's own line after the call does; a pod's rows without
    a container's name are of the only container that others name."""
    names = frames[CONTAINER_NAMES] if CONTAINER_NAMES in frames else empty(CONTAINER_NAMES.table).lazy()
    known = names.select("container_id", named="pod", of="container").collect()
    probes = rows.filter(pl.col("channel") == PROBE).select(
        "time", "source", "command", after="pod", part="container", kind="probe"
    )
    calls = rows.filter(pl.col("channel") == EXEC).select("time", "source", "command", "container_id")
    found = rows.join(known, on="container_id", how="left", maintain_order="left").join(
        _followed(calls, probes), on="container_id", how="left", maintain_order="left"
    )
    found = found.with_columns(
        pod=pl.coalesce("pod", "named", "after"),
        container=pl.coalesce("container", "of", "part"),
        probe=pl.coalesce("probe", "kind"),
    )
    only = (
        found.filter(pl.col("container").is_not_null(), pl.col("pod").is_not_null())
        .group_by("pod")
        .agg(pl.col("container").unique().alias("all"))
    )
    one = only.filter(pl.col("all").list.len() == 1).select("pod", lone=pl.col("all").list.first())
    whole = found.join(one, on="pod", how="left", maintain_order="left")
    return whole.with_columns(container=pl.coalesce("container", "lone")).select(list(SCHEMA))
