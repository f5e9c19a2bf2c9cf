"""Replicas of one stateful workload that are down at the same time, having stopped within a moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from analyzer.facts.node_names import short_node

ORDINARY = ("Deployment", "ReplicaSet", "ReplicationController", "DaemonSet", "Job", "CronJob", "Node", "Pod", "")
"""Kinds whose replicas are alike or end by themselves; the others are StatefulSets and what operators make pods of."""

MOVERS = (
    r"^system:(?:kube-scheduler$|node:|serviceaccount:kube-system:(?:node-controller|taint-eviction-controller"
    r"|pod-garbage-collector|generic-garbage-collector|namespace-controller)$)"
)
"""Who deletes pods because of their node, a priority, or what they belonged to (kubernetes pkg/controller)."""

OWNER = ["namespace", "workload_kind", "workload"]

FORGOTTEN = timedelta(hours=1)
"""A replica of which nothing was heard for so long after it stopped is no longer waited for."""


MOST = 500
"""Replicas of one workload that are looked at together, so that a hostile log costs no more than a long one."""


class Limits(Struct, frozen=True, kw_only=True):
    """Replicas at least, the share of all of them, and within how many seconds they stop."""

    replicas: int
    share: float
    seconds: float


class Group(Struct, frozen=True, kw_only=True):
    """`stops` are rows of POD_STOPS, one per replica, all down at `end`; `replicas` is how many there are in all."""

    namespace: str
    kind: str
    workload: str
    stops: pl.DataFrame
    replicas: int

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.workload}"

    @property
    def start(self) -> datetime:
        return self.stops["time"].min()  # type: ignore[return-value]  # untyped by polars

    @property
    def end(self) -> datetime:
        return self.stops["time"].max()  # type: ignore[return-value]

    @property
    def spread(self) -> float:
        return (self.end - self.start).total_seconds()

    @property
    def whole(self) -> bool:
        return self.stops.height >= self.replicas

    @property
    def none_left(self) -> float | None:
        """Seconds without any replica; None where some were left, or nothing tells of the first return."""
        first: datetime | None = self.stops["back"].min()  # type: ignore[assignment]
        if not self.whole or first is None:
            return None
        return max(0.0, (first - self.end).total_seconds())

    @property
    def down(self) -> float | None:
        """Replica-seconds that they were down; None where the return of one is not told."""
        if self.stops["back"].null_count():
            return None
        return float((self.stops["back"] - self.stops["time"]).dt.total_microseconds().sum()) / 1e6

    @property
    def moved(self) -> int:
        """Replicas that were evicted, or deleted for their node's sake."""
        by = pl.col("actor").str.contains(MOVERS).fill_null(False)
        return self.stops.filter((pl.col("how") == "evicted") | by).height

    @property
    def nodes(self) -> int:
        names = self.stops.select(short_node(pl.col("node")).drop_nulls())
        return names.to_series().n_unique()


def groups(stops: pl.DataFrame, counts: pl.DataFrame, limits: Limits) -> Iterator[Group]:
    """The largest groups of each workload, in order of time; none shares a stop with another.

    `stops` are rows of POD_STOPS, `counts` numbers of replicas that somebody wrote (namespace, name, time, replicas).
    """
    stateful = stops.filter(~pl.col("workload_kind").is_in(ORDINARY))
    static = pl.col("pod").str.ends_with("-" + pl.col("node")) | pl.col("pod").str.ends_with(
        "-" + short_node(pl.col("node"))
    )
    own = stateful.filter(~static.fill_null(False)).partition_by(*OWNER, as_dict=True, maintain_order=True)
    written = counts.sort("time").partition_by("namespace", "name", as_dict=True)
    found = []
    for (namespace, kind, workload), rows in own.items():
        ordered = rows.sort("time", "pod")
        known = written.get((namespace, workload))
        for part in _together(ordered, limits):
            before = known.filter(pl.col("time") <= part["time"].max())["replicas"] if known is not None else None
            told = int(before[-1]) if before is not None and before.len() else ordered["pod"].n_unique()
            replicas = max(told, part.height)
            if part.height >= limits.replicas and part.height >= limits.share * replicas:
                found.append(
                    Group(
                        namespace=str(namespace),
                        kind=str(kind),
                        workload=str(workload),
                        stops=part,
                        replicas=replicas,
                    )
                )
    yield from sorted(found, key=lambda group: (group.start, group.label))


def _together(ordered: pl.DataFrame, limits: Limits) -> Iterator[pl.DataFrame]:
    """Runs of stops that are down together. One pass: a stop joins those of the last seconds that are not back yet."""
    width = timedelta(seconds=limits.seconds)
    rows = list(zip(ordered["pod"], ordered["time"], ordered["back"], ordered["again"], strict=True))
    best: list[int] = []
    open_: list[int] = []
    for at, (pod, time, _, _) in enumerate(rows):
        open_ = [
            one for one in open_ if rows[one][1] >= time - width and rows[one][0] != pod and _down(rows[one], time)
        ]
        open_ = [*open_[-MOST:], at]
        if best and open_[0] > best[-1]:
            yield ordered[best]
            best = []
        if len(open_) > len(best):
            best = list(open_)
    if best:
        yield ordered[best]


def _down(row: tuple[str, datetime, datetime | None, datetime | None], time: datetime) -> bool:
    back = row[2] or row[3]
    return time - row[1] < FORGOTTEN if back is None else back > time
