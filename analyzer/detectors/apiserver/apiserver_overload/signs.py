"""Which requests failed or were slow because the server, or its store, could not keep up, and when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from msgspec import Struct

from analyzer.detectors.apiserver.apiserver_overload.thresholds import Settings
from analyzer.facts.audit_windows import BIN_SECONDS, merged
from analyzer.facts.contract import Frames
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import AUDIT_ANNOTATIONS
from analyzer.frames.contract import empty

UNAVAILABLE, TIMED_OUT, FAILED = 503, 504, 500

STORE = r"etcdserver|leader changed|context deadline exceeded|request timed out|did not complete within"
"""Messages of 500 that tell of the store or of the server's own timeout: etcd `api/v3rpc/rpctypes/error.go`, apiserver
`pkg/server/filters/timeout.go` ("request did not complete within the requested timeout")."""

OTHERS = r"webhook|error dialing backend|dial tcp"
"""Messages that tell of a webhook or of a node, whose fault is not the server's."""

HEALTH = r"^/(?:healthz|livez|readyz)"

WEBHOOKS = ("apiserver.latency.k8s.io/mutating-webhook", "apiserver.latency.k8s.io/validating-webhook")
"""Parts of the latency that a webhook took (apiserver `pkg/endpoints/request/webhook_duration.go`)."""

HALF = 0.5


class Window(Struct, frozen=True):
    """One time of overload: from the first failed or slow request to the last."""

    start: datetime
    end: datetime
    failed: int
    slow: int

    @property
    def seconds(self) -> float:
        return max((self.end - self.start).total_seconds(), 1.0)

    @property
    def rows(self) -> pl.Expr:
        return pl.col("time").is_between(self.start, self.end)


def judged(frames: Frames, settings: Settings) -> pl.DataFrame:
    """One row per request that is no life of a connection and was not turned away by a limit, in order of time.

    `failed` (5xx of the server or its store, or a panic), `slow` (above the SLO of its kind), `by_webhook` (it would be
    slow, but a webhook took half of the time or more).
    """
    notes = frames.get(AUDIT_ANNOTATIONS, empty(AUDIT_ANNOTATIONS).lazy())
    hooks = (
        notes.filter(pl.col("annotation").is_in(WEBHOOKS)).group_by("source", "number").agg(hooked=pl.sum("seconds"))
    )
    code, message = pl.col("code").fill_null(0), pl.col("message").fill_null("")
    failed = (
        (code.is_in([UNAVAILABLE, TIMED_OUT]) | ((code == FAILED) & message.str.contains(STORE)))
        & ~message.str.contains(OTHERS)
        & ~pl.col("path").str.contains(HEALTH).fill_null(False)
        & (pl.col("subresource").fill_null("") != "log")
    ) | (pl.col("stage") == "Panic").fill_null(False)
    many = pl.col("verb").is_in(["list", "deletecollection"]).fill_null(False)
    most = (
        pl.when(many & pl.col("namespace").is_null())
        .then(settings.cluster_seconds)
        .when(many)
        .then(settings.namespace_seconds)
        .otherwise(settings.object_seconds)
    )
    above = ((pl.col("latency_seconds") > most) & pl.col("resource").is_not_null()).fill_null(False)
    waited = (pl.col("hooked") >= HALF * pl.col("latency_seconds")).fill_null(False)
    return (
        frames[AUDIT_REQUESTS]
        .filter(pl.col("time").is_not_null(), ~pl.col("long_running"), ~pl.col("throttled"))
        .join(hooks, on=["source", "number"], how="left")
        .select(
            *("time", "source", "number", "agent", "user", "verb", "resource", "api_group", "code", "stage", "message"),
            *("latency_seconds", "latency_etcd_seconds", "latency_queue_seconds", "caller", "namespace", "uri_class"),
            failed.alias("failed"),
            (above & ~waited).alias("slow"),
            (above & waited).alias("by_webhook"),
        )
        .sort("time", "source", "number")
        .collect()
    )


def aggregated_down(requests: pl.DataFrame) -> list[str]:
    """API groups of which every answer is 503: the server behind the group is gone, not this one."""
    groups = (
        requests.filter(pl.col("api_group").fill_null("") != "", pl.col("code").is_not_null())
        .group_by("api_group")
        .agg((pl.col("code") == UNAVAILABLE).all().alias("down"))
    )
    answers = requests.filter((pl.col("code") < FAILED).fill_null(False)).height
    return sorted(groups.filter("down")["api_group"].to_list()) if answers else []


def windows(requests: pl.DataFrame, settings: Settings) -> list[Window]:
    """Times in which minutes have so many failed or slow requests, or such a share of them, and so many in all."""
    if not requests.height:
        return []
    first = requests["time"][0]
    place = ((pl.col("time") - first).dt.total_microseconds() // (BIN_SECONDS * 1_000_000)).alias("bin")
    placed = requests.with_columns(place)
    counts = placed.group_by("bin").agg(pl.len(), pl.col("failed", "slow").sum())
    return list(_merged(placed, counts, settings))


def _merged(placed: pl.DataFrame, counts: pl.DataFrame, settings: Settings) -> Iterator[Window]:
    hot = pl.any_horizontal(
        (pl.col(sign) >= settings.per_minute) | ((pl.col(sign) >= settings.share * pl.col("len")) & (pl.col(sign) > 0))
        for sign in ("failed", "slow")
    )
    for low, high in merged(counts.filter(hot)["bin"].to_list()):
        bad = placed.filter(pl.col("bin").is_between(low, high), pl.col("failed") | pl.col("slow"))
        failed, slow = int(bad["failed"].sum()), int(bad["slow"].sum())
        if max(failed, slow) >= settings.per_minute:
            yield Window(bad["time"][0], bad["time"][-1], failed, slow)


def near(starts: pl.DataFrame, window: Window) -> list[dict[str, Any]]:
    """Starts of the server in the window, or in the five minutes after it."""
    until = window.end + timedelta(minutes=5)
    return starts.filter(pl.col("time").is_between(window.start, until)).rows(named=True)
