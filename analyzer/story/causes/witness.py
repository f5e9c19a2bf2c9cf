"""What a witness is: a kind of observation, the tables and facts that tell of it, and how they tell it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl
from msgspec import Struct

from analyzer.facts.contract import Fact
from analyzer.frames import Table

Given = Mapping["Table | Fact", pl.LazyFrame]


class Witness(Struct, frozen=True, kw_only=True):
    """`told` is given those of `needs` that exist, at least one, and returns a frame with the columns of
    `signs.COLUMNS`. `where` says in which kind of source it is read."""

    kind: str
    where: str
    needs: tuple[Table | Fact, ...]
    told: Callable[[Given], pl.LazyFrame]


def one() -> pl.Expr:
    """A record that stands for itself."""
    return pl.lit(1, dtype=pl.Int64).alias("count")
