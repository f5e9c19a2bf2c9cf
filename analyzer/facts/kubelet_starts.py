"""When kubelets started, and what was said shortly before: a certificate that ran out, or the boot of the node.

A start is told by the kubelet's log, by its Event `Starting`, by node-problem-detector's Event `KubeletStart` (config/
systemd-monitor.json), and by systemd's line about its unit.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.klog_values import value
from analyzer.facts.node_names import node
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, UNIT_MESSAGES, Col, Table, empty
from analyzer.frames.contract import PLACE, TIME

ONE_START = 60
"""Seconds in which what a kubelet says at its start belongs to one start, unless it tells its version again."""

SHORTLY = 120
"""Seconds before a start within which a certificate is its cause: systemd starts a kubelet again after ten."""

BOOTING = 600
"""Seconds between the boot of a node and its kubelet's start."""

_CERTIFICATE = (
    r"^(?:The currently active client certificate has expired and the server is responsive, exiting"
    r"|No valid client certificate is found and the server is responsive, exiting"
    r"|Certificate rotation detected, shutting down client connections)"
    r"|^certificate rotation detected, shutting down client connections"
)
"""kubernetes pkg/kubelet/certificate/transport.go."""

_OLD_VERSION = r"^Version: (v1\.[0-9]+\.\S+)$"
"""Kubelets before 1.23 (cmd/kubelet/app/server.go); other components write it too."""

OVER = 9
"""Rank of what ends a kubelet: what is told after it is another start, however soon."""

_OVER = ("stopped", "exited", "failed", "ended", "restarting")

_TABLE = Table(
    "kubelet_starts",
    "One row per start of a kubelet that its log, an Event or systemd tells of.",
    (
        *PLACE,
        Col("node", pl.String(), "Node: the host without its domain, in lower case; the input where no host is told."),
        Col("host", pl.String(), "Host as the log or the Event names it; null without one."),
        Col("told_by", pl.String(), "log, event or systemd."),
        Col("version", pl.String(), "Version of the kubelet; null if not told."),
        Col("after", pl.String(), "certificate or boot: what was said shortly before; null if nothing was."),
        Col("silent_seconds", pl.Float64(), "Since the last line of the kubelet before; null for the first."),
    ),
)


def _told(frames: Frames) -> pl.DataFrame:
    """What tells of starts, with `rank`: 0 for the version, which comes first and once; and of ends, with OVER."""
    parts = []
    if KLOG_LINES in frames:
        message = pl.col("message")
        first = (message == "Kubelet version") | (
            message.str.contains(_OLD_VERSION) & (pl.col("component") == "kubelet").fill_null(False)
        )
        lines = frames[KLOG_LINES].filter(
            first | message.str.starts_with("Starting kubelet main sync loop") | (message == "Started kubelet")
        )
        parts.append(
            lines.with_columns(
                told_by=pl.lit("log"),
                rank=pl.when(first).then(0).otherwise(1),
                version=pl.coalesce(value("kubeletVersion"), message.str.extract(_OLD_VERSION, 1)),
            )
        )
    if TOLD_EVENTS in frames:
        events = frames[TOLD_EVENTS].filter(
            pl.col("kind") == "Node",
            ((pl.col("reason") == "Starting") & pl.col("message").str.starts_with("Starting kubelet"))
            | (pl.col("reason") == "KubeletStart"),
        )
        host = pl.coalesce("node", "name").alias("host")
        parts.append(events.with_columns(host, told_by=pl.lit("event"), rank=1, version=pl.lit(None, pl.String)))
    if UNIT_MESSAGES in frames:
        unit = frames[UNIT_MESSAGES].filter(pl.col("unit") == "kubelet", pl.col("what").is_in(["started", *_OVER]))
        rank = pl.when(pl.col("what") == "started").then(1).otherwise(OVER)
        parts.append(unit.with_columns(told_by=pl.lit("systemd"), rank=rank, version=pl.lit(None, pl.String)))
    kept = ["time", "source", "number", "host", "told_by", "rank", "version"]
    rows = [part.select(kept).with_columns(pl.col("rank").cast(pl.Int32)) for part in parts]
    return (
        pl.concat(rows)
        .filter(pl.col("time").is_not_null())
        .with_columns(node=node())
        .sort("node", "time", "rank", "source", "number")
        .collect()
    )


def _starts(told: pl.DataFrame) -> pl.DataFrame:
    """One row per start. Rare by nature: a loop."""
    kept: list[dict[str, Any]] = []
    over: str | None = None  # the node whose kubelet has ended since
    for row in told.iter_rows(named=True):
        if row["rank"] == OVER:
            over = row["node"]
            continue
        last = kept[-1] if kept and over != row["node"] else None
        over = None
        same = last is not None and last["node"] == row["node"]
        if last is not None and same and (row["time"] - last["time"]).total_seconds() <= ONE_START:
            again = row["rank"] == 0 and last["version"] is not None
            if not again:
                last["version"] = last["version"] or row["version"]
                continue
        kept.append(dict(row))
    return pl.DataFrame(kept, schema=told.schema).sort("time", "source", "number")


def _before(starts: pl.DataFrame, rows: pl.LazyFrame, name: str, seconds: int) -> pl.DataFrame:
    """The starts with a column of whether one of the rows of that node came shortly before."""
    found = rows.filter(pl.col("time").is_not_null()).select("node", pl.col("time").alias(name)).sort(name).collect()
    return starts.sort("time").join_asof(
        found,
        left_on="time",
        right_on=name,
        by="node",
        strategy="backward",
        tolerance=f"{seconds}s",
        check_sortedness=False,
    )


def _boots(frames: Frames) -> pl.LazyFrame:
    """When nodes booted. The kubelet's Event `Rebooted` comes after its own start, so it counts as some time before."""
    parts = [pl.LazyFrame(schema={"node": pl.String(), "time": TIME})]
    if KERNEL_MESSAGES in frames:
        parts.append(frames[KERNEL_MESSAGES].filter(pl.col("kind") == "boot").select("time", node=node()))
    if TOLD_EVENTS in frames:
        again = frames[TOLD_EVENTS].filter(pl.col("kind") == "Node", pl.col("reason") == "Rebooted")
        named = again.with_columns(host=pl.coalesce("node", "name"))
        parts.append(named.select(node=node(), time=pl.col("time") - pl.duration(seconds=ONE_START)))
    return pl.concat([part.select("node", "time") for part in parts])


def _silences(starts: pl.DataFrame, lines: pl.LazyFrame) -> pl.DataFrame:
    """The starts with `silent_seconds`."""
    own = pl.col("component").fill_null("kubelet") == "kubelet"
    last = lines.filter(own, pl.col("time").is_not_null()).select("node", pl.col("time").alias("before"))
    met = (
        starts.with_columns(until=pl.col("time") - pl.duration(microseconds=1))
        .sort("until")
        .join_asof(
            last.sort("before").collect(),
            left_on="until",
            right_on="before",
            by="node",
            strategy="backward",
            check_sortedness=False,
        )
    )
    return met.with_columns(silent_seconds=(pl.col("time") - pl.col("before")).dt.total_microseconds() / 1e6)


def _derive(frames: Frames) -> pl.LazyFrame:
    starts = _starts(_told(frames))
    if not starts.height:
        return empty(_TABLE).lazy()
    lines = frames[KLOG_LINES] if KLOG_LINES in frames else empty(KLOG_LINES).lazy()
    known = lines.with_columns(node=node()).filter(pl.col("node").is_in(starts["node"].unique().implode()))
    starts = _before(starts, known.filter(pl.col("message").str.contains(_CERTIFICATE)), "certificate", SHORTLY)
    starts = _before(starts, _boots(frames), "boot", BOOTING)
    boot = pl.when(pl.col("boot").is_not_null()).then(pl.lit("boot"))
    after = boot.when(pl.col("certificate").is_not_null()).then(pl.lit("certificate"))
    found = _silences(starts, known).with_columns(after=after)
    return found.sort("time", "source", "number").select(list(_TABLE.schema)).lazy()


KUBELET_STARTS = Fact(
    table=_TABLE,
    needs_any=((KLOG_LINES,), (TOLD_EVENTS,), (UNIT_MESSAGES,)),
    uses=(KERNEL_MESSAGES,),
    derive=_derive,
)
