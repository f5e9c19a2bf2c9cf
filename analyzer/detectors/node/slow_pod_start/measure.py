"""Starts by node, of which only what the node itself takes is judged."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

OWN = ("sync", "volume", "sandbox", "start")
"""Parts that are the node's. The others have causes elsewhere: the scheduler, the storage, the size of images, what
init containers do, and how late the API server is told (kubelet-status-lag)."""


MOST = 10
"""Nodes that have a finding each."""

LOOKED_AT = 100
"""Nodes that are compared with the others, the slowest of them: each comparison looks at all starts."""

NEAR = timedelta(hours=1)
"""Starts of other nodes so long before and after are about the same time."""


class Limits(Struct, frozen=True, kw_only=True):
    """Thresholds; see the detector's settings."""

    p95: float
    times: float
    least: float
    pods: int


class Starts(Struct, frozen=True, kw_only=True):
    """One node; `rows` are its starts, the slowest first, `good` seconds that one may take. `fleet` are those of the
    other nodes at about the same time, told in the same way, None where there are too few."""

    node: str
    rows: pl.DataFrame
    fleet: pl.DataFrame | None
    good: float

    @property
    def pods(self) -> int:
        return self.rows.height

    @property
    def median(self) -> float:
        return middle(self.rows["own"])

    @property
    def p95(self) -> float:
        """The least that 95 of 100 pods do not exceed (nearest rank)."""
        return float(self.rows["own"].item((self.pods * 5) // 100))

    @property
    def queued(self) -> bool:
        """Whether of most pods nobody tells when they were bound or given to the kubelet."""
        return 2 * self.rows.filter(pl.col("since") == "created").height > self.pods

    @property
    def elsewhere(self) -> float | None:
        return None if self.fleet is None else middle(self.fleet["own"])

    @property
    def above(self) -> float | None:
        """Seconds that the pods took longer than the median elsewhere."""
        if self.elsewhere is None:
            return None
        return round(float((self.rows["own"] - self.elsewhere).clip(0).sum()), 6)

    @property
    def start(self) -> datetime:
        """The first of those that took too long: a node may have been in order before."""
        late = self.rows.filter(pl.col("own") > self.good)
        found: datetime = (late if late.height else self.rows)["time"].sort().item(0)
        return found

    @property
    def end(self) -> datetime:
        """When the last of them ran."""
        parts = pl.sum_horizontal(*(pl.col(part).fill_null(0.0) for part in ("attach", "pull", "init", *OWN[1:])))
        until = pl.coalesce("ran", pl.col("time") + pl.duration(microseconds=(parts * 1e6).round().cast(pl.Int64)))
        found: datetime = self.rows.select(until.max()).item()
        return max(found, self.start + timedelta(microseconds=1))

    @property
    def slowest_part(self) -> str:
        """Of the node's own parts the one that takes most above the fleet, else most."""
        excess = {part: total(self.rows[part]) / self.pods - self._usual(part) for part in OWN}
        return max(OWN, key=lambda part: excess[part])

    def _usual(self, part: str) -> float:
        return 0.0 if self.fleet is None else total(self.fleet[part]) / self.fleet.height


def middle(values: pl.Series) -> float:
    found = values.median()
    return float(found) if isinstance(found, float) else 0.0


def total(values: pl.Series) -> float:
    return float(values.fill_null(0.0).sum())


def judged(starts: pl.LazyFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The starts with `own`, seconds of the node's own parts, and those that are left out.

    The binding is stamped by another clock: of `sync` only what is more than the least of the node counts, so that
    clocks that differ cost nothing.
    """
    every = starts.collect()
    spared = pl.col("stuck") | pl.col("young")
    known = every.filter(~spared).with_columns(sync=pl.col("sync") - pl.col("sync").min().over("node"))
    parts = [pl.col(part).fill_null(0.0) for part in OWN]
    told = pl.any_horizontal(*(pl.col(part).is_not_null() for part in OWN[1:]))
    return known.filter(told).with_columns(own=pl.sum_horizontal(*parts)), every.filter(spared)


def by_node(starts: pl.DataFrame, limits: Limits) -> tuple[list[Starts], int]:
    """Nodes that pass, the slowest first, each with the starts of the others that are told in the same way; and how
    many more are slow by themselves."""
    order = ["own", "pod", "source", "number"]
    late = pl.col("own").sort(descending=True).get(pl.len() * 5 // 100).alias("late")
    nodes = starts.group_by("node").agg(pl.len().alias("pods"), pl.col("own").median().alias("median"), late)
    worth = (pl.col("late") > limits.p95) | (pl.col("median") > limits.least)
    slow = nodes.filter(pl.col("pods") >= limits.pods, worth).sort("late", "node", descending=[True, False])
    parts = starts.filter(pl.col("node").is_in(slow["node"].head(LOOKED_AT).implode())).partition_by("node")
    found = []
    for rows in parts:
        bases, node = rows["basis"].unique(), rows["node"][0]
        then = pl.col("time").is_between(rows["time"].min() - NEAR, rows["time"].max() + NEAR)  # type: ignore[operator]  # untyped by polars
        others = starts.filter(pl.col("node") != node, pl.col("basis").is_in(bases.implode()), then)
        fleet = others if others.height >= limits.pods else None
        ranked = rows.sort(order, descending=[True, False, False, False])
        found.append(Starts(node=node, rows=ranked, fleet=fleet, good=limits.least))
    passed = sorted((one for one in found if passes(one, limits)), key=lambda one: (-one.p95, one.node))
    more = slow[LOOKED_AT:].filter(pl.col("late") > limits.p95).height
    return passed[:MOST], more + max(len(passed) - MOST, 0)


def passes(starts: Starts, limits: Limits) -> bool:
    """Many pods, of which one in twenty is late, or whose median is some times that of the other nodes."""
    if starts.pods < limits.pods:
        return False
    usual = starts.elsewhere
    behind = usual is not None and starts.median >= limits.times * usual and starts.median > limits.least
    return starts.p95 > limits.p95 or behind
