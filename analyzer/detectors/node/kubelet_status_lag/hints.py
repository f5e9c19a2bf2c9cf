"""What speaks for a cause: the kubelet's own rate limit, the server's, and how many pods came and went."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.node.kubelet_status_lag.measure import Lags
from analyzer.facts.klog_values import go_seconds, value
from analyzer.facts.node_names import short_node
from analyzer.facts.pod_moments import MOMENTS
from analyzer.frames import KLOG_LINES, empty

AROUND = timedelta(minutes=1)
"""Lines so near to the lags are about the same time."""

_NEW = "Waited before sending request"
_OLD = r"^(?:Waited for ([0-9.a-zµ]+) due to client-side throttling|Throttling request took ([0-9.a-zµ]+), request: )"
"""client-go rest/request.go, tryThrottle: since Kubernetes 1.33 structured, since 1.21 as the first, before as the
second form."""


class Hints(Struct, frozen=True, kw_only=True):
    """Waits for the kubelet's own limit and for the server's, with `seconds`, `source`, `number` and `time`; the most
    pods that started and were deleted in one minute."""

    own: pl.DataFrame
    server: pl.DataFrame
    churn: int

    @property
    def own_limit(self) -> bool:
        return self.own.height > 0

    @property
    def sentence(self) -> str:
        if self.own_limit:
            return f"the kubelet says {self.own.height:,} times that its own rate limit made it wait"
        if self.server.height:
            return f"the kubelet says {self.server.height:,} times that the API server told it to wait"
        return "the kubelet's log does not say why"

    @property
    def why(self) -> str:
        if self.own_limit:
            return "The kubelet's own limit of requests a second holds its status patches back while pods come and go."
        if self.server.height:
            return "The API server turns requests of the kubelet away, and its status patches with them."
        return "The kubelet sends status patches late; its rate limit (kubeAPIQPS) or a busy node are the usual causes."


def hints(lags: Lags, lines: pl.LazyFrame | None, moments: pl.LazyFrame | None) -> Hints:
    """What the logs around the lags say."""
    every = empty(KLOG_LINES).lazy() if lines is None else lines
    near = every.filter(
        pl.col("time").is_between(lags.start - AROUND, lags.end + AROUND),
        (pl.col("component") == "kubelet").fill_null(True),
        _same_node(lags.node),
    )
    message = pl.col("message")
    new = near.filter(message == _NEW).with_columns(reason=value("reason"), seconds=go_seconds(value("delay")))
    old = near.filter(message.str.contains(_OLD)).with_columns(
        reason=pl.lit("client-side"),
        seconds=go_seconds(pl.coalesce(message.str.extract(_OLD, 1), message.str.extract(_OLD, 2))),
    )
    told = pl.concat([part.select("time", "source", "number", "reason", "seconds") for part in (new, old)]).collect()
    reason = pl.col("reason").fill_null("")
    return Hints(
        own=told.filter(reason.str.starts_with("client-side")).sort("time", "source", "number"),
        server=told.filter(reason.str.contains("server-side throttling")).sort("time", "source", "number"),
        churn=_churn(empty(MOMENTS).lazy() if moments is None else moments, lags),
    )


def _same_node(node: str) -> pl.Expr:
    """Lines of the node; those without a host may be."""
    return (short_node(pl.col("host")) == node).fill_null(True)


def _churn(moments: pl.LazyFrame, lags: Lags) -> int:
    here = moments.filter(
        pl.col("what").is_in(["started", "deleted"]),
        pl.col("time").is_between(lags.start, lags.end),
        _same_node(lags.node),
        pl.col("host").is_not_null() | pl.col("pod").is_in(lags.rows["pod"].unique().implode()),
    )
    counts = here.select("what", "pod", minute=pl.col("time").dt.truncate("1m")).unique().group_by("minute").len()
    most = counts.select(pl.col("len").max()).collect().item()
    return int(most or 0)
