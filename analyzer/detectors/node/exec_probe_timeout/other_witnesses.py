"""What Events and container runtimes say of exec calls that ran into their timeout."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.node.exec_probe_timeout.witnesses import (
    COMMAND,
    EVENT,
    LATE,
    RUNTIME,
    after,
    out_of_time,
    plain,
    shaped,
)

_UNHEALTHY = r"^(\w+) probe (failed|errored)[a-z ]*: ([\s\S]*)$"


SHOWN = 20
"""Occurrences of one Event that become rows of their own: the last ones, and one at the first for all others."""


def of_events(events: pl.LazyFrame) -> pl.LazyFrame:
    """Occurrences of an Event as rows, evenly spread from the first to the last; `weight` says for how many one stands.
    The rows of one Event at several times are known by the last."""
    parts = pl.col("message").str.extract_groups(_UNHEALTHY).struct
    told = events.filter(
        pl.col("reason") == "Unhealthy", pl.col("kind") == "Pod", out_of_time(parts.field("2"), parts.field("3"))
    )
    named = told.with_columns(
        pod=pl.col("namespace") + "/" + pl.col("name"),
        probe=parts.field("1"),
        command=plain(parts.field("3").str.extract(COMMAND, 1)),
        timeout=after(parts.field("3")),
        host="node",
    )
    known = pl.col("event_uid").is_not_null()
    last = named.filter(known).sort("count", "time").unique("event_uid", keep="last", maintain_order=True)
    whole = pl.concat([last, named.filter(~known)])
    count = pl.col("count").fill_null(1).clip(1)
    rows = pl.min_horizontal(count, SHOWN)
    first = pl.coalesce("first_time", "time")
    spread = (
        whole.drop("node")
        .with_columns(step=(pl.col("time") - first) / (count - 1).clip(1), rows=rows, nth=pl.int_ranges(rows))
        .explode("nth", empty_as_null=True)
    )
    last_of = pl.col("nth") == pl.col("rows") - 1
    return shaped(
        spread.with_columns(
            time=pl.when(last_of).then(first).otherwise(pl.col("time") - pl.col("step") * pl.col("nth")),
            weight=pl.when(last_of).then(count - pl.col("rows") + 1).otherwise(1).cast(pl.Int64),
        ),
        EVENT,
    )


def of_runtime(messages: pl.LazyFrame) -> pl.LazyFrame:
    message, error = pl.col("message"), pl.col("error")
    failed = messages.filter(message.str.starts_with("ExecSync for "), error.str.contains(LATE))
    named = pl.coalesce(message.str.extract(r'^ExecSync for "([^"]+)"', 1), "container_id")
    return shaped(failed.with_columns(container_id=named, timeout=after(error)), RUNTIME)
