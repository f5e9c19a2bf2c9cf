"""Which inputs go on with each other: rotated files of one log or capture hold the same emitters."""

from __future__ import annotations

import polars as pl


def families(rows: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """`source` and `family`, the first input of those that share an emitter's stream, directly or by others."""
    pairs = rows.select("source", *key).unique().sort(*key, "source")
    of = {source: source for source in pairs["source"].unique().sort().to_list()}

    def root(source: str) -> str:
        while of[source] != source:
            of[source] = of[of[source]]
            source = of[source]
        return source

    linked = pairs.with_columns(other=pl.col("source").shift(1).over(key)).drop_nulls("other")
    for source, other in linked.select("source", "other").unique().sort("source", "other").iter_rows():
        first, second = sorted((root(source), root(other)))
        of[second] = first
    return pl.DataFrame(
        {"source": list(of), "family": [root(one) for one in of]}, schema={"source": pl.String, "family": pl.String}
    )
