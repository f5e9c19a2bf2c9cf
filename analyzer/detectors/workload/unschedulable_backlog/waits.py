"""Times in which a pod waited for a node: from its first failed attempt to what ended that."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from analyzer.facts import scheduling_reasons

PROVISION = 900
"""Seconds that a node which was ordered may take (flag --max-node-provision-time of cluster-autoscaler: 15 minutes)."""

ENDS = ("placed", "removed", "preempted")

RUN = r"-([0-9]{8,10})-[bcdfghjklmnpqrstvwxz2456789]{5}$"
"""When the Job of a CronJob was due, in the name of its pod: minutes since the epoch, before 1.21 seconds."""


def waits(scheduling: pl.LazyFrame, until: datetime | None) -> pl.DataFrame:
    """One row per wait: namespace, pod, workload_kind, workload, start, end, open (still waiting at `until`), seconds
    (null without times), attempts, message (the last), class, ordered (a node came or may still come), due (of a
    CronJob's run, seconds since the epoch), channels, source, number (of the first record), time (of it).

    A StatefulSet's pod has one name in all its lives, so a wait ends with what ends it and the next begins after.
    """
    pod = ["namespace", "pod"]
    failed = scheduling.filter(pl.col("what") == "failed").select(pod).unique()
    rows = scheduling.join(failed, on=pod, how="semi").sort("time", "source", "number", nulls_last=True)
    ends = pl.col("what").is_in(ENDS)
    life = ends.shift(1).fill_null(False).cum_sum().over(pod)
    lives = _once(rows.with_columns(life=life))
    is_failed, ended = pl.col("what") == "failed", pl.col("time").filter(ends).min()
    found = (
        lives.group_by(*pod, "life", maintain_order=True)
        .agg(
            pl.col("workload_kind", "workload").first(),
            pl.col("first_time").filter(is_failed).min().alias("start"),
            ended.alias("ended"),
            pl.col("time").filter(pl.col("what") == "triggered").max().alias("ordered_at"),
            pl.col("message").filter(is_failed).last(),
            pl.col("channel").filter(is_failed).unique().sort().alias("channels"),
            *(pl.col(name).filter(is_failed).first() for name in ("time", "source", "number")),
        )
        .filter(pl.col("message").is_not_null())
    )
    counts = (
        lives.filter(is_failed)
        .group_by(*pod, "life", "channel")
        .agg(pl.col("count").sum())
        .group_by(*pod, "life")
        .agg(pl.col("count").max().alias("attempts"))
    )
    seen = pl.lit(until, pl.Datetime("us", "UTC"))
    run = pl.col("pod").str.extract(RUN, 1)
    whole = (
        found.join(counts, on=[*pod, "life"], how="left", maintain_order="left")
        .with_columns(end=pl.max_horizontal(pl.coalesce("ended", seen), "start"), open=pl.col("ended").is_null())
        .with_columns(
            seconds=(pl.col("end") - pl.col("start")).dt.total_microseconds() / 1e6,
            ordered=((pl.col("end") - pl.col("ordered_at")).dt.total_seconds() <= PROVISION).fill_null(False),
            due=run.cast(pl.Int64) * pl.when(run.str.len_chars() < 10).then(60).otherwise(1),
        )
        .collect()
    )
    classes = scheduling_reasons.decisive(scheduling_reasons.split(whole.lazy().select("message"))).collect()
    return whole.join(classes, on="message", how="left", maintain_order="left").drop("life", "ended", "ordered_at")


def _once(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Of the rows of one Event only the last, which counts all its occurrences."""
    whole = pl.col("event_uid").is_not_null()
    last = rows.filter(whole).sort("count", "time").unique(["event_uid", "life"], keep="last", maintain_order=True)
    return pl.concat([rows.filter(~whole), last]).sort("time", "source", "number", nulls_last=True)
