"""What a time of overload was like: latencies and their parts, gaps, who asked for the time, what kubelets say."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.apiserver.apiserver_overload.signs import TIMED_OUT, Window
from analyzer.facts.contract import Frames
from analyzer.frames import KLOG_LINES

COMPLAINTS = (
    "Failed to update lease",
    "Failed to ensure lease exists, will retry",
    "failed to ensure lease exists, will retry",
    "Error updating node status, will retry",
    "Unable to update node status",
    "failed to list *v1.",
)
"""What kubelets and controllers say while the server does not answer (kubernetes `component-helpers/apimachinery/lease/
controller.go`, `pkg/kubelet/kubelet_node_status.go`; client-go `tools/cache/reflector.go`)."""

AROUND = timedelta(seconds=60)
LEAST_BASE = 20
"""Requests that a baseline needs."""


class Measured(Struct, frozen=True, kw_only=True):
    """Figures of one window; None where the log does not tell.

    `etcd` and `queue` are shares of the latency of slow requests that have the annotation (only those above 500 ms do);
    `added` is the sum of what was above the median of quiet times.
    """

    requests: int
    failed: int
    timed_out: int
    panics: int
    slow: int
    gap: float
    p50: float | None
    p95: float | None
    p99: float | None
    etcd: float | None
    queue: float | None
    etcd_seconds: float
    spent: float
    quiet: float | None
    added: float | None
    complaints: int | None
    node_requests: int


def measured(
    frames: Frames, requests: pl.DataFrame, all_windows: list[Window], window: Window, quiet_seconds: float
) -> Measured:
    inside = requests.filter(window.rows)
    latency = inside["latency_seconds"].drop_nulls()
    p50, p95, p99 = (
        None if not latency.len() else round(float(latency.quantile(q, "nearest") or 0), 6) for q in (0.5, 0.95, 0.99)
    )
    quiet = _quiet(requests, all_windows, quiet_seconds)
    told = inside.filter("slow", pl.col("latency_etcd_seconds").is_not_null())
    waited = inside.filter("slow", pl.col("latency_queue_seconds").is_not_null())
    bad = inside.filter(pl.col("failed") | pl.col("slow"))
    return Measured(
        requests=inside.height,
        failed=int(inside["failed"].sum()),
        timed_out=inside.filter("failed", pl.col("code") == TIMED_OUT).height,
        panics=inside.filter(pl.col("stage") == "Panic").height,
        slow=int(inside["slow"].sum()),
        gap=_gap(requests, window),
        p50=p50,
        p95=p95,
        p99=p99,
        etcd=_share(told, "latency_etcd_seconds"),
        queue=_share(waited, "latency_queue_seconds"),
        etcd_seconds=round(float(inside["latency_etcd_seconds"].sum()), 6),
        spent=round(float(latency.sum()), 6),
        quiet=quiet,
        added=None if quiet is None else round(float((latency - quiet).clip(lower_bound=0).sum()), 6),
        complaints=_complaints(frames, window),
        node_requests=bad.filter(pl.col("resource").is_in(["leases", "nodes"]), pl.col("caller") == "node").height,
    )


def _share(rows: pl.DataFrame, part: str) -> float | None:
    whole = float(rows["latency_seconds"].sum())
    return round(min(1.0, float(rows[part].sum()) / whole), 6) if whole > 0 else None


def _gap(requests: pl.DataFrame, window: Window) -> float:
    """The longest time without a request from a minute before the window to a minute after it."""
    near = requests.filter(pl.col("time").is_between(window.start - AROUND, window.end + AROUND))
    longest: timedelta | None = near["time"].diff().max()  # type: ignore[assignment]
    return longest.total_seconds() if longest is not None else 0.0


def _quiet(requests: pl.DataFrame, found: list[Window], least: float) -> float | None:
    """Median latency outside of all windows; None where less than `least` seconds are."""
    edges: timedelta = requests["time"][-1] - requests["time"][0]
    if edges.total_seconds() - sum(window.seconds for window in found) < least:
        return None
    outside = requests.filter(~pl.any_horizontal([window.rows for window in found]))["latency_seconds"].drop_nulls()
    return float(outside.median() or 0) if outside.len() >= LEAST_BASE else None  # type: ignore[arg-type]


def _complaints(frames: Frames, window: Window) -> int | None:
    if KLOG_LINES not in frames:
        return None
    near = pl.col("time").is_between(window.start - AROUND, window.end + AROUND)
    said = pl.col("text").str.contains_any(list(COMPLAINTS))
    return int(frames[KLOG_LINES].filter(near, said).select(pl.len()).collect().item())
