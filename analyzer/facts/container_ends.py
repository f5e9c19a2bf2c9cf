"""When containers ended, and with which exit code."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.klog_values import number, value
from analyzer.facts.node_names import node, short_node
from analyzer.facts.pleg_events import bare_id, pleg_events
from analyzer.frames import AUDIT_CONTAINERS, KLOG_LINES, RUNTIME_MESSAGES, Col, Table, empty
from analyzer.frames.contract import PLACE

A_SECOND = pl.duration(microseconds=999_999)

KILLED = 137
"""The exit code of a process that SIGKILL ended: 128 and the number of the signal."""

_TABLE = Table(
    "container_ends",
    "One row per container, or sandbox, that ended. The time is the first that a log of the node tells, else the end "
    "of the second that its pod's status tells; `source` and `number` are of the record with the exit code where "
    "there is one.",
    (
        *PLACE,
        Col("node", pl.String(), "Node: the host without its domain, in lower case; the input where no host is told."),
        Col("container_id", pl.String(), "Id of the container."),
        Col("uid", pl.String(), "UID of its pod; null if not told."),
        Col("pod", pl.String(), "namespace/name; null if not told."),
        Col("exit_code", pl.Int64(), "Exit code; null where nothing tells it, as in kubelet logs before 1.22."),
    ),
)

_EXIT_NEW = r'container_id:"([^"]+)".*?\bid:"([^"]+)".*?exit_status:([0-9]+)'
_EXIT_OLD = r"ContainerID:([^,}]+),ID:([^,}]+),.*?ExitStatus:([0-9]+)"
"""containerd's TaskExit: as a Struct until 1.6, in the text form of protobuf since. `id` is the container's own where
the first process ended, and that of an exec else. A status of zero is left out in the text form."""


def _by_status(told: pl.LazyFrame) -> pl.LazyFrame:
    """What the status of pods tells to the second: the latest moment that it can be, so that nothing ends before its
    kill."""
    return told.with_columns(
        time=pl.coalesce(pl.col("finished_at") + A_SECOND, "time"),
        node=short_node(pl.col("node")),
        uid=pl.lit(None, pl.String),
        pod=pl.concat_str("namespace", pl.lit("/"), "pod"),
    )


def _derive(frames: Frames) -> pl.LazyFrame:
    kept = ["time", "source", "number", "node", "container_id", "uid", "pod", "exit_code"]
    parts = [empty(_TABLE).lazy().select(*kept, by_status=pl.lit(None, pl.Boolean))]
    nothing = pl.lit(None, pl.String)
    if KLOG_LINES in frames:
        lines = frames[KLOG_LINES]
        finished = lines.filter(pl.col("message") == "Generic (PLEG): container finished").with_columns(
            container_id=bare_id(value("containerID")),
            uid=value("podID"),
            exit_code=number("exitCode").cast(pl.Int64, strict=False),
        )
        died = pleg_events(lines).filter(pl.col("type") == "ContainerDied")
        parts += [
            part.with_columns(node=node()).select(kept)
            for part in (finished, died.with_columns(exit_code=pl.lit(None, pl.Int64)))
        ]
    if RUNTIME_MESSAGES in frames:
        for pattern in (_EXIT_NEW, _EXIT_OLD):
            found = pl.col("message").str.extract_groups(pattern).struct
            told = frames[RUNTIME_MESSAGES].with_columns(
                container_id=found.field("1"), process=found.field("2"), status=found.field("3")
            )
            own = told.filter(pl.col("container_id") == pl.col("process"))
            code = pl.col("status").cast(pl.Int64, strict=False)
            parts.append(own.with_columns(node=node(), uid=nothing, exit_code=code).select(kept))
    if AUDIT_CONTAINERS in frames:
        parts.append(_by_status(frames[AUDIT_CONTAINERS]).select(*kept, by_status=pl.lit(True)))
    told_code = pl.col("exit_code").is_not_null()
    best = pl.coalesce(told_code.arg_max(), 0)
    return (
        pl.concat(parts, how="diagonal")
        .with_columns(pl.col("by_status").fill_null(False))
        .filter(pl.col("container_id").is_not_null(), pl.col("time").is_not_null())
        .sort("time", "source", "number")
        .group_by("container_id", maintain_order=True)
        .agg(
            pl.coalesce(pl.col("time").filter(~pl.col("by_status")).first(), pl.col("time").first()).alias("time"),
            *(pl.col(name).get(best) for name in ("source", "number")),
            pl.col("node").drop_nulls().first(),
            *(pl.col(name).drop_nulls().first() for name in ("uid", "pod", "exit_code")),
        )
        .select(list(_TABLE.schema))
        .sort("time", "source", "number")
    )


CONTAINER_ENDS = Fact(table=_TABLE, needs_any=((KLOG_LINES,), (RUNTIME_MESSAGES,), (AUDIT_CONTAINERS,)), derive=_derive)
