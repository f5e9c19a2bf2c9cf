"""The tables of one run, and the facts derived from them, each derived once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from analyzer.facts.contract import Fact
from analyzer.frames import Table


class Store:
    """Tables by contract. A table is present when an input was read that gives it, even if it has no rows."""

    def __init__(self, tables: Mapping[Table, pl.DataFrame]) -> None:
        self._frames: dict[Table | Fact, pl.LazyFrame] = {table: frame.lazy() for table, frame in tables.items()}
        self.rows: dict[Table, int] = {table: frame.height for table, frame in tables.items()}

    def get(self, need: Table | Fact) -> pl.LazyFrame | None:
        """The table, or the fact if it can be derived; None where its inputs are missing."""
        if need in self._frames or isinstance(need, Table):
            return self._frames.get(need)
        given = {one: frame for one in need.inputs if (frame := self.get(one)) is not None}
        if not any(all(one in given for one in alternative) for alternative in need.needs_any):
            return None
        derived = need.table.check(need.derive(given)).collect()
        self._frames[need] = derived.lazy()
        return self._frames[need]

    def select(self, needs: Iterable[Table | Fact]) -> dict[Table | Fact, pl.LazyFrame]:
        """Those of `needs` that exist."""
        return {need: frame for need in needs if (frame := self.get(need)) is not None}

    def tables_behind(self, needs: Iterable[Table | Fact]) -> list[Table]:
        """The tables that were read and that these needs rest on, in order of their names."""
        found: set[Table] = set()
        for need in needs:
            if isinstance(need, Table):
                found |= {need} & self.rows.keys()
            else:
                found |= set(self.tables_behind(need.inputs))
        return sorted(found, key=lambda table: table.name)
