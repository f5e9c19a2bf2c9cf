"""Kubernetes Events wherever they are told: saved ones, and those that a component wrote into its klog."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.klog_values import value
from analyzer.frames import KLOG_LINES, KUBE_EVENTS, Col, Table
from analyzer.frames.contract import PLACE, empty

_KEPT = ("first_time", "count", "type", "reason", "message", "kind", "namespace", "name", "node")

_TABLE = Table(
    "told_events",
    "One row per record of an Event: an Event object, or the line in which its writer logged it.",
    (
        *PLACE,
        *(col for col in KUBE_EVENTS.cols if col.name in _KEPT),
        Col(
            "event_uid",
            pl.String(),
            "What is one for all rows of an Event: its UID, else what it says; null of a line.",
        ),
        Col("channel", pl.String(), "event (an Event object) or log (a line of klog)."),
    ),
)

_OLD = (
    r'^Event\(v1\.ObjectReference\{Kind:"(?P<kind>[^"]*)", Namespace:"(?P<namespace>[^"]*)", Name:"(?P<name>[^"]*)"'
    r"[^\n]*?\}\): type: '(?P<type>[^']*)' reason: '(?P<reason>[^']*)' (?P<message>[\s\S]*)$"
)
"""client-go `tools/record/event.go`, StartLogging; StartStructuredLogging writes `"Event occurred" object=".." ...`."""


def _from_events(events: pl.LazyFrame) -> pl.LazyFrame:
    """An Event without a UID, as one is before it is stored, is known by what it says and when that occurred first."""
    about = ("kind", "namespace", "name", "reason", "message")
    first = pl.col("first_time").dt.to_string("iso")
    said = pl.concat_str(*(pl.col(key).fill_null("") for key in about), first, separator="\x1f")
    return events.with_columns(event_uid=pl.coalesce("event_uid", said), channel=pl.lit("event")).select(
        _TABLE.schema.names()
    )


def _from_klog(lines: pl.LazyFrame) -> pl.LazyFrame:
    new = pl.col("message") == "Event occurred"
    told = lines.filter(new | pl.col("text").str.starts_with("Event(v1.ObjectReference{"))
    old = pl.col("text").str.extract_groups(_OLD)
    about = value("object")
    parts = {
        **{key: pl.when(new).then(value(key)).otherwise(old.struct.field(key)) for key in ("kind", "type", "reason")},
        "message": pl.when(new).then(value("message")).otherwise(old.struct.field("message")),
        "namespace": pl.when(new).then(about.str.extract("^(.*)/", 1)).otherwise(old.struct.field("namespace")),
        "name": pl.when(new).then(about.str.extract("([^/]*)$", 1)).otherwise(old.struct.field("name")),
    }
    return told.select(
        *(col.name for col in PLACE),
        pl.col("time").alias("first_time"),
        pl.lit(1, pl.Int64).alias("count"),
        *(text.alias(key) for key, text in parts.items()),
        pl.lit(None, pl.String).alias("node"),
        pl.lit(None, pl.String).alias("event_uid"),
        pl.lit("log").alias("channel"),
    ).select(_TABLE.schema.names())


def _derive(frames: Frames) -> pl.LazyFrame:
    parts = [empty(_TABLE).lazy()]
    if KUBE_EVENTS in frames:
        parts.append(_from_events(frames[KUBE_EVENTS]))
    if KLOG_LINES in frames:
        parts.append(_from_klog(frames[KLOG_LINES]))
    return pl.concat(parts).sort("time", "source", "number", nulls_last=True)


TOLD_EVENTS = Fact(table=_TABLE, needs_any=((KUBE_EVENTS,), (KLOG_LINES,)), derive=_derive)
