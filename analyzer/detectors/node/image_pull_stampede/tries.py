"""Attempts at moments: what Events count, spread over the time in which it happened."""

from __future__ import annotations

import polars as pl

POINTS = 60
"""So many moments stand for one row at most; each then counts for several attempts. The back-off lets a container try
about a dozen times an hour, so hardly any row needs as many."""

ALL = 500_000
"""So many moments are made of all rows, as long as each has two: of a long log fewer stand for a row."""

PAIR = ["image", "who"]

_CHANNELS = {"event": 0, "runtime": 1, "kubelet": 2, "log": 3}


def told_once(pulls: pl.LazyFrame) -> pl.LazyFrame:
    """Of several channels that tell of an image the one that tells of most, with `who` tried: the pod, else the node.

    `tells` marks the rows that are attempts: those of `Pulling`, or the outcomes, whichever are more.
    """
    named = pulls.filter(pl.col("image").is_not_null()).with_columns(attempt=pl.col("what") == "attempt")
    named = named.with_columns(who=pl.coalesce("pod", "node", pl.lit("somebody")))
    outcome = pl.col("what").is_in(["pulled", "failed"])
    asked = pl.col("count").filter(pl.col("attempt")).sum().over("channel", *PAIR)
    answered = pl.col("count").filter(outcome).sum().over("channel", *PAIR)
    counted = named.with_columns(tells=pl.when(asked >= answered).then("attempt").otherwise(outcome))
    most = (
        counted.group_by("image", "channel")
        .agg(pl.col("count").filter("tells").sum().alias("tried"))
        .sort("image", "tried", pl.col("channel").replace_strict(_CHANNELS, default=9), descending=[False, True, False])
        .unique("image", keep="first", maintain_order=True)
    )
    return counted.join(most.select("image", "channel"), on=["image", "channel"], how="semi")


def moments(rows: pl.LazyFrame, most: int = POINTS) -> pl.LazyFrame:
    """Each row as up to `most` moments `at` of equal `weight`, the first at `since` where that is an occurrence."""
    points = pl.min_horizontal("count", pl.lit(most))
    span = (pl.col("time") - pl.col("since")).dt.total_microseconds()
    step = (
        pl.when("fresh")
        .then(pl.col("step") / (pl.col("points") - 1).clip(1))
        .otherwise((pl.col("step") + 1) / pl.col("points"))
    )
    alone = pl.col("fresh") & (pl.col("points") == 1)
    return (
        rows.with_columns(points=points)
        .with_columns(step=pl.int_ranges(0, "points"), weight=pl.col("count") / pl.col("points"))
        .explode("step", empty_as_null=True)
        .with_columns(
            at=pl.when(alone)
            .then("time")
            .otherwise(pl.col("since") + pl.duration(microseconds=(span * step).round().cast(pl.Int64)))
        )
        .drop("points", "step")
    )


def troubled(pulls: pl.LazyFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All attempts, and failures. `again`: attempts beyond the first of a pod (or node) for an image; `trouble`: those
    of somebody who pulled again, or in vain. Both sorted by `at`."""
    rows = told_once(pulls).collect()
    most, told = min(max(ALL // max(rows.height, 1), 2), POINTS), rows.lazy()
    failures = moments(told.filter(pl.col("what") == "failed"), most)
    failing = failures.select(PAIR).unique().with_columns(failing=True)
    tries = (
        moments(told.filter("tells"), most)
        .sort("at", "source", "number")
        .with_columns(before=pl.col("weight").cum_sum().over(PAIR) - pl.col("weight"))
        .with_columns(
            # Without the pod's name many pods of a node may each have tried once: only failures tell then.
            again=pl.when(pl.col("pod").is_null())
            .then(0.0)
            .when(pl.col("before") < 1)
            .then((pl.col("weight") - 1).clip(0))
            .otherwise("weight")
        )
        .join(failing, on=PAIR, how="left", maintain_order="left")
        .with_columns(trouble=(pl.col("again").sum().over(PAIR) > 0) | pl.col("failing").fill_null(False))
    )
    return tries.collect(), failures.sort("at", "source", "number").collect()
