"""Which pod and container an id is of, as the kubelet and the runtime name them together."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.klog_values import value
from analyzer.facts.pleg_events import bare_id, pleg_events
from analyzer.frames import KLOG_LINES, RUNTIME_MESSAGES, Col, Table, empty
from analyzer.frames.contract import PLACE

_TABLE = Table(
    "container_names",
    "One row per container id that a log names with its pod; sandboxes are among them. The place is the first one.",
    (
        *PLACE,
        Col("container_id", pl.String(), "Id, without the runtime's name."),
        Col("pod", pl.String(), "namespace/name; null if not told."),
        Col("uid", pl.String(), "UID of the pod; null if not told."),
        Col("container", pl.String(), "Name of the container within its pod; null if not told, and of sandboxes."),
    ),
)


def _derive(frames: Frames) -> pl.LazyFrame:
    parts = [empty(_TABLE).lazy()]
    kept = ["time", "source", "number", "container_id", "pod", "uid", "container"]
    if KLOG_LINES in frames:
        lines = frames[KLOG_LINES]
        parts.append(pleg_events(lines).with_columns(container=pl.lit(None, pl.String)).select(kept))
        named = lines.filter(
            pl.col("text").str.contains(" containerID=", literal=True), pl.col("pod").is_not_null()
        ).with_columns(
            container_id=bare_id(value("containerID")), uid=value("podUID"), container=value("containerName")
        )
        parts.append(named.select(kept))
    if RUNTIME_MESSAGES in frames:
        told = frames[RUNTIME_MESSAGES].filter(
            pl.col("container_id").is_not_null(), pl.col("pod").is_not_null() | pl.col("container").is_not_null()
        )
        parts.append(told.with_columns(uid="pod_uid").select(kept))
    first = [pl.col(name).drop_nulls().first() for name in ("pod", "uid", "container")]
    return (
        pl.concat(parts)
        .filter(pl.col("container_id").is_not_null())
        .sort("time", "source", "number", nulls_last=True)
        .group_by("container_id", maintain_order=True)
        .agg(pl.col("time", "source", "number").first(), *first)
        .select(kept)
        .sort("time", "source", "number", nulls_last=True)
    )


CONTAINER_NAMES = Fact(table=_TABLE, needs_any=((KLOG_LINES,), (RUNTIME_MESSAGES,)), derive=_derive)
