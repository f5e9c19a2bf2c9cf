"""What timeouts did: pods not ready, containers restarted; and which logs are too terse to tell of probes."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.node.exec_probe_timeout.containers import Probed
from analyzer.facts.container_kills import CONTAINER_KILLS
from analyzer.facts.contract import Frames
from analyzer.facts.klog_values import value
from analyzer.facts.node_names import node
from analyzer.frames import KLOG_LINES, empty

AFTER = timedelta(minutes=1)
_VERBOSE = r'^(?:SyncLoop |Probe failed$|Probe errored$|\w+ probe for "|Generic \(PLEG\)|Killing container)'
"""Heads of lines that only a kubelet of verbosity 1 or 2 writes."""


class Effects(Struct, frozen=True, kw_only=True):
    """Seconds in which pods were not ready, None where no line could tell; kills for a failed probe."""

    not_ready: float | None
    restarts: int


class Watched(Struct, frozen=True, kw_only=True):
    """What is looked up for every finding, collected once: readiness as the kubelet saw it (pod, source, time, ready),
    kills for a failed probe (pod, container, time, told_by), and when each log ends."""

    states: pl.DataFrame
    kills: pl.DataFrame
    ends: dict[str, datetime]


def watched(frames: Frames) -> Watched:
    """`SyncLoop (probe)` is of verbosity 1 since 1.21 (pkg/kubelet/kubelet.go, handleProbeSync); what is not `ready` is
    empty or `not ready`."""
    lines = frames[KLOG_LINES] if KLOG_LINES in frames else empty(KLOG_LINES).lazy()
    states = (
        lines.filter(pl.col("message") == "SyncLoop (probe)", pl.col("pod").is_not_null(), pl.col("time").is_not_null())
        .with_columns(kind=value("probe"), status=value("status"))
        .filter(pl.col("kind") == "readiness")
        .sort("time", "source", "number")
        .select("pod", "source", "time", ready=(pl.col("status") == "ready").fill_null(False))
        .collect()
    )
    ends = lines.group_by("source").agg(pl.col("time").max()).filter(pl.col("time").is_not_null()).collect()
    kills = empty(CONTAINER_KILLS.table).lazy() if CONTAINER_KILLS not in frames else frames[CONTAINER_KILLS]
    told = kills.filter(pl.col("why") == "probe", pl.col("pod").is_not_null(), pl.col("time").is_not_null())
    return Watched(
        states=states,
        kills=told.select("pod", "container", "time", "told_by").collect(),
        ends=dict(ends.iter_rows()),
    )


def effects_of(one: Probed, seen: Watched) -> Effects:
    first, last = one.rows["time"].min(), one.rows["time"].max()
    kills = seen.kills.filter(
        pl.col("pod").is_in(one.pods),
        (pl.col("container") == one.container).fill_null(True),
        pl.col("time").is_between(first, last + AFTER),  # type: ignore[operator]  # untyped by polars
    )
    told = kills.group_by("pod", "told_by").len().group_by("pod").agg(pl.col("len").max())
    return Effects(not_ready=_not_ready(one, seen), restarts=int(told["len"].sum()))


def _not_ready(one: Probed, seen: Watched) -> float | None:
    """From a status that is not `ready` to the next that is, or to the end of the log. The first status of a pod, while
    it starts, comes before any timeout of it."""
    told = seen.states.filter(pl.col("pod").is_in(one.pods))
    if not told.height:
        return None
    first, last, total = one.rows["time"][0], one.rows["time"][-1], 0.0
    for (_, source), rows in told.group_by("pod", "source", maintain_order=True):
        since = None
        for time, ready in rows.select("time", "ready").iter_rows():
            if not ready and since is None and first <= time <= last + AFTER:
                since = time
            elif ready and since is not None:
                total, since = total + (time - since).total_seconds(), None
        if since is not None:
            total += (seen.ends[str(source)] - since).total_seconds()
    return round(total, 6)


def silent_nodes(frames: Frames) -> list[str]:
    """Kubelets, by node, whose logs hold no line of verbosity 1 or 2."""
    if KLOG_LINES not in frames:
        return []
    own = frames[KLOG_LINES].filter((pl.col("component") == "kubelet").fill_null(False))
    name = node().alias("name")
    told = own.group_by(name).agg(pl.col("message").str.contains(_VERBOSE).any().alias("verbose"))
    return told.filter(~pl.col("verbose")).collect()["name"].sort().to_list()
