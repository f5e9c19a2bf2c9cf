"""When pods started, got an address and were deleted, by whoever tells of it."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.klog_values import names
from analyzer.facts.requests import AUDIT_REQUESTS, meant
from analyzer.frames import AUDIT_OBJECTS, IAM_PROXY_MESSAGES, KLOG_LINES, Col, Table
from analyzer.frames.contract import PLACE

MOMENTS = Table(
    "pod_moments",
    "One row per moment in the life of a pod that a log tells of.",
    (
        *PLACE,
        Col(
            "what",
            pl.String(),
            "started: a container or sandbox, as the kubelet saw it. address: it has one. deleted: it shall end.",
        ),
        Col("pod", pl.String(), "namespace/name."),
        Col("uid", pl.String(), "UID; null if not told."),
        Col("address", pl.String(), "Its address, where that is told; else null."),
        Col("host", pl.String(), "Host whose kubelet tells it; null without one."),
    ),
)

_STARTED = r"ContainerStarted"
_UID = r'ID"?: ?"?([0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}|[0-9a-f]{32})'
_GOOD = 300


def _of_kubelet(lines: pl.LazyFrame) -> list[pl.LazyFrame]:
    """The PLEG's events and the end of pods (kubernetes pkg/kubelet/kubelet.go, syncLoopIteration), of every era:
    `"SyncLoop DELETE" source="api" pods=["ns/name"]`, before 1.21 `SyncLoop (DELETE, "api"): "name_ns(uid)"`."""
    text, message = pl.col("text"), pl.col("message")
    started = lines.filter(message.str.starts_with("SyncLoop (PLEG)"), text.str.contains(_STARTED, literal=True))
    new = lines.filter(message == "SyncLoop DELETE").with_columns(pod=names("pods")).explode("pod", empty_as_null=True)
    old = lines.filter(message.str.starts_with("SyncLoop (DELETE"))
    return [
        started.with_columns(what=pl.lit("started"), uid=text.str.extract(_UID, 1)),
        *(frame.with_columns(what=pl.lit("deleted"), uid=pl.lit(None, pl.String)) for frame in (new, old)),
    ]


def _of_api(requests: pl.LazyFrame) -> pl.LazyFrame:
    """Pods that somebody deleted or evicted."""
    gone = (pl.col("verb") == "delete") & pl.col("subresource").is_null()
    evicted = (pl.col("verb") == "create") & (pl.col("subresource") == "eviction")
    return requests.filter(
        pl.col("resource") == "pods", (gone | evicted).fill_null(False), pl.col("code") < _GOOD
    ).with_columns(what=pl.lit("deleted"), pod=pl.col("namespace") + "/" + pl.col("name"))


def _derive(frames: Frames) -> pl.LazyFrame:
    parts: list[pl.LazyFrame] = []
    if KLOG_LINES in frames:
        parts += [part.with_columns(address=pl.lit(None, pl.String)) for part in _of_kubelet(frames[KLOG_LINES])]
    if AUDIT_REQUESTS in frames:
        parts.append(_of_api(meant(frames[AUDIT_REQUESTS])))
    if AUDIT_OBJECTS in frames:
        told = frames[AUDIT_OBJECTS].filter(
            pl.col("resource") == "pods", pl.col("pod_ip").is_not_null(), (pl.col("code") < _GOOD).fill_null(True)
        )
        pod = pl.col("namespace") + "/" + pl.col("name")
        parts.append(told.with_columns(what=pl.lit("address"), pod=pod, address="pod_ip"))
    if IAM_PROXY_MESSAGES in frames:
        known = frames[IAM_PROXY_MESSAGES].filter(pl.col("pod").is_not_null(), pl.col("pod_ip").is_not_null())
        parts.append(known.with_columns(what=pl.lit("address"), address="pod_ip"))
    return (
        pl.concat([_shaped(part) for part in parts])
        .filter(pl.col("pod").is_not_null(), pl.col("time").is_not_null())
        .sort("time", "source", "number", "pod", "what")
    )


def _shaped(part: pl.LazyFrame) -> pl.LazyFrame:
    there = part.collect_schema()
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in MOMENTS.schema.items() if name not in there]
    return part.with_columns(missing).select(list(MOMENTS.schema))


POD_MOMENTS = Fact(
    table=MOMENTS,
    needs_any=((KLOG_LINES,), (AUDIT_REQUESTS,), (AUDIT_OBJECTS,), (IAM_PROXY_MESSAGES,)),
    derive=_derive,
)
