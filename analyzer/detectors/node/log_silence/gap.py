"""A gap in what an emitter says, and the thresholds that make it a silence."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Thresholds; see the detector's settings."""

    intervals: int
    times: float
    seconds: float
    chance: float
    peers: float


class Silence(Struct, frozen=True, kw_only=True):
    """The longest gap of one emitter's stream. `before` are its seconds with records until then, `resumed` the first
    after it; `others` the records of peers meanwhile; `hole` where nothing else stands in its input meanwhile."""

    kind: str
    emitter: str
    stream: str
    port: int | None
    start: datetime
    end: datetime
    before: pl.DataFrame
    resumed: pl.DataFrame
    others: pl.DataFrame
    peers: int
    speaking: int
    newcomers: int
    p99: float
    hole: bool

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()

    @property
    def records(self) -> int:
        return int(self.before["records"].sum())

    @property
    def rate(self) -> float:
        """Records a second, over the time in which it spoke."""
        spoke: timedelta = self.start - self.before["time"][0]
        return self.records / max(spoke.total_seconds(), 1.0)


def together(found: list[Silence]) -> list[list[Silence]]:
    """Silences of one emitter that overlap, those from which most is missing first; holes apart."""
    groups: list[list[Silence]] = []
    for one in sorted(found, key=lambda silence: (silence.kind, silence.emitter, silence.hole, silence.start)):
        last = groups[-1] if groups else []
        same = last and (last[0].kind, last[0].emitter, last[0].hole) == (one.kind, one.emitter, one.hole)
        if same and one.start <= max(part.end for part in last):
            last.append(one)
        else:
            groups.append([one])
    return sorted(groups, key=lambda parts: (-sum(one.rate * one.seconds for one in parts), parts[0].emitter))
