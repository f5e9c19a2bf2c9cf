"""What came before a row among those of the same key or group."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analyzer.frames import TIME


def followers(frame: pl.DataFrame, key: Sequence[str], order: Sequence[str], before: Sequence[str]) -> pl.DataFrame:
    """The rows that have an earlier one of the same key, with `before_` columns of the one just before; null in the
    key is a value like others.

    Most keys occur once, and a window over each key costs far more than one sort of the few that repeat.
    """
    group = pl.struct(key)
    ranked = frame.filter(group.is_duplicated()).with_columns(group=group.rank("dense")).sort("group", *order)
    return (
        ranked.with_columns(pl.col(name).shift(1).alias(f"before_{name}") for name in before)
        .filter(pl.col("group") == pl.col("group").shift(1))
        .drop("group")
    )


def latest(time: str, group: str) -> pl.Expr:
    """The latest time up to each row among those of its group; null where the row has none.

    `group` is a whole number that never falls from row to row. One pass over all rows, in which each group starts above
    the one before it: a window costs several times as much.
    """
    above = pl.col(group).cast(pl.Int128) * (1 << 64)
    return ((above + pl.col(time).to_physical().cast(pl.Int128)).cum_max() - above).cast(pl.Int64).cast(TIME)


def nth(key: str) -> pl.Expr:
    """Which of the rows of its key each row is, from 0; rows of one key stand together."""
    at = pl.int_range(pl.len(), dtype=pl.UInt32)
    begins = (pl.col(key) != pl.col(key).shift(1)).fill_null(True)
    return at - pl.when(begins).then(at).forward_fill()
