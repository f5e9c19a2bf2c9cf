"""Small builders: a test states only the columns it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from msgspec.structs import replace

from analyzer.case import Rows
from analyzer.detector import Detector, Remark
from analyzer.facts.contract import Fact, Frames
from analyzer.frames import Table
from analyzer.model import Finding

T0 = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """The moment that many seconds after T0."""
    return T0 + timedelta(seconds=seconds)


def rows(table: Table, *data: Mapping[str, Any], source: str = "t", **same: Any) -> pl.LazyFrame:
    """A frame of the table. Unnamed columns are null; time counts seconds from T0, number counts from 1.

    A `time` (or any other time column) given as a number means that many seconds after T0.
    """
    times = {col.name for col in table.cols if isinstance(col.dtype, pl.Datetime)}
    full = []
    for i, row in enumerate(data):
        made: dict[str, Any] = dict.fromkeys(table.schema)
        made |= {"time": T0 + timedelta(seconds=i), "source": source, "number": i + 1, **same, **row}
        full.append({k: at(v) if k in times and isinstance(v, int | float) else v for k, v in made.items()})
    if unknown := {key for row in full for key in row} - set(table.schema):
        raise KeyError(f"{table.name} has no column {sorted(unknown)}")
    return table.check(pl.LazyFrame(full, schema=table.schema))


def held(frame: pl.LazyFrame | pl.DataFrame) -> Rows:
    """The frame as the rows of a case in memory."""
    whole = frame.lazy().collect()
    return Rows(whole.lazy(), whole.height)


def frames_for(needs: Iterable[Table | Fact], given: Mapping[Table, pl.LazyFrame]) -> dict[Table | Fact, pl.LazyFrame]:
    """What the pipeline would hand over: of `needs`, the given tables and the facts that can be derived from them."""
    made: dict[Table | Fact, pl.LazyFrame] = {}
    made.update(given.items())

    def make(need: Table | Fact) -> bool:
        if need in made:
            return True
        if isinstance(need, Table):
            return False
        for one in need.inputs:
            make(one)
        if not any(all(n in made for n in alternative) for alternative in need.needs_any):
            return False
        made[need] = need.table.check(need.derive({n: made[n] for n in need.inputs if n in made}))
        return True

    return {need: made[need] for need in needs if make(need)}


def run(detector: Detector[Any], given: Mapping[Table, pl.LazyFrame], **changed: Any) -> list[Finding]:
    """The detector's findings on the given tables, with those settings changed."""
    return [out for out in outcome(detector, given, **changed) if isinstance(out, Finding)]


def remarks(detector: Detector[Any], given: Mapping[Table, pl.LazyFrame], **changed: Any) -> list[str]:
    """What the detector remarked beside its findings."""
    return [out.text for out in outcome(detector, given, **changed) if isinstance(out, Remark)]


def outcome(detector: Detector[Any], given: Mapping[Table, pl.LazyFrame], **changed: Any) -> list[Finding | Remark]:
    needs = [*(need for alternative in detector.needs_any for need in alternative), *detector.uses]
    seen: Frames = frames_for(needs, given)
    return list(detector.detect(seen, replace(detector.settings, **changed)))
