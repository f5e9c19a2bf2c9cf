"""The tables of one run, and the facts derived from them, each derived once.

A fact that names a group is derived bucket by bucket where its tables lie in files, so that only one bucket is in
memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import RLock

import polars as pl

from analyzer.case import Rows
from analyzer.facts.contract import Fact
from analyzer.facts.overlaps import COUNTED_ONCE, LOG_COPIES, without_copies
from analyzer.frames import Table
from analyzer.pipeline.engine import Engine, Here


class Store:
    """Tables by contract. A table is present when an input was read that gives it, even if it has no rows."""

    def __init__(self, tables: Mapping[Table, Rows], engine: Engine | None = None) -> None:
        self._tables = tables
        self._engine = engine or Here()
        self._locks: dict[Fact, RLock] = {}
        self._frames: dict[Table | Fact, pl.LazyFrame] = {table: rows.frame for table, rows in tables.items()}
        self.rows: dict[Table, int] = {table: rows.height for table, rows in tables.items()}

    def get(self, need: Table | Fact) -> pl.LazyFrame | None:
        """The table, or the fact if it can be derived; None where its inputs are missing.

        Several threads may ask: who asks for a fact that is being derived waits for it.
        """
        if need in self._frames or isinstance(need, Table):
            return self._frames.get(need)
        # Facts rest on each other in one direction only, so that no two threads wait for each other.
        with self._locks.setdefault(need, RLock()):
            return self._frames.get(need) if need in self._frames else self._fact(need)

    def _fact(self, need: Fact) -> pl.LazyFrame | None:
        given = {one: frame for one in need.inputs if (frame := self.get(one)) is not None}
        if not any(all(one in given for one in alternative) for alternative in need.needs_any):
            return None
        derived = self._by_bucket(need, given) if need.grouped else need.table.check(need.derive(given)).collect()
        self._frames[need] = derived.lazy()
        return self._frames[need]

    @property
    def in_memory(self) -> bool:
        """Whether all tables are; then so are the facts of all of them together."""
        return not any(rows.buckets for rows in self._tables.values())

    def _by_bucket(self, fact: Fact, given: Mapping[Table | Fact, pl.LazyFrame]) -> pl.DataFrame:
        buckets = [self._tables[need].buckets for need in given if isinstance(need, Table)]
        if len(buckets) < len(given) or not all(buckets):
            return fact.table.check(fact.derive(given)).collect()
        given_in = [
            (fact, {need: self._tables[need].buckets[number] for need in given if isinstance(need, Table)})
            for number in range(len(buckets[0]))
        ]
        return pl.concat(self._engine.map(_bucket, given_in)).sort(
            "time", "source", "number", maintain_order=True, nulls_last=True
        )

    def count_once(self) -> None:
        """From here on log lines that two inputs hold stand in their tables once."""
        found = self.get(LOG_COPIES)
        if found is None or not (copies := found.collect()).height:
            return
        for table in COUNTED_ONCE:
            if table in self._frames:
                self._frames[table] = without_copies(table, self._frames[table], copies)

    def select(self, needs: Iterable[Table | Fact]) -> dict[Table | Fact, pl.LazyFrame]:
        """Those of `needs` that exist."""
        return {need: frame for need in needs if (frame := self.get(need)) is not None}

    def holds(self, need: Table | Fact) -> bool:
        """Whether the table was read, or the fact can be derived; derives nothing."""
        if isinstance(need, Table):
            return need in self._frames
        return any(all(self.holds(one) for one in alternative) for alternative in need.needs_any)

    def breadth(self, needs: Iterable[Table | Fact]) -> int:
        """How many tables and facts these needs rest on: a hint at how long they take."""
        found: set[Table | Fact] = set()
        left = list(needs)
        while left:
            if (one := left.pop()) not in found:
                found.add(one)
                left += one.inputs if isinstance(one, Fact) else ()
        return len(found)

    def tables_behind(self, needs: Iterable[Table | Fact]) -> list[Table]:
        """The tables that were read and that these needs rest on, in order of their names."""
        found: set[Table] = set()
        for need in needs:
            if isinstance(need, Table):
                found |= {need} & self.rows.keys()
            else:
                found |= set(self.tables_behind(need.inputs))
        return sorted(found, key=lambda table: table.name)


def _bucket(given: tuple[Fact, dict[Table, pl.LazyFrame]]) -> pl.DataFrame:
    """A grouped fact of one bucket."""
    fact, tables = given
    frames: dict[Table | Fact, pl.LazyFrame] = dict(tables.items())
    return fact.table.check(fact.derive(frames)).collect()
