"""Which agents multiply lists, and how: by the clock, at a rate, or over the whole cluster from every node."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
from msgspec import Struct

from analyzer.detectors.apiserver.watch_list_amplification.lists import KEYS, SAME
from analyzer.facts.audit_windows import BIN_SECONDS

TWICE = 2
"""Lists too many from which a client polls: one more may be a restart."""


class Limits(Struct, frozen=True, kw_only=True):
    clients: int
    per_minute: int
    variation: float


class Pattern(Struct, frozen=True):
    """One agent's lists that multiply: `rows` of `lists`, and the resources by which it was found out.

    `period` is the median time in seconds between a client's lists of the same, `regular` says that it is kept.
    """

    agent: str
    rows: pl.DataFrame
    resources: tuple[dict[str, Any], ...]
    polls: bool
    period: float | None
    regular: bool

    @property
    def lists(self) -> pl.DataFrame:
        return self.rows.filter("first")

    @property
    def clients(self) -> int:
        """Clients told apart by address, pod, user or the node that they ask for."""
        return max(self.rows["client"].n_unique(), self.rows["selected_node"].drop_nulls().n_unique())

    @property
    def seconds(self) -> float:
        length: timedelta = self.rows["time"][-1] - self.rows["time"][0]
        return max(length.total_seconds(), 1.0)


def patterns(found: pl.DataFrame, limits: Limits) -> list[Pattern]:
    """The agents whose lists reach a threshold, in order of time."""
    if not found.height:
        return []
    groups = _measured(found)
    poll = pl.col("pollers") >= limits.clients
    rate = (pl.col("scope") == "cluster") & (pl.col("peak") >= limits.per_minute) & (pl.col("again") > 0)
    pods = (pl.col("resource") == "pods") & (pl.col("api_group") == "") & (pl.col("scope") == "cluster")
    spread = pods & (pl.col("spread") >= limits.clients)
    fired = groups.with_columns((poll | rate).alias("polls")).filter(poll | rate | spread)
    made = []
    for (agent,), resources in fired.group_by("agent", maintain_order=True):
        rows = found.filter(pl.col("agent") == agent).join(resources.select(KEYS), on=KEYS, how="semi")
        polled = resources.filter("polls")
        steady = polled.filter(pl.col("variation") < limits.variation)
        best = (steady if steady.height else polled).sort(["pollers", *KEYS], descending=[True] + [False] * 4).head(1)
        made.append(
            Pattern(
                agent=str(agent),
                rows=rows,
                resources=tuple(resources.rows(named=True)),
                polls=bool(polled.height),
                period=best["interval"][0] if best.height else None,
                regular=bool(steady.height),
            )
        )
    return sorted(made, key=lambda one: (one.rows["time"][0], one.agent))


def _measured(found: pl.DataFrame) -> pl.DataFrame:
    """Per agent, resource and scope: lists, again, pollers, spread (clients), peak (a minute), interval, variation."""
    first = found.filter("first")
    pollers = (
        first.filter("again")
        .group_by(*KEYS, "who")
        .len()
        .group_by(KEYS)
        .agg((pl.col("len") >= TWICE).sum().cast(pl.Int64).alias("pollers"))
    )
    # a minute is counted from the first list, so that no clock minute cuts a burst in two
    place = (pl.col("time") - pl.col("time").min().over(KEYS)).dt.total_microseconds() // (BIN_SECONDS * 1_000_000)
    peak = (
        first.filter("served", ~pl.col("selected"))
        .group_by(*KEYS, place.alias("bin"))
        .len()
        .group_by(KEYS)
        .agg(pl.col("len").max().cast(pl.Int64).alias("peak"))
    )
    # what one client asks for in two ways is two polls
    between = first.filter("again").group_by(*KEYS, *SAME).agg(pl.col("interval"))
    spans = (
        between.explode("interval")
        .group_by(KEYS)
        .agg(
            pl.col("interval").median(),
            pl.when(pl.col("interval").mean() > 0)
            .then(pl.col("interval").std() / pl.col("interval").mean())
            .alias("variation"),
        )
    )
    return (
        first.group_by(KEYS, maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("lists"),
            pl.col("again").sum().cast(pl.Int64),
            pl.col("client").filter(~pl.col("selected") & ~pl.col("excused")).n_unique().cast(pl.Int64).alias("spread"),
        )
        .join(pollers, on=KEYS, how="left", maintain_order="left")
        .join(peak, on=KEYS, how="left", maintain_order="left")
        .join(spans, on=KEYS, how="left", maintain_order="left")
        .with_columns(pl.col("pollers", "peak").fill_null(0))
    )


def stampede(found: pl.DataFrame, least: int) -> pl.DataFrame:
    """Agents of which so many clients listed again after a start of the server: agent, resource, start, clients."""
    after = found.filter("first", "excused")
    return (
        after.group_by("agent", "resource", "start")
        .agg(pl.col("who").n_unique().cast(pl.Int64).alias("clients"))
        .filter(pl.col("clients") >= least)
        .sort("start", "clients", "agent", "resource", descending=[False, True, False, False])
    )
