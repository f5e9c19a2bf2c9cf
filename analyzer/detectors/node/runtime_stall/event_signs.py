"""What Events say of a node that stands still: those of node-problem-detector, of the kubelet and of controllers.

node-problem-detector makes an Event of a line of the kernel, with the line as its message (config/kernel-monitor.json:
TaskHung, IOError, Ext4Error; config/readonly-monitor.json: FilesystemIsReadOnly), and of a condition that changes, as
`Node condition KernelDeadlock is now: True, reason: DockerHung, message: "task docker:20 blocked ..."`
(pkg/util/helpers.go); its health checker asks the runtime (config/health-checker-containerd.json). The kubelet says
that a garbage collection failed (pkg/kubelet/kubelet.go, StartGarbageCollection).
"""

from __future__ import annotations

import polars as pl

from analyzer.detectors.node.runtime_stall.kubelet_signs import DEADLINE, LAST_ACTIVE, shaped
from analyzer.facts.contract import Frames
from analyzer.facts.klog_values import go_seconds
from analyzer.facts.node_names import node
from analyzer.facts.pleg_events import bounded_seconds
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, empty

_HUNG = r"^(?:INFO: )?task .+:\w+ blocked (?:in I/O wait )?for more than [0-9]+ seconds|^Node condition KernelDeadlock"
_HUNG_REASONS = ("TaskHung", "DockerHung", "ContainerdHung", "AUFSUmountHung")
"""The two last are of older and of vendors' configurations."""

_IO = ("IOError", "Ext4Error", "FilesystemIsReadOnly", "XfsHasShutdown")
_UNHEALTHY = ("ContainerdUnhealthy", "DockerUnhealthy", "CRIOUnhealthy", "ContainerRuntimeUnhealthy")
_COLLECTION = ("ContainerGCFailed", "ImageGCFailed")


def of_events(events: pl.LazyFrame, frames: Frames) -> list[pl.LazyFrame]:
    """A hung task is a strong sign where the kernel's log does not tell of it itself, and so is a condition about the
    PLEG where the kubelet's does not. Of a repeated Event the first and the last occurrence count."""
    named = (
        events.filter(pl.col("kind") == "Node")
        .drop("kind")
        .with_columns(host=pl.coalesce("node", "name"), text="message")
        .drop("node")
        .with_columns(node=node())
    )
    reason, text = pl.col("reason"), pl.col("text")
    told = _occurrences(named)
    hung = told.filter(reason.is_in(_HUNG_REASONS), text.str.contains(_HUNG)).with_columns(
        about=text.str.extract(r"task (.+):\w+ blocked ", 1)
    )
    by_kernel = pl.col("node").is_in(_told_by_kernel(frames).implode())
    last_active = bounded_seconds(go_seconds(text.str.extract(LAST_ACTIVE, 1)))
    own = pl.col("node").is_in(_told_by_kubelet(frames).implode())
    pleg = told.with_columns(seconds=last_active).filter(pl.col("seconds") > 0, ~own)
    late = text.str.contains(DEADLINE)
    return [
        shaped(hung.filter(by_kernel), "hung task Event", "weak"),
        shaped(hung.filter(~by_kernel), "hung task Event", "strong"),
        shaped(pleg, "PLEG", "pleg"),
        shaped(told.filter(reason.is_in(_UNHEALTHY)), "failed health check", "strong"),
        shaped(told.filter(reason.is_in(_COLLECTION), late), "garbage collection", "weak"),
        shaped(told.filter(reason.is_in(_IO)), "I/O error", "context"),
        shaped(named.filter(reason == "NodeNotReady"), "not ready", "context"),
        shaped(named.filter(reason == "NodeReady"), "ready", "context"),
    ]


def _occurrences(events: pl.LazyFrame) -> pl.LazyFrame:
    """The last record of each Event, and its first occurrence where it came more than once."""
    known = pl.col("event_uid").is_not_null()
    whole = pl.concat(
        [
            events.filter(known).sort("count", "time").unique("event_uid", keep="last", maintain_order=True),
            events.filter(~known),
        ]
    )
    again = whole.filter(pl.col("count") > 1, pl.col("first_time") < pl.col("time"))
    return pl.concat([whole, again.with_columns(time="first_time")])


def _told_by_kernel(frames: Frames) -> pl.Series:
    """Nodes whose kernel's log tells of hung tasks; a log that names no host may be of any."""
    lines = frames[KERNEL_MESSAGES] if KERNEL_MESSAGES in frames else empty(KERNEL_MESSAGES).lazy()
    hung = lines.filter(pl.col("kind") == "hung_task").select("host", node=node()).unique().collect()
    if not hung["host"].has_nulls():
        return hung["node"].unique()
    events = frames[TOLD_EVENTS].filter(pl.col("kind") == "Node").with_columns(host=pl.coalesce("node", "name"))
    return events.select(node=node()).unique().collect()["node"]


def _told_by_kubelet(frames: Frames) -> pl.Series:
    """Nodes whose kubelet's log tells of its PLEG."""
    lines = frames[KLOG_LINES] if KLOG_LINES in frames else empty(KLOG_LINES).lazy()
    return lines.filter(pl.col("text").str.contains(LAST_ACTIVE)).select(node=node()).unique().collect()["node"]
