"""What the refusals of one cause amount to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl
from msgspec import Struct

WHO = "who"


class Refusals(Struct, frozen=True, kw_only=True):
    """`rows`: the refused calls of one cause, with `who` (pod, else address). `blocked`: seconds by `who`."""

    cause: str
    rows: pl.DataFrame
    blocked: pl.DataFrame
    granted: int

    @property
    def count(self) -> int:
        return self.rows.height

    @property
    def pods(self) -> list[str]:
        return sorted(self.rows[WHO].unique().to_list())

    @property
    def seconds(self) -> float:
        return float(self.blocked["seconds"].sum())

    @property
    def known(self) -> bool:
        return bool(self.rows["known"].all())

    @property
    def start(self) -> datetime:
        found: datetime = self.rows["time"].sort().item(0)
        return found

    @property
    def end(self) -> datetime:
        found: datetime = self.rows["end"].sort().item(-1)
        return found


def by_cause(judged: pl.DataFrame) -> Iterator[Refusals]:
    """Causes in alphabetical order."""
    every = judged.with_columns(pl.coalesce("pod", "client").alias(WHO))
    blocked = _blocked(every)
    parts = every.filter("refused").partition_by("cause", as_dict=True)
    for (cause,), rows in sorted(parts.items()):
        between = every.filter(~pl.col("refused"), pl.col("time").is_between(rows["time"].min(), rows["end"].max()))
        mine = blocked.filter(pl.col("cause") == cause).group_by(WHO).agg(pl.col("seconds").sum())
        yield Refusals(cause=str(cause), rows=rows, blocked=mine.sort(WHO), granted=between.height)


def _blocked(every: pl.DataFrame) -> pl.DataFrame:
    """Seconds of each streak of refusals: from its first request to the next granted answer, else to its last answer.

    Of a streak with several causes each has its part, so no second counts twice.
    """
    rows = every.sort(WHO, "time", "source", "number")
    refused = pl.col("refused")
    turn = refused & (
        ~refused.shift(1).over(WHO).fill_null(False) | (pl.col("cause") != pl.col("cause").shift(1).over(WHO))
    )
    follows = pl.when(~refused).then("end").otherwise("time").shift(-1).over(WHO)
    until = pl.coalesce(pl.when(refused).then(follows), "end")
    return (
        rows.with_columns(streak=turn.cum_sum().over(WHO), until=until)
        .filter("refused")
        .group_by(WHO, "cause", "streak")
        .agg((pl.col("until").max() - pl.col("time").min()).dt.total_microseconds() / 1e6)
        .rename({"until": "seconds"})
    )
