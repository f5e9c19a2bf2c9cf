"""How far the clocks of inputs are from each other, by moments that both tell of.

    query       capture: the packet                  CoreDNS's log: time of the line less its duration
    SYN         capture                              another capture
    turn of pod audit log: stageTimestamp            kubelet's log: SyncLoop ADD, DELETE, REMOVE, writes of a status
                Events: Killing, Scheduled           kubelet's log: the same

Each input is compared with the first that holds the moment too, in the order of trust: captures, audit logs, CoreDNS's
logs, Events, logs of kubelets. Median and median absolute deviation (MAD), which no stray match can move. What travels
between the two (a packet, a watch event of the API server) is part of the offset: a log behind its cause by some
milliseconds is no wrong clock. A log that holds lines of several hosts, as a journal that was collected does, has a
clock for each of them.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.facts.clock_events import CAPTURE, EVENTS, KLOG, clock_events
from analyzer.facts.contract import Fact, Frames
from analyzer.frames import AUDIT_EVENTS, COREDNS_QUERIES, DNS_MESSAGES, KLOG_LINES, KUBE_EVENTS, PACKETS, Col, Table
from analyzer.frames.contract import PLACE

LEAST = 3
"""Moments in common that make an estimate: of fewer, no spread can be told [an engineering default]."""

ONCE = timedelta(seconds=1)
"""One input may tell of one moment several times at its interfaces; what comes again later is another moment."""

MICROS = 1e6

TABLE = Table(
    "clock_offsets",
    "One row per pair of inputs, and host where an input holds several, whose clocks could be compared. `time`, "
    "`source` and `number` are of the first record of the input that both tell of.",
    (
        *PLACE,
        Col(
            "host", pl.String(), "Whose lines are compared, in an input that holds those of several hosts; else empty."
        ),
        Col("reference", pl.String(), "The input that it is compared with."),
        Col("seconds", pl.Float64(), "Median of the input's time less the reference's: positive if it is ahead."),
        Col(
            "spread_seconds", pl.Float64(), "Median absolute deviation, and at least how finely the times are written."
        ),
        Col("events", pl.Int64(), "Moments that both tell of."),
        Col("matched_by", pl.String(), "What these moments are, joined by commas."),
        Col("zoneless", pl.Boolean(), "Whether the input's own times are written without a zone, as klog writes them."),
    ),
)


def _derive(frames: Frames) -> pl.LazyFrame:
    return offsets(clock_events(frames)).lazy()


def offsets(events: pl.DataFrame) -> pl.DataFrame:
    """One row of TABLE per pair of inputs; `events` are of EVENTS."""
    assert events.schema == EVENTS
    several = pl.col("host").replace("", None).drop_nulls().n_unique().over("source") > 1
    once = (
        events.with_columns(host=pl.when(several).then("host").otherwise(pl.lit("")))
        .sort("time", "source", "number")
        .group_by("source", "host", "rank", "matched_by", "key", maintain_order=True)
        .agg(pl.col("time").first(), pl.col("number").first(), pl.col("grain").max(), last=pl.col("time").last())
        .filter(pl.col("last") - pl.col("time") <= ONCE)
        .sort("rank", "source", "key", "host")
    )
    first = once.unique(["matched_by", "key"], keep="first", maintain_order=True)
    pair = ["source", "host", "reference"]
    met = (
        once.join(first, on=["matched_by", "key"], suffix="_first")
        .filter(pl.col("source") != pl.col("source_first"))
        .filter((pl.col("rank") != pl.col("rank_first")) | (pl.col("rank") == CAPTURE))
        .with_columns(
            reference="source_first",
            apart=(pl.col("time") - pl.col("time_first")).dt.total_microseconds(),
            grain=pl.max_horizontal("grain", "grain_first"),
        )
        .with_columns(middle=pl.col("apart").median().over(pair))
    )
    return (
        met.sort("time", "number")
        .group_by(pair, maintain_order=True)
        .agg(
            pl.col("time", "number").first(),
            seconds=(pl.col("middle").first() / MICROS).round(6),
            spread_seconds=pl.max_horizontal(
                (pl.col("apart") - pl.col("middle")).abs().median() / MICROS, pl.col("grain").max()
            ).round(6),
            events=pl.len().cast(pl.Int64),
            matched_by=pl.col("matched_by").unique().sort().str.join(", "),
            zoneless=(pl.col("rank") == KLOG).any(),
        )
        .filter(pl.col("events") >= LEAST)
        .select(list(TABLE.schema))
        .sort("source", "host", "reference")
    )


CLOCK_OFFSETS = Fact(
    table=TABLE,
    needs_any=((DNS_MESSAGES,), (PACKETS,), (KLOG_LINES,)),
    uses=(COREDNS_QUERIES, AUDIT_EVENTS, KUBE_EVENTS),
    derive=_derive,
)
