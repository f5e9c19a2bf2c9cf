"""Flow schemas and priority levels of the storm's requests: as logged, else as the bootstrap configuration has it."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.apiserver.apiserver_throttle_storm.load import AGENT, Window
from analyzer.detectors.apiserver.apiserver_throttle_storm.priority import level
from analyzer.facts.contract import Frames
from analyzer.facts.klog_values import value
from analyzer.frames import AUDIT_ANNOTATIONS, KLOG_LINES
from analyzer.model import Column, EvidenceTable

ROWS = 15
SCHEMA, LEVEL = "apf_fs", "apf_pl"
"""What an apiserver calls them beside a request (apiserver `pkg/server/filters/priority-and-fairness.go`)."""

LOGGED = pl.Schema({"audit_id": pl.String(), "schema": pl.String(), "priority": pl.String()})


def logged(frames: Frames) -> pl.DataFrame:
    """`audit_id`, `schema` and `priority`, each request once: annotations, and "HTTP" lines of an apiserver's log."""
    parts = [pl.LazyFrame(schema=LOGGED)]
    if AUDIT_ANNOTATIONS in frames:
        notes = frames[AUDIT_ANNOTATIONS].filter(pl.col("annotation").is_in([SCHEMA, LEVEL]))
        parts.append(
            notes.group_by("audit_id").agg(
                pl.col("value").filter(pl.col("annotation") == SCHEMA).first().alias("schema"),
                pl.col("value").filter(pl.col("annotation") == LEVEL).first().alias("priority"),
            )
        )
    if KLOG_LINES in frames:
        lines = frames[KLOG_LINES].filter(pl.col("message") == "HTTP")
        parts.append(
            lines.select(
                value("audit-ID").alias("audit_id"), value(SCHEMA).alias("schema"), value(LEVEL).alias("priority")
            )
        )
    told = pl.concat(parts).filter(pl.col("audit_id").is_not_null(), pl.col("priority").is_not_null())
    return told.unique("audit_id", keep="first", maintain_order=True).collect()


def by_level(requests: pl.LazyFrame, window: Window, agent: str, known: pl.DataFrame) -> pl.DataFrame:
    """One row per schema and level of the window's requests. `known` is what `logged` gives.

    Columns schema, priority, known (logged or default), requests, rejected, own (rejected requests of `agent`), queued
    (requests that waited in a queue, as far as annotations tell) and waited (the longest such wait, in seconds).
    """
    inside = (
        requests.filter(window.rows)
        .with_columns(AGENT)
        .join(known.lazy(), on="audit_id", how="left")
        .with_columns(pl.col("priority").is_not_null().alias("told"))
    )
    kinds = (
        inside.group_by("schema", "priority", "told", "user", "resource")
        .agg(
            pl.len().cast(pl.Int64).alias("requests"),
            pl.col("throttled").sum().cast(pl.Int64).alias("rejected"),
            (pl.col("throttled") & (pl.col("agent") == agent)).sum().cast(pl.Int64).alias("own"),
            (pl.col("latency_queue_seconds") > 0).sum().cast(pl.Int64).alias("queued"),
            pl.col("latency_queue_seconds").max().alias("waited"),
        )
        .collect()
    )
    # a few users and resources: Python runs once for each pair of them
    pairs = kinds.filter(~pl.col("told")).select("user", "resource").unique().sort("user", "resource")
    named = [(user, resource, *level(user, resource)) for user, resource in pairs.rows()]
    schema = {"user": pl.String, "resource": pl.String, "schema_default": pl.String, "level_default": pl.String}
    defaults = pl.DataFrame(named, schema=schema, orient="row")
    return (
        kinds.join(defaults, on=["user", "resource"], how="left", nulls_equal=True)
        .with_columns(
            pl.when("told").then("schema").otherwise("schema_default").alias("schema"),
            pl.when("told").then("priority").otherwise("level_default").alias("priority"),
            pl.when("told").then(pl.lit("logged")).otherwise(pl.lit("by default")).alias("known"),
        )
        .group_by("schema", "priority", "known")
        .agg(pl.col("requests", "rejected", "own", "queued").sum(), pl.col("waited").max())
        .sort(["rejected", "requests", "priority", "schema", "known"], descending=[True, True, False, False, False])
    )


def table(rows: pl.DataFrame) -> EvidenceTable:
    columns = (
        Column(name="priority level"),
        Column(name="flow schema"),
        Column(name="known"),
        Column(name="requests", unit="requests"),
        Column(name="rejected", unit="requests"),
        Column(name="of these the offender's", unit="requests"),
        Column(name="seen to wait in a queue", unit="requests"),
        Column(name="longest wait seen", unit="seconds"),
    )
    shown = rows.head(ROWS).select("priority", "schema", "known", "requests", "rejected", "own", "queued", "waited")
    return EvidenceTable(
        caption="Priority levels, as logged or as the bootstrap configuration of Kubernetes has them",
        columns=columns,
        rows=tuple(shown.rows()),
    )
