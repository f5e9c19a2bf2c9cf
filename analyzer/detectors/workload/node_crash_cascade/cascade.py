"""Outages of nodes that follow the replicas of one owner from node to node."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from msgspec import Struct

from analyzer.detectors.workload.node_crash_cascade.places import OWNER, POD, alive

MOST = 500
"""Outages of nodes with several replicas of an owner that are looked at, in order: each looks at all places."""


class Limits(Struct, frozen=True, kw_only=True):
    """Replicas of an owner on the node that fails, their share of all, and how soon the next node fails."""

    replicas: int
    share: float
    minutes: float


class Step(Struct, frozen=True, kw_only=True):
    """Node `first` failed with `lost` replicas of the owner of `replicas` in all; `moved` of them (places) came to node
    `second`, which failed then. Both are rows of NODE_OUTAGES."""

    owner: tuple[str, str, str]
    first: dict[str, Any]
    second: dict[str, Any]
    lost: pl.DataFrame
    replicas: int
    moved: pl.DataFrame


class Cascade(Struct, frozen=True, kw_only=True):
    """The steps of one owner, one after the other, and how many nodes are known that pods run on."""

    steps: tuple[Step, ...]
    nodes: int

    @property
    def label(self) -> str:
        namespace, _, workload = self.steps[0].owner
        return f"{namespace}/{workload}"

    @property
    def outages(self) -> list[dict[str, Any]]:
        return [self.steps[0].first, *(step.second for step in self.steps)]

    @property
    def names(self) -> list[str]:
        return [str(outage["node"]) for outage in self.outages]

    @property
    def start(self) -> datetime:
        began: datetime = self.steps[0].first["time"]
        return began

    @property
    def last(self) -> datetime:
        failed: datetime = self.steps[-1].second["time"]
        return failed

    @property
    def moved(self) -> pl.DataFrame:
        return pl.concat([step.moved for step in self.steps])

    @property
    def silence(self) -> float | None:
        """The longest silence of one of the nodes; None where none is told."""
        told = [outage["silent_seconds"] for outage in self.outages if outage["silent_seconds"] is not None]
        return max(told) if told else None

    @property
    def spread(self) -> int:
        """Most replicas of the owner on one node, had they been spread over all nodes."""
        return math.ceil(self.steps[0].replicas / max(1, self.nodes))


def crowded(outages: pl.DataFrame, placed: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """The outages of nodes on which several replicas of an owner were placed, in order."""
    many = placed.group_by(*OWNER, "node").len().filter(pl.col("len") >= limits.replicas)
    return outages.join(many.select("node").unique(), on="node", how="semi").sort("time", "node")


def steps(outages: pl.DataFrame, placed: pl.DataFrame, limits: Limits) -> Iterator[Step]:
    """Pairs of outages that the replicas of an owner link, in order of time: of several nodes that failed after the
    same one, that to which most of them came."""
    within = timedelta(minutes=limits.minutes)
    rows = {(row["node"], row["time"]): row for row in outages.iter_rows(named=True)}
    for first in crowded(outages, placed, limits).head(MOST).iter_rows(named=True):
        there = alive(placed, outages, first["time"])
        lost = there.filter(pl.col("node") == first["node"])
        total = there.group_by(OWNER).len("replicas")
        hit = (
            lost.group_by(OWNER)
            .len("here")
            .filter(pl.col("here") >= limits.replicas)
            .join(total, on=OWNER)
            .filter(pl.col("here") >= limits.share * pl.col("replicas"))
        )
        if not hit.height:
            continue
        soon = pl.col("since").is_between(first["time"], first["time"] + within, closed="right")
        later = outages.filter(pl.col("time") > first["time"], pl.col("time") <= first["time"] + within)
        came = (
            placed.filter(soon, pl.col("node") != first["node"])
            .join(hit.select(OWNER), on=OWNER, how="semi")
            .join(later.select("node", failed="time"), on="node")
            .filter(pl.col("since") <= pl.col("failed"), (pl.col("over") >= pl.col("failed")).fill_null(True))
            .unique([*POD, "node", "failed"], keep="first", maintain_order=True)
        )
        most = came.group_by(*OWNER, "node", "failed").len("moved").filter(pl.col("moved") >= limits.replicas)
        chosen = most.sort(*OWNER, "moved", "failed", "node", descending=[False] * 3 + [True, False, False])
        for *owner, node, failed, _ in chosen.unique(OWNER, keep="first", maintain_order=True).rows():
            same = pl.all_horizontal(pl.col(name) == value for name, value in zip(OWNER, owner, strict=True))
            yield Step(
                owner=(str(owner[0]), str(owner[1]), str(owner[2])),
                first=first,
                second=rows[node, failed],
                lost=lost.filter(same),
                replicas=int(hit.filter(same)["replicas"][0]),
                moved=came.filter(same, pl.col("node") == node, pl.col("failed") == failed),
            )


def cascades(found: list[Step], nodes: int) -> Iterator[Cascade]:
    """The steps of each owner put together where the second node of one is the first of the next."""
    open_: dict[tuple[object, ...], list[Step]] = {}
    chains: list[list[Step]] = []
    for step in sorted(found, key=lambda one: (one.first["time"], one.second["time"], one.owner)):
        chain = open_.pop((step.owner, step.first["node"], step.first["time"]), None)
        if chain is None:
            chain = []
            chains.append(chain)
        chain.append(step)
        open_[step.owner, step.second["node"], step.second["time"]] = chain
    for chain in sorted(chains, key=lambda one: (one[0].first["time"], one[0].owner)):
        yield Cascade(steps=tuple(chain), nodes=nodes)
