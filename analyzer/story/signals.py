"""Failure signals of every source on one axis: each has a lane of its own, so that no loud one hides a rare one.

What several witnesses tell (an Event, a kubelet's line, the audit log) counts once, by the witness that tells of most.
"""

from __future__ import annotations

import polars as pl
from msgspec import Struct

from analyzer.facts.contract import Fact
from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.facts.image_pulls import IMAGE_PULLS
from analyzer.facts.metadata_requests import METADATA_REQUESTS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.scheduling import SCHEDULING
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.facts.tcp_retransmissions import TCP_RETRANSMISSIONS
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import COREDNS_ERRORS, KERNEL_MESSAGES, KLOG_LINES, NO_REPLY, Table

_ONE = pl.lit(1, dtype=pl.Int64)
_EVERY = pl.lit("")


class Signal(Struct, frozen=True, kw_only=True):
    """One failure signal: rows of `table` where `where` holds, `weight` times each, by its best `witness`."""

    name: str
    table: Table | Fact
    where: pl.Expr
    weight: pl.Expr = _ONE
    witness: pl.Expr = _EVERY


def _dns(rcode: str) -> pl.Expr:
    return (pl.col("rcode") == rcode) & ~pl.col("covered")


def _event(*reasons: str) -> pl.Expr:
    return pl.col("reason").is_in(list(reasons))


def _line(words: str) -> pl.Expr:
    return pl.col("text").str.contains(words, literal=True)


SIGNALS: tuple[Signal, ...] = (
    Signal(name="DNS no reply", table=DNS_TRANSACTIONS, where=_dns(NO_REPLY)),
    Signal(name="DNS SERVFAIL", table=DNS_TRANSACTIONS, where=_dns("SERVFAIL")),
    Signal(name="DNS REFUSED", table=DNS_TRANSACTIONS, where=_dns("REFUSED")),
    Signal(name="DNS NXDOMAIN", table=DNS_TRANSACTIONS, where=_dns("NXDOMAIN")),
    Signal(name="CoreDNS errors", table=COREDNS_ERRORS, where=pl.lit(True), weight=pl.col("count").fill_null(1)),
    Signal(name="API 429", table=AUDIT_REQUESTS, where=pl.col("throttled")),
    Signal(name="API 5xx", table=AUDIT_REQUESTS, where=(pl.col("code") >= 500)),
    Signal(name="API 401, 403", table=AUDIT_REQUESTS, where=pl.col("code").is_in([401, 403])),
    Signal(name="Metadata 4xx, 5xx", table=METADATA_REQUESTS, where=(pl.col("status") >= 400) & ~pl.col("covered")),
    Signal(name="TCP sent again", table=TCP_RETRANSMISSIONS, where=pl.lit(True)),
    Signal(name="TCP refused", table=TCP_CONNECTIONS, where=pl.col("refused") & ~pl.col("covered")),
    Signal(
        name="TCP no answer",
        table=TCP_CONNECTIONS,
        where=~pl.col("answered") & ~pl.col("refused") & (pl.col("syns") > 1) & ~pl.col("covered"),
    ),
    Signal(name="OOM kills", table=KERNEL_MESSAGES, where=pl.col("kind").is_in(["oom_kill", "cgroup_oom"])),
    Signal(
        name="Kernel stalls",
        table=KERNEL_MESSAGES,
        where=pl.col("kind").is_in(["hung_task", "soft_lockup", "rcu_stall"]),
    ),
    Signal(name="PLEG unhealthy", table=KLOG_LINES, where=_line("PLEG is not healthy")),
    Signal(name="Log errors", table=KLOG_LINES, where=pl.col("severity").is_in(["E", "F"])),
    Signal(name="Probe failures", table=TOLD_EVENTS, where=_event("Unhealthy"), witness=pl.col("channel")),
    Signal(
        name="Image pulls failed",
        table=IMAGE_PULLS,
        where=(pl.col("what") == "failed"),
        witness=pl.col("channel"),
    ),
    Signal(name="Crash restarts", table=IMAGE_PULLS, where=(pl.col("what") == "restarting"), witness=pl.col("channel")),
    Signal(name="FailedScheduling", table=SCHEDULING, where=(pl.col("what") == "failed"), witness=pl.col("channel")),
    Signal(
        name="Evictions",
        table=TOLD_EVENTS,
        where=_event("Evicted", "Preempted", "TaintManagerEviction"),
        witness=pl.col("channel"),
    ),
    Signal(
        name="Mounts failed",
        table=TOLD_EVENTS,
        where=_event("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"),
        witness=pl.col("channel"),
    ),
    Signal(name="Nodes not ready", table=TOLD_EVENTS, where=_event("NodeNotReady"), witness=pl.col("channel")),
)
"""In the order of the page: names, requests, connections, nodes, pods. An Event counts where its record stands: of the
times that it was counted before nothing is known but their number."""


def per_second(signal: Signal, frame: pl.LazyFrame) -> pl.DataFrame:
    """`second` since 1970 and `value`: how often it was seen in that second, in order of time."""
    told = (
        frame.filter(signal.where, pl.col("time").is_not_null())
        .group_by(witness=signal.witness, second=pl.col("time").dt.epoch("s"))
        .agg(value=signal.weight.sum().cast(pl.Int64) if signal.weight is not _ONE else pl.len().cast(pl.Int64))
        .collect()
    )
    if signal.witness is not _EVERY and told.height:
        most = told.group_by("witness").agg(pl.col("value").sum()).sort(["value", "witness"], descending=[True, False])
        told = told.filter(pl.col("witness").eq_missing(most["witness"][0]))
    return told.select("second", "value").sort("second") if told.height else told.select("second", "value")
