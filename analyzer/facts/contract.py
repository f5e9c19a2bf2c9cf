"""What a fact is: a table derived from other tables once, for all detectors and the story."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import polars as pl
from msgspec import Struct

from analyzer.frames.contract import Table

Frames = Mapping["Table | Fact", pl.LazyFrame]


class Fact(Struct, frozen=True, kw_only=True):
    """`derive` is given those of `needs` and `uses` that exist, as soon as one alternative of `needs_any` is whole.

    Its result must fit `table`. Rows come of rows: where nothing in `needs_any` has any the fact has none, and `derive`
    is not asked. Facts state; they never judge. A fact that is `grouped` needs tables of one group only
    and gives the same rows, in the order of time, source and number, from some whole groups after the others.
    """

    table: Table
    needs_any: tuple[tuple[Table | Fact, ...], ...]
    derive: Callable[[Frames], pl.LazyFrame]
    uses: tuple[Table | Fact, ...] = ()
    grouped: bool = False

    def __hash__(self) -> int:
        return hash(self.table.name)

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def inputs(self) -> tuple[Table | Fact, ...]:
        """All that `derive` may be given."""
        return tuple(dict.fromkeys([*(one for needs in self.needs_any for one in needs), *self.uses]))


@cache
def behind(need: Table | Fact) -> frozenset[Table]:
    """All tables that a table or fact may rest on, by itself or through other facts."""
    return frozenset([need]) if isinstance(need, Table) else frozenset().union(*map(behind, need.inputs))
