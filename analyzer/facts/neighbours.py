"""What came before a row among those of the same key."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


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
