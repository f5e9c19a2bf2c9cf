"""What tells of a runtime or a node that stands still: rows of one kind each, of kubelet, runtime, kernel and Events.

`weight`: `pleg` fires alone; `strong` are deadlines and hung tasks; `weak` count in company only; `context` says why.
"""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Frames
from analyzer.facts.klog_values import go_seconds, number, value
from analyzer.facts.pleg_events import bare_id, node
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, RUNTIME_MESSAGES, empty

SCHEMA = pl.Schema(
    {
        "time": pl.Datetime("us", "UTC"),
        "source": pl.String(),
        "number": pl.Int64(),
        "node": pl.String(),
        "host": pl.String(),
        "kind": pl.String(),
        "weight": pl.String(),
        "seconds": pl.Float64(),
        "about": pl.String(),
        "text": pl.String(),
    }
)

_DEADLINE = r"DeadlineExceeded|context deadline exceeded|[Oo]peration timeout|timed out"
_LAST_ACTIVE = r"pleg was last seen active ([0-9a-zµ.]+) ago"
FREEZER = r"__refrigerator|freezer|(?i:frozen|unable to freeze|freezing)"

_CALLS = {
    "stop deadline": r'^(?:StopContainer|StopPodSandbox)(?: "[^"]*")? from runtime service failed',
    "sandbox deadline": r"^RunPodSandbox from runtime service failed",
}
"""kubernetes pkg/kubelet/cri/remote/remote_runtime.go: structured since 1.21, before `StopContainer "id" from runtime
service failed: error`. A stop may take its grace and two minutes more, another call two minutes."""

_CGROUP = r"^[Ff]ailed to (?:kill all the processes attached to (?:the .* )?cgroups?|delete cgroup paths)"
"""pkg/kubelet/cm/pod_container_manager_linux.go."""

_HOUSEKEEPING = "housekeeping took too long"
LONG_HOUSEKEEPING = 15.0
"""Seconds that Kubernetes 1.23 to 1.26 complain of (housekeepingWarningDuration); since 1.27 one second is enough."""


def _shaped(rows: pl.LazyFrame, kind: str, weight: str) -> pl.LazyFrame:
    there = rows.collect_schema()
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in SCHEMA.items() if name not in there]
    return rows.with_columns(missing).with_columns(kind=pl.lit(kind), weight=pl.lit(weight)).select(list(SCHEMA))


def _of_kubelet(lines: pl.LazyFrame) -> list[pl.LazyFrame]:
    message, text = pl.col("message"), pl.col("text")
    named = lines.with_columns(node=node())
    late = text.str.contains(_DEADLINE)
    who = pl.coalesce(
        "pod", bare_id(value("containerID")), value("podSandboxID"), message.str.extract(r' "([^"]+)" ', 1)
    )
    sync = message.str.to_lowercase().str.starts_with("skipping pod synchronization")
    took = pl.coalesce(go_seconds(value("actual")), go_seconds(value("seconds")), number("seconds"))
    parts = [
        _shaped(
            named.filter(sync, text.str.contains(_LAST_ACTIVE)).with_columns(
                seconds=go_seconds(text.str.extract(_LAST_ACTIVE, 1))
            ),
            "PLEG",
            "pleg",
        ),
        _shaped(
            named.filter(sync, text.str.contains("container runtime is down", literal=True)), "runtime down", "weak"
        ),
        _shaped(
            named.filter(
                message.str.contains(
                    r"^[kK]illPod failed$|^Container termination failed|^Container .* termination failed"
                ),
                late,
            ).with_columns(about=who),
            "failed kill",
            "weak",
        ),
        _shaped(named.filter(message.str.contains(_CGROUP)).with_columns(about=value("cgroupName")), "cgroup", "weak"),
        _shaped(
            named.filter(message == _HOUSEKEEPING)
            .with_columns(seconds=took)
            .filter(pl.col("seconds") >= LONG_HOUSEKEEPING),
            "housekeeping",
            "weak",
        ),
        _shaped(named.filter(message == "Node became not ready"), "not ready", "context"),
        _shaped(
            named.filter(message.str.starts_with("Fast updating node status as it just became ready")),
            "ready",
            "context",
        ),
    ]
    for kind, pattern in _CALLS.items():
        calls = named.filter(message.str.contains(pattern), late).with_columns(about=who)
        parts.append(_shaped(calls, kind, "strong"))
    return parts


def _of_runtime(messages: pl.LazyFrame, *, alone: bool) -> list[pl.LazyFrame]:
    """containerd internal/cri/instrument: `StopContainer for "id" failed`, error=".. DeadlineExceeded ..". Where a kubelet's
    log is there it tells of the same call, so that these rows are weak beside it (`alone` is false)."""
    message, error = pl.col("message"), pl.col("error")
    named = messages.with_columns(node=node(), text=pl.concat_str("message", pl.lit(" "), "error", ignore_nulls=True))
    failed = message.str.contains(r"^(?:StopContainer|StopPodSandbox|RunPodSandbox) for .* failed")
    late = named.filter(failed, error.str.contains(_DEADLINE)).with_columns(about="container_id")
    if not alone:
        return [_shaped(late, "runtime's deadline", "weak")]
    run = message.str.starts_with("RunPodSandbox")
    return [
        _shaped(late.filter(run), "sandbox deadline", "strong"),
        _shaped(late.filter(~run), "stop deadline", "strong"),
    ]


def _of_kernel(messages: pl.LazyFrame) -> list[pl.LazyFrame]:
    text = pl.col("text")
    named = messages.rename({"kind": "what"}).with_columns(node=node())
    kind = pl.col("what")
    hung = named.filter(kind == "hung_task").with_columns(
        seconds=pl.col("duration_seconds").cast(pl.Float64), about="process"
    )
    disk = named.filter(kind.is_in(["io_error", "nfs_timeout"])).with_columns(about=pl.coalesce("device", "dst"))
    frozen = named.filter(kind.is_in(["call_trace", "other"]), text.str.contains(FREEZER))
    return [
        _shaped(hung, "hung task", "strong"),
        _shaped(disk, "I/O error", "context"),
        _shaped(frozen, "freezer", "context"),
    ]


def _of_events(events: pl.LazyFrame) -> list[pl.LazyFrame]:
    """What node-problem-detector and the kubelet tell of the node."""
    reason = pl.col("reason")
    named = (
        events.filter(pl.col("kind") == "Node")
        .drop("kind")
        .with_columns(host=pl.coalesce("node", "name"), text="message")
    )
    told = named.drop("node").with_columns(node=node())
    return [
        _shaped(told.filter(reason == "TaskHung"), "hung task Event", "weak"),
        _shaped(told.filter(reason == "NodeNotReady"), "not ready", "context"),
        _shaped(told.filter(reason == "NodeReady"), "ready", "context"),
    ]


def signals(frames: Frames) -> pl.DataFrame:
    """All rows in the order of time, as SCHEMA. Rows without a time cannot be placed and are left out."""
    parts = [pl.LazyFrame(schema=SCHEMA)]
    parts += _of_kubelet(frames[KLOG_LINES]) if KLOG_LINES in frames else []
    parts += _of_runtime(frames[RUNTIME_MESSAGES], alone=KLOG_LINES not in frames) if RUNTIME_MESSAGES in frames else []
    parts += _of_kernel(frames[KERNEL_MESSAGES]) if KERNEL_MESSAGES in frames else []
    parts += _of_events(frames[TOLD_EVENTS]) if TOLD_EVENTS in frames else []
    found = pl.concat(parts).filter(pl.col("time").is_not_null())
    return found.sort("time", "source", "number", "kind").collect()


def kernel_of_the_only_node(rows: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """A `dmesg` names no host: where one kubelet alone is seen, its kernel is meant."""
    lines = frames[KLOG_LINES] if KLOG_LINES in frames else empty(KLOG_LINES).lazy()
    own = lines.filter((pl.col("component") == "kubelet").fill_null(True))
    nodes = own.select(node=node(), host="host").unique().collect().sort("node", "host", nulls_last=True)
    if nodes["node"].n_unique() != 1:
        return rows
    nameless = pl.col("host").is_null() & pl.col("kind").is_in(["hung task", "I/O error", "freezer"])
    name, host = nodes.row(0)
    return rows.with_columns(
        node=pl.when(nameless).then(pl.lit(name)).otherwise("node"),
        host=pl.when(nameless).then(pl.lit(host, pl.String)).otherwise("host"),
    )
