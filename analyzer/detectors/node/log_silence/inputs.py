"""Which inputs go on with each other: rotated files of one log or capture hold the same emitters."""

from __future__ import annotations

import polars as pl


def families(rows: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """`source` and `family`, the first input of those that share an emitter's stream, directly or by others."""
    of = {source: source for source in rows["source"].unique().sort().to_list()}

    def root(source: str) -> str:
        while of[source] != source:
            of[source] = of[of[source]]
            source = of[source]
        return source

    shared = rows.group_by(key).agg(pl.col("source").unique()).filter(pl.col("source").list.len() > 1)
    for first, *others in shared["source"].unique().to_list():
        for other in others:
            # The least name stays the root, so the order of the unions does not matter.
            least, greater = sorted((root(first), root(other)))
            of[greater] = least
    return pl.DataFrame(
        {"source": list(of), "family": [root(one) for one in of]}, schema={"source": pl.String, "family": pl.String}
    )
