"""When containers were told to end, and with how much grace: by the kubelet, the runtime, and Events."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.klog_values import number, value
from analyzer.facts.node_names import node
from analyzer.facts.pleg_events import bare_id, bounded_seconds
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KLOG_LINES, RUNTIME_MESSAGES, Col, Table, empty
from analyzer.frames.contract import PLACE

_TABLE = Table(
    "container_kills",
    "One row per record that says that a container shall end, with those that say why.",
    (
        *PLACE,
        Col("node", pl.String(), "Node: the host without its domain, in lower case; the input where no host is told."),
        Col("host", pl.String(), "Host as told; null without one."),
        Col("pod", pl.String(), "namespace/name; null if not told."),
        Col("container", pl.String(), "Name of the container within its pod; null if not told."),
        Col("container_id", pl.String(), "Its id, without the runtime's name; null if not told."),
        Col("grace_seconds", pl.Float64(), "Seconds from SIGTERM to SIGKILL as granted; null if not told."),
        Col("told_by", pl.String(), "kubelet, runtime or event."),
        Col("why", pl.String(), "probe: a liveness or startup probe failed. forced: SIGKILL is sent now. Else null."),
    ),
)

_NEW = ("Killing container with a grace period", "Killing container with a grace period override")
_OLD = r'^Killing container "([^"]+)"(?: with|, but using) (?:a )?([0-9]+) second grace period'
_UNHEALTHY = r"^SyncLoop \(container unhealthy\)"
_STOP = r'^StopContainer for "([^"]+)" with timeout (-?[0-9]+) \(s\)'
_CRIO = r"^Stopping container: ([0-9a-f]{64}) \(timeout: ([0-9]+)s\)"
_FORCE = r'^Kill container "([^"]+)"$'
_DOCKER = r"failed to exit within [0-9]+ ?s(?:econds)? of (?:signal 15|SIGTERM) - using the force"
"""kubernetes pkg/kubelet/kuberuntime/kuberuntime_container.go (killContainer); containerd
internal/cri/instrument/instrumented_service.go and internal/cri/server/container_stop.go, which sends SIGKILL when the
grace is over; cri-o server/container_stop.go; moby daemon/stop.go."""


def _of_kubelet(lines: pl.LazyFrame) -> list[pl.LazyFrame]:
    message, text = pl.col("message"), pl.col("text")
    new = lines.filter(message.is_in(_NEW)).with_columns(
        container=value("containerName"),
        container_id=bare_id(value("containerID")),
        grace_seconds=number("gracePeriod"),
        why=pl.lit(None, pl.String),
    )
    old = lines.filter(message.str.contains(_OLD)).with_columns(
        container=pl.lit(None, pl.String),
        container_id=bare_id(message.str.extract(_OLD, 1)),
        grace_seconds=message.str.extract(_OLD, 2).cast(pl.Float64),
        why=pl.lit(None, pl.String),
    )
    probe = (
        (message == "SyncLoop (probe)")
        & text.str.contains(r' probe="?(?:liveness|startup)"? ', literal=False)
        & text.str.contains(r' status="?unhealthy"?(?: |$)')
    )
    unhealthy = lines.filter(probe | message.str.contains(_UNHEALTHY)).with_columns(
        container=pl.lit(None, pl.String),
        container_id=pl.lit(None, pl.String),
        grace_seconds=pl.lit(None, pl.Float64),
        why=pl.lit("probe"),
    )
    return [part.with_columns(told_by=pl.lit("kubelet")) for part in (new, old, unhealthy)]


def _of_runtime(messages: pl.LazyFrame) -> list[pl.LazyFrame]:
    message = pl.col("message")
    stops = [
        messages.filter(message.str.contains(pattern)).with_columns(
            container_id=message.str.extract(pattern, 1),
            grace_seconds=message.str.extract(pattern, 2).cast(pl.Float64, strict=False),
            why=pl.lit(None, pl.String),
        )
        for pattern in (_STOP, _CRIO)
    ]
    forced = messages.filter(message.str.contains(_FORCE) | message.str.contains(_DOCKER)).with_columns(
        container_id=pl.coalesce(message.str.extract(_FORCE, 1), "container_id"),
        grace_seconds=pl.lit(None, pl.Float64),
        why=pl.lit("forced"),
    )
    return [part.with_columns(told_by=pl.lit("runtime")) for part in (*stops, forced)]


def _of_events(events: pl.LazyFrame) -> pl.LazyFrame:
    """`Stopping container web`, `Container web failed liveness probe, will be restarted`."""
    message = pl.col("message")
    told = events.filter(pl.col("reason") == "Killing", pl.col("kind") == "Pod")
    probe = message.str.contains(r"(?i)(?:liveness|startup) probe")
    return told.with_columns(
        host="node",
        pod=pl.col("namespace") + "/" + pl.col("name"),
        container=message.str.extract(r"^(?:Stopping container|Container) (\S+)", 1),
        container_id=pl.lit(None, pl.String),
        grace_seconds=pl.lit(None, pl.Float64),
        told_by=pl.lit("event"),
        why=pl.when(probe).then(pl.lit("probe")),
    )


def _derive(frames: Frames) -> pl.LazyFrame:
    parts: list[pl.LazyFrame] = []
    if KLOG_LINES in frames:
        parts += _of_kubelet(frames[KLOG_LINES])
    if RUNTIME_MESSAGES in frames:
        parts += _of_runtime(frames[RUNTIME_MESSAGES])
    if TOLD_EVENTS in frames:
        parts.append(_of_events(frames[TOLD_EVENTS]))
    grace = bounded_seconds(pl.col("grace_seconds")).alias("grace_seconds")
    shaped = [part.with_columns(grace, node=node()).select(list(_TABLE.schema)) for part in parts]
    return pl.concat([empty(_TABLE).lazy(), *shaped]).sort("time", "source", "number", nulls_last=True)


CONTAINER_KILLS = Fact(
    table=_TABLE,
    needs_any=((KLOG_LINES,), (RUNTIME_MESSAGES,), (TOLD_EVENTS,)),
    derive=_derive,
)
