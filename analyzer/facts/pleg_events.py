"""What the kubelet's PLEG says of containers: what several facts share."""

from __future__ import annotations

import polars as pl

UID = r'ID"?: ?"?([0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}|[0-9a-f]{32})'
_TYPE = r'Type"?: ?"?(Container[A-Za-z]+)'
_DATA = r'Data"?: ?"?([^"}\s]+)'


def bare_id(text: pl.Expr) -> pl.Expr:
    """A container's id without the runtime's name before it (`containerd://`)."""
    return text.str.replace(r"^[A-Za-z0-9.+-]+://", "")


MOST_SECONDS = 1e9
"""Thirty years: no grace, timeout or wait is longer; a log may say anything."""


def bounded_seconds(seconds: pl.Expr) -> pl.Expr:
    """Seconds that can be true: finite, not negative, at most MOST_SECONDS; else null."""
    return pl.when(seconds.is_finite() & seconds.is_between(0, MOST_SECONDS)).then(seconds)


def pleg_events(lines: pl.LazyFrame) -> pl.LazyFrame:
    """The lines `SyncLoop (PLEG)` with `type` (ContainerStarted, ContainerDied ..), `uid` of the pod and
    `container_id`, which may be that of a sandbox (kubernetes pkg/kubelet/kubelet.go, syncLoopIteration):
    `event=&{ID:.. Type:.. Data:..}` in 1.21 to 1.26, then `event={"ID":"..","Type":"..","Data":".."}`, before
    `event: &pleg.PodLifecycleEvent{ID:"..", Type:"..", Data:".."}`."""
    text = pl.col("text")
    return lines.filter(pl.col("message").str.starts_with("SyncLoop (PLEG)")).with_columns(
        type=text.str.extract(_TYPE, 1), uid=text.str.extract(UID, 1), container_id=text.str.extract(_DATA, 1)
    )
