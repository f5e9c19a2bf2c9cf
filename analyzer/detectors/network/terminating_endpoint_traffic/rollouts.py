"""Deletions of one workload's pods that belong together, and what was sent to them meanwhile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.network.terminating_endpoint_traffic.attempts import ANSWERED, CLIENT, REFUSED, UNANSWERED

APART = timedelta(minutes=10)
"""Deletions of one workload's pods with less between them are one rollout (progressDeadlineSeconds, 600 s)."""

QUANTILE = 0.99
"""Share of the failed connections that the preStop sleep has to cover."""

OWNER = ["namespace", "workload_kind", "workload"]


class Rollout(Struct, frozen=True, kw_only=True):
    """`pods` is a row per deleted pod and address, `failed` the new connections of clients that were refused or not
    answered, `tried` all new connections after a deletion, `served` connections that pods of the workload answered
    from the first deletion to the last failure, `errors` answers 502 to 504 of those whose connections failed."""

    namespace: str
    kind: str
    workload: str
    pods: pl.DataFrame
    tried: pl.DataFrame
    failed: pl.DataFrame
    served: int
    errors: int | None

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.workload}"

    @property
    def start(self) -> datetime:
        return self.pods["deleted"].min()  # type: ignore[return-value]  # untyped by polars

    @property
    def end(self) -> datetime:
        return self.failed["time"].max()  # type: ignore[return-value]

    @property
    def window(self) -> float:
        """The longest time from a pod's deletion to the last failed connection."""
        return float(self.failed["after"].max())  # type: ignore[arg-type]

    @property
    def sleep(self) -> int:
        """Whole seconds of a preStop sleep that cover so many of the failed connections."""
        covered = self.failed["after"].quantile(QUANTILE, interpolation="higher")
        return max(1, math.ceil(covered or 0))

    def left(self, seconds: float) -> int:
        """Failed connections that come later than that after the deletion."""
        return self.failed.filter(pl.col("after") > seconds).height

    def count(self, outcome: str) -> int:
        return self.failed.filter(pl.col("outcome") == outcome).height

    @property
    def gap(self) -> float | None:
        """The longest time from a deletion to the write of the endpoints; None where no write is told."""
        longest = (self.pods["removed"] - self.pods["deleted"]).dt.total_microseconds().max()
        return None if longest is None else float(longest) / 1e6  # type: ignore[arg-type]


def rollouts(
    ended: pl.DataFrame, tried: pl.DataFrame, seen: pl.DataFrame, owned: pl.DataFrame, errors: pl.DataFrame | None
) -> Iterator[Rollout]:
    """Every rollout after whose deletions a client's connection failed, in order of time. `seen` are the connections to
    pods, `owned` the addresses of pods, `errors` answers of HTTP servers (time, server, bad)."""
    again = (pl.col("deleted") - pl.col("deleted").shift(1) >= APART).fill_null(True)
    turns = ended.sort("deleted", "pod").with_columns(turn=again.cum_sum().over(OWNER))
    lost = pl.col("outcome").is_in([REFUSED, UNANSWERED]) & (pl.col("who") == CLIENT)
    numbered = tried.join(turns.select("ending", *OWNER, "turn"), on="ending", maintain_order="left")
    after = numbered.partition_by(*OWNER, "turn", as_dict=True)
    theirs = owned.select(*OWNER, server="address").unique()
    answered = seen.filter("answered").join(theirs, on="server").partition_by(OWNER, as_dict=True)
    found = []
    for key, pods in turns.partition_by(*OWNER, "turn", as_dict=True).items():
        mine = after.get(key, numbered.clear())
        failed = mine.filter(lost)
        if not failed.height:
            continue
        namespace, kind, workload = (str(part or "") for part in key[:3])
        start, end = pods["deleted"].min(), failed["time"].max()
        own = answered.get(key[:3], seen.clear())
        served = own.filter(pl.col("time").is_between(start, end)).height
        told = None
        if errors is not None:
            own_clients = pl.col("server").is_in(failed["client"].unique().implode())
            answers = errors.filter(own_clients, pl.col("time").is_between(start, end))
            told = int(answers["bad"].sum()) if answers.height else None
        found.append(
            Rollout(
                namespace=namespace,
                kind=kind,
                workload=workload,
                pods=pods,
                tried=mine,
                failed=failed,
                served=served,
                errors=told,
            )
        )
    yield from sorted(found, key=lambda one: (one.start, one.label))


__all__ = ["ANSWERED", "APART", "REFUSED", "UNANSWERED", "Rollout", "rollouts"]
