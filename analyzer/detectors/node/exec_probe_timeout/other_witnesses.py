"""What Events and container runtimes say of exec calls that ran into their timeout."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.node.exec_probe_timeout.witnesses import (
    COMMAND,
    COMMAND_LATE,
    EVENT,
    LATE,
    RUNTIME,
    after,
    plain,
    shaped,
)

_UNHEALTHY = r"^(\w+) probe (?:failed|errored)[a-z ]*: ([\s\S]*)$"


MOST = 10_000
"""Occurrences that one Event is spread over."""


def of_events(events: pl.LazyFrame) -> pl.LazyFrame:
    """Each occurrence of an Event as a row, spread evenly from the first to the last; they are known by their ends."""
    parts = pl.col("message").str.extract_groups(_UNHEALTHY).struct
    told = events.filter(
        pl.col("reason") == "Unhealthy", pl.col("kind") == "Pod", parts.field("2").str.contains(COMMAND_LATE)
    )
    named = told.with_columns(
        pod=pl.col("namespace") + "/" + pl.col("name"),
        probe=parts.field("1"),
        command=plain(parts.field("2").str.extract(COMMAND, 1)),
        timeout=after(parts.field("2")),
        host="node",
    )
    known = pl.col("event_uid").is_not_null()
    last = named.filter(known).sort("count", "time").unique("event_uid", keep="last", maintain_order=True)
    whole = pl.concat([last, named.filter(~known)])
    count = pl.col("count").fill_null(1).clip(1, MOST)
    step = (pl.col("time") - pl.coalesce("first_time", "time")) / (count - 1).clip(1)
    spread = whole.with_columns(step=step, nth=pl.int_ranges(count)).explode("nth", empty_as_null=True)
    return shaped(spread.drop("node").with_columns(time=pl.col("time") - pl.col("step") * pl.col("nth")), EVENT)


def of_runtime(messages: pl.LazyFrame) -> pl.LazyFrame:
    message, error = pl.col("message"), pl.col("error")
    failed = messages.filter(message.str.starts_with("ExecSync for "), error.str.contains(LATE))
    named = pl.coalesce(message.str.extract(r'^ExecSync for "([^"]+)"', 1), "container_id")
    return shaped(failed.with_columns(container_id=named, timeout=after(error)), RUNTIME)
