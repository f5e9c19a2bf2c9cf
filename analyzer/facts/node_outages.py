"""Times at which a node was not heard of, was told not ready, or came back from a boot."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.klog_values import value
from analyzer.facts.node_names import short_node
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, TIME, Col, Table, empty
from analyzer.frames.contract import PLACE

LEASE = timedelta(seconds=40)
"""Life of a kubelet's lease, which it renews every 10 s (kubernetes pkg/kubelet/apis/config, nodeLeaseDurationSeconds);
the node controller waits 40 s too, from 1.32 on 50 s (flag --node-monitor-grace-period)."""

APART = timedelta(minutes=10)
"""Signs of one node with more between them are of several outages."""

BUSY = timedelta(seconds=20)
"""Other kubelets must be heard so often while one is silent: twice the period of a lease."""

STEADY = 5
"""Heartbeats of a kubelet, or lines of its log, from which its silence says something; half of them must follow within
BUSY. A policy that leaves leases out keeps only what a kubelet says now and then."""

TABLE = Table(
    "node_outages",
    "One row per outage of a node; `time`, `source` and `number` are of the last word before it, else of the first "
    "that tells of it.",
    (
        *PLACE,
        Col("node", pl.String(), "Node, without its domain, in lower case."),
        Col("until", TIME, "When it was heard of or told ready again; null if never."),
        Col("silent_seconds", pl.Float64(), "How long neither requests nor log lines of its kubelet are there."),
        Col("rebooted", pl.Boolean(), "Whether its boot is told."),
        Col(
            "told_by",
            pl.String(),
            "silence, Event NodeNotReady, Event Rebooted, node controller, kubelet, kubelet start, boot.",
        ),
    ),
)

YOUNG = "5m"
"""So long after its start a kubelet that is not ready waits for its network and its runtime."""

_BEGINS = r"^(?:Kubelet version$|Starting kubelet main sync loop)"
_READY_AGAIN = r"^(?:Fast updating node status as it just became ready|Recording NodeReady event message for node )"
_OLD_RECORD = r"^Recording status change (?P<status>\w+) event message for node:? (?P<node>\S+)$"
"""Before 1.21."""

_SIGNS = ("time", "source", "number", "node", "sign", "until", "silent_seconds")
CONTROLLER = "system:serviceaccount:kube-system:node-controller"
"""Its account; where all controllers share one, what client-go adds to the user agent."""


def _steady(words: pl.DataFrame) -> pl.DataFrame:
    """The nodes that are heard of regularly (column node)."""
    gaps = words.sort("node", "time").with_columns(gap=pl.col("time").diff().over("node"))
    every = gaps.group_by("node").agg(pl.len().alias("words"), pl.col("gap").median())
    return every.filter(pl.col("words") >= STEADY, pl.col("gap") <= BUSY).select("node")


def _quiet(words: pl.DataFrame, end: pl.Series) -> pl.DataFrame:
    """Gaps of a lease's life between the words of each node (time, source, number, node, beat), and after the last up
    to the end of all, in which other nodes were heard: a server or a log that stopped falls silent for all."""
    ordered = words.sort("node", "time", "source", "number")
    gaps = (
        ordered.with_columns(until=pl.col("time").shift(-1).over("node"))
        .join(_steady(words.filter("beat")), on="node", how="semi", maintain_order="left")
        .with_columns(stop=pl.coalesce("until", pl.lit(end.max(), TIME)))
        .filter(pl.col("stop") - pl.col("time") >= LEASE)
    )
    every = np.sort(ordered["time"].to_physical().to_numpy())
    left = np.searchsorted(every, gaps["time"].to_physical().to_numpy(), "right")
    right = np.searchsorted(every, gaps["stop"].to_physical().to_numpy(), "left")
    seconds = (pl.col("stop") - pl.col("time")).dt.total_microseconds().cast(pl.Float64) / 1e6
    others = pl.Series(right - left, dtype=pl.Int64)
    return (
        gaps.with_columns(others=others, silent_seconds=seconds, sign=pl.lit("silence"))
        .filter(pl.col("others") * BUSY.total_seconds() >= pl.col("silent_seconds"))
        .select(_SIGNS)
    )


def _of_audit(requests: pl.LazyFrame) -> list[pl.DataFrame]:
    times = requests.filter(pl.col("time").is_not_null())
    # Before leases the status was written every 10 s.
    beat = (pl.col("namespace") == "kube-node-lease") | (
        (pl.col("resource") == "nodes") & (pl.col("subresource") == "status")
    )
    words = times.filter(pl.col("node").is_not_null()).select(
        "time", "source", "number", node=short_node(pl.col("node")), beat=beat.fill_null(False)
    )
    end = times.select(pl.col("time").max()).collect()["time"]
    # Beside its lists the controller writes the status of a node only where its kubelet does not.
    marked = times.filter(
        ((pl.col("user") == CONTROLLER) | (pl.col("controller") == CONTROLLER)).fill_null(False),
        pl.col("verb").is_in(["update", "patch"]),
        pl.col("resource") == "nodes",
        pl.col("subresource") == "status",
        pl.col("code") < 300,
    )
    return [_quiet(words.collect(), end), _signs(marked, "name", "node controller")]


def _of_events(events: pl.LazyFrame) -> list[pl.DataFrame]:
    nodes = events.filter(pl.col("kind") == "Node", pl.col("time").is_not_null())
    told = {"NodeNotReady": "Event NodeNotReady", "Rebooted": "Event Rebooted", "NodeReady": "ready"}
    return [_signs(nodes.filter(pl.col("reason") == reason), "name", sign) for reason, sign in told.items()]


def _of_klog(lines: pl.LazyFrame) -> list[pl.DataFrame]:
    """A kubelet that starts after a silence, or says that its node is not ready, and what the controller manager
    records of nodes (kubernetes pkg/controller/util/node/controller_utils.go, RecordNodeStatusChange, V(2))."""
    message, old = pl.col("message"), pl.col("message").str.extract_groups(_OLD_RECORD).struct
    recorded = lines.filter(message.str.starts_with("Recording status change ")).with_columns(
        status=pl.coalesce(value("status"), old.field("status")), named=pl.coalesce(value("node"), old.field("node"))
    )
    down = recorded.filter(pl.col("status") == "NodeNotReady")
    own = (
        lines.filter(pl.col("component") == "kubelet", pl.col("host").is_not_null(), pl.col("time").is_not_null())
        .select("time", "source", "number", "message", node=short_node(pl.col("host")))
        .sort("node", "time", "number")
        .collect()
    )
    place = ("time", "source", "number")
    after = own.with_columns(pl.col(name).shift(1).over("node").alias(f"last_{name}") for name in place)
    started = (
        after.filter(pl.col("message") == "Kubelet version", pl.col("time") - pl.col("last_time") >= LEASE)
        .join(_steady(own), on="node", how="semi")
        .select(
            *(pl.col(f"last_{name}").alias(name) for name in place),
            "node",
            sign=pl.lit("kubelet start"),
            until="time",
            silent_seconds=(pl.col("time") - pl.col("last_time")).dt.total_microseconds().cast(pl.Float64) / 1e6,
        )
    )
    return [_signs(down, "named", "node controller"), started, *_of_kubelets(own)]


def _of_kubelets(own: pl.DataFrame) -> list[pl.DataFrame]:
    """What kubelets say of their own nodes (pkg/kubelet/nodestatus/setters.go, ReadyCondition): not ready, unless they
    just began and wait for their network, and ready again. `own` are their lines, as `_of_klog` has them."""
    message = pl.col("message")
    begun = own.filter(message.str.contains(_BEGINS)).select("node", began="time").sort("began")
    fell = own.filter(message.str.starts_with("Node became not ready")).sort("time")
    met = fell.join_asof(
        begun, left_on="time", right_on="began", by="node", strategy="backward", tolerance=YOUNG, check_sortedness=False
    )
    return [
        _signs(met.filter(pl.col("began").is_null()).lazy(), "node", "kubelet"),
        _signs(own.filter(message.str.contains(_READY_AGAIN)).lazy(), "node", "ready"),
    ]


def _signs(rows: pl.LazyFrame, node: str, sign: str) -> pl.DataFrame:
    return (
        rows.filter(pl.col(node).is_not_null(), pl.col("time").is_not_null())
        .select(
            *("time", "source", "number"),
            node=short_node(pl.col(node)),
            sign=pl.lit(sign),
            until=pl.when(pl.lit(sign in ("ready", "boot", "Event Rebooted"))).then("time"),
            silent_seconds=pl.lit(None, pl.Float64),
        )
        .collect()
    )


def _derive(frames: Frames) -> pl.LazyFrame:
    parts: list[pl.DataFrame] = []
    if AUDIT_REQUESTS in frames:
        parts += _of_audit(frames[AUDIT_REQUESTS])
    if TOLD_EVENTS in frames:
        parts += _of_events(frames[TOLD_EVENTS])
    if KLOG_LINES in frames:
        parts += _of_klog(frames[KLOG_LINES])
    if KERNEL_MESSAGES in frames:
        booted = frames[KERNEL_MESSAGES].filter(pl.col("text").str.starts_with("Linux version "))
        parts.append(_signs(booted, "host", "boot"))
    if not parts:
        return empty(TABLE).lazy()
    signs = pl.concat(parts).sort("node", "time", "source", "number")
    # Until when the signs so far reach: an outage that is silent for an hour ends with an Event of its own.
    reach = pl.max_horizontal("time", "until").cum_max().shift(1).over("node")
    turn = (pl.col("time") - reach > APART).fill_null(True).cum_sum().over("node")
    down = pl.col("sign") != "ready"
    return (
        signs.with_columns(turn=turn)
        .group_by("node", "turn", maintain_order=True)
        .agg(
            *(pl.col(name).filter(down).first() for name in ("time", "source", "number")),
            until=pl.col("until").max(),
            silent_seconds=pl.col("silent_seconds").max(),
            rebooted=pl.col("sign").is_in(["Event Rebooted", "boot"]).any(),
            told_by=pl.col("sign").filter(down).unique().sort().str.join(", "),
        )
        .filter(pl.col("time").is_not_null())
        .select(list(TABLE.schema))
        .sort("time", "source", "number")
        .lazy()
    )


NODE_OUTAGES = Fact(
    table=TABLE,
    needs_any=((AUDIT_REQUESTS,), (TOLD_EVENTS,), (KLOG_LINES,), (KERNEL_MESSAGES,)),
    derive=_derive,
)
