"""What component logs say about themselves that belongs on the timeline: the first line of each telling kind."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.frames import COREDNS_ERRORS, KLOG_LINES
from analyzer.story.series import Get

# Message texts of kubelet and client-go, stable over the versions named; line numbers change, texts do not.
KINDS: tuple[tuple[str, str, str], ...] = (
    (
        "lease-errors",
        "could not renew a node lease",
        r"(?i)failed to (update lease|ensure lease exists)",  # kubelet, all versions
    ),
    (
        "node-status-errors",
        "could not report a node status",
        r"(?i)(error|unable) (to update|updating) node status",
    ),
    (
        "server-throttling",
        "was told by the API server to wait",
        r"(?i)due to server-side throttling|server has received too many requests",  # client-go
    ),
    (
        "image-pull-errors",
        "failed to pull an image",
        r"PullImage from image service failed",  # cri remote_image.go; one line per attempt
    ),
    ("pleg", "found the pod lifecycle event generator unhealthy", r"PLEG is not healthy: pleg was last seen"),
)


class Observation(Struct, frozen=True, kw_only=True):
    """`count` lines of one kind by one host between first and last; `source` and `number` name the first."""

    kind: str
    text: str
    host: str
    first: datetime
    last: datetime
    count: int
    source: str
    number: int


def observations(get: Get) -> tuple[Observation, ...]:
    """Telling lines of component logs, one entry per kind and host, oldest first."""
    found = [*_klog(get), *_coredns(get)]
    return tuple(sorted(found, key=lambda seen: (seen.first, seen.kind, seen.source, seen.number)))


def _klog(get: Get) -> list[Observation]:
    frame = get(KLOG_LINES)
    if frame is None:
        return []
    kind = pl.lit(None, dtype=pl.String)
    for name, _, pattern in reversed(KINDS):
        kind = pl.when(pl.col("text").str.contains(pattern)).then(pl.lit(name)).otherwise(kind)
    texts = {name: text for name, text, _ in KINDS}
    rows = (
        frame.filter(pl.col("time").is_not_null())
        .with_columns(kind=kind, host=pl.coalesce("host", "component", pl.lit("a component")))
        .filter(pl.col("kind").is_not_null())
        .sort("time", "source", "number")
        .group_by("kind", "host", maintain_order=True)
        .agg(
            first=pl.col("time").first(),
            last=pl.col("time").last(),
            count=pl.len(),
            source=pl.col("source").first(),
            number=pl.col("number").first(),
        )
        .collect()
    )
    return [Observation(text=texts[row["kind"]], **row) for row in rows.iter_rows(named=True)]


def _coredns(get: Get) -> list[Observation]:
    frame = get(COREDNS_ERRORS)
    if frame is None:
        return []
    rows = (
        frame.filter(pl.col("time").is_not_null())
        .with_columns(host=pl.coalesce("pod", pl.lit("CoreDNS")))
        .sort("time", "source", "number")
        .group_by("host", maintain_order=True)
        .agg(
            first=pl.col("time").first(),
            last=pl.col("time").last(),
            count=pl.col("count").sum(),
            source=pl.col("source").first(),
            number=pl.col("number").first(),
        )
        .collect()
    )
    return [
        Observation(kind="coredns-errors", text="logged errors from upstream or plugins", **row)
        for row in rows.iter_rows(named=True)
    ]
