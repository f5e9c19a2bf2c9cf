"""What tells of a runtime or a node that stands still: rows of one kind each, of kubelet, runtime, kernel and Events.

`weight`: `pleg` fires alone; `strong` are deadlines and hung tasks; `weak` count in company only; `context` says why.
"""

from __future__ import annotations

import polars as pl

from analyzer.detectors.node.runtime_stall.event_signs import of_events
from analyzer.detectors.node.runtime_stall.kubelet_signs import DEADLINE, SCHEMA, of_kubelet, shaped
from analyzer.facts.container_names import CONTAINER_NAMES
from analyzer.facts.contract import Frames
from analyzer.facts.node_names import node
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, RUNTIME_MESSAGES, empty

FREEZER = (
    r"__refrigerator|freezer_trap|freezer\.state|cgroup\.freeze|unable to freeze"
    r'|(?:^|[ :(])(?:[Ff]rozen|FROZEN|FREEZING)(?:[ :,.;)\\"]|$)'
)
"""The kernel's stack of a frozen task (kernel/freezer.c, kernel/signal.c), and what runc says of its cgroup. Not a pod
that is called so, nor a machine that is suspended (`Freezing user space processes`)."""


def _of_runtime(messages: pl.LazyFrame, *, alone: bool) -> list[pl.LazyFrame]:
    """containerd internal/cri/instrument: `StopContainer for "id" failed`, error=".. DeadlineExceeded ..". Where a
    kubelet's log is there it tells of the same call, so that these rows are weak beside it (`alone` is false)."""
    message, error = pl.col("message"), pl.col("error")
    named = messages.with_columns(node=node(), text=pl.concat_str("message", pl.lit(" "), "error", ignore_nulls=True))
    failed = message.str.contains(r"^(?:StopContainer|StopPodSandbox|RunPodSandbox) for .* failed")
    named_id = pl.coalesce("container_id", message.str.extract(r' for "([^"]+)"', 1))
    late = named.filter(failed, error.str.contains(DEADLINE)).with_columns(about=named_id)
    if not alone:
        return [shaped(late, "runtime's deadline", "weak")]
    run = message.str.starts_with("RunPodSandbox")
    return [
        shaped(late.filter(run), "sandbox deadline", "strong"),
        shaped(late.filter(~run), "stop deadline", "strong"),
    ]


def _of_kernel(messages: pl.LazyFrame) -> list[pl.LazyFrame]:
    text = pl.col("text")
    named = messages.rename({"kind": "what"}).with_columns(node=node())
    kind = pl.col("what")
    hung = named.filter(kind == "hung_task").with_columns(
        seconds=pl.col("duration_seconds").cast(pl.Float64),
        about=pl.concat_str("process", pl.lit(":"), pl.col("pid").cast(pl.String), ignore_nulls=True),
    )
    disk = named.filter(kind.is_in(["io_error", "nfs_timeout"])).with_columns(about=pl.coalesce("device", "dst"))
    frozen = named.filter(kind.is_in(["call_trace", "other"]), text.str.contains(FREEZER))
    return [
        shaped(hung, "hung task", "strong"),
        shaped(disk, "I/O error", "context"),
        shaped(frozen, "freezer", "context"),
    ]


def signals(frames: Frames) -> pl.DataFrame:
    """All rows in the order of time, as SCHEMA. Rows without a time cannot be placed and are left out."""
    parts = [pl.LazyFrame(schema=SCHEMA)]
    parts += of_kubelet(frames[KLOG_LINES]) if KLOG_LINES in frames else []
    parts += _of_runtime(frames[RUNTIME_MESSAGES], alone=KLOG_LINES not in frames) if RUNTIME_MESSAGES in frames else []
    parts += _of_kernel(frames[KERNEL_MESSAGES]) if KERNEL_MESSAGES in frames else []
    parts += of_events(frames[TOLD_EVENTS], frames) if TOLD_EVENTS in frames else []
    names = frames[CONTAINER_NAMES] if CONTAINER_NAMES in frames else empty(CONTAINER_NAMES.table).lazy()
    known = names.filter(pl.col("pod").is_not_null()).select(about="container_id", of="pod")
    found = pl.concat(parts).filter(pl.col("time").is_not_null()).join(known, on="about", how="left")
    named = found.with_columns(about=pl.coalesce("of", "about")).select(list(SCHEMA))
    return named.sort("time", "source", "number", "kind").collect()


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
