"""Pulls that went wrong together: one registry, one stretch of time, and whether they are a stampede."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from msgspec import Struct

APART = 900
"""Seconds without a repeated or failed pull after which another episode begins: three times the kubelet's longest
back-off (MaxContainerBackOff, `pkg/kubelet/kubelet.go`)."""

QUIET_MINUTES = 5
"""From so many minutes outside on there is a rate to compare with."""


class Limits(Struct, frozen=True, kw_only=True):
    """Thresholds; see the detector's settings."""

    repeats: int
    pods: int
    times: float
    sustained: float
    per_node: float
    quota_pods: int


class Episode(Struct, frozen=True, kw_only=True):
    """`tries` and `failures` are those of pods (or nodes) that pulled again or in vain; sorted by `at`.

    `quiet` is the median of attempts a minute at the registry outside, None where nothing is outside.
    """

    registry: str
    tries: pl.DataFrame
    failures: pl.DataFrame
    quiet: float | None

    @property
    def start(self) -> datetime:
        found: datetime = self.tries["at"].item(0)
        return found

    @property
    def end(self) -> datetime:
        last: list[datetime] = [rows["at"].item(-1) for rows in (self.tries, self.failures) if rows.height]
        return max(last)

    @property
    def minutes(self) -> float:
        return max((self.end - self.start).total_seconds() / 60, 1.0)

    @property
    def attempts(self) -> int:
        return round(float(self.tries["weight"].sum()))

    @property
    def repeats(self) -> int:
        return round(float(self.tries["again"].sum()))

    @property
    def pods(self) -> int:
        return self.tries["pod"].drop_nulls().n_unique()

    @property
    def quota(self) -> pl.DataFrame:
        return self.failures.filter(pl.col("class") == "quota")

    @property
    def busiest_node(self) -> float:
        """Most repeats of one node a minute over ten minutes."""
        most = 0.0
        for (node,), rows in self.tries.filter(pl.col("again") > 0).partition_by("node", as_dict=True).items():
            if node is not None:
                most = max(most, _sustained(rows))
        return most


WINDOW = timedelta(minutes=10)


def _sustained(rows: pl.DataFrame) -> float:
    """The most that any ten minutes hold, a minute."""
    at = rows["at"].dt.epoch("us").to_numpy()
    total = np.concatenate(([0.0], np.cumsum(rows["again"].to_numpy())))
    last = np.searchsorted(at, at + int(WINDOW / timedelta(microseconds=1)), "right")
    return float((total[last] - total[:-1]).max() / (WINDOW.total_seconds() / 60))


def episodes(tries: pl.DataFrame, failures: pl.DataFrame, limits: Limits) -> Iterator[Episode]:
    """Registries in their order, and their episodes in time, without those that cannot pass."""
    of_each = failures.partition_by("registry", as_dict=True, maintain_order=True)
    least = min(limits.repeats, limits.per_node * WINDOW.total_seconds() / 60)
    for (registry,), rows in sorted(tries.partition_by("registry", as_dict=True).items()):
        bad = rows.filter("trouble")
        if not bad.height:
            continue
        gap = (pl.col("at") - pl.col("at").shift(1)).dt.total_seconds() > APART
        failed = of_each.get((registry,), failures.clear())
        if bad["again"].sum() < least and not (failed["class"] == "quota").any():
            continue
        for part in bad.with_columns(part=gap.fill_null(False).cum_sum()).partition_by("part", maintain_order=True):
            start, end = part["at"].item(0), part["at"].item(-1)
            mine = failed.filter(pl.col("at").is_between(start - WINDOW, end + WINDOW))
            yield Episode(registry=str(registry), tries=part, failures=mine, quiet=_quiet(rows, tries, start, end))


def _quiet(rows: pl.DataFrame, every: pl.DataFrame, start: datetime, end: datetime) -> float | None:
    """Median attempts a minute at this registry in the minutes that any pull is told of before and after."""
    begin, stop = every["at"].item(0), every["at"].item(-1)
    minutes = int(max((start - begin).total_seconds(), 0) // 60) + int(max((stop - end).total_seconds(), 0) // 60)
    if minutes < QUIET_MINUTES:
        return None
    outside = rows.filter(~pl.col("at").is_between(start, end))
    per_minute = outside.group_by(pl.col("at").dt.truncate("1m")).agg(pl.col("weight").sum())["weight"].to_numpy()
    zeros = max(minutes - len(per_minute), 0)
    return float(np.median(np.concatenate((per_minute, np.zeros(min(zeros, len(per_minute) + 2))))))


def passes(episode: Episode, limits: Limits) -> bool:
    """A registry that turns several pods away, or pulls again and again: of a fleet, or of one node."""
    quota = episode.quota
    if quota["pod"].drop_nulls().n_unique() >= limits.quota_pods:
        return True
    if not quota["pod"].drop_nulls().len() and quota["weight"].sum() >= limits.quota_pods:
        return True
    lasting = (episode.end - episode.start).total_seconds() >= limits.sustained
    if lasting and episode.busiest_node >= limits.per_node:
        return True
    many = episode.repeats >= limits.repeats and episode.pods >= limits.pods
    rate = episode.attempts / episode.minutes
    return lasting and many and (episode.quiet is None or rate >= limits.times * episode.quiet)
