"""Records at which a Deployment fell to one replica: by what was stored, by Events, or by what followed a write."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
from msgspec import Struct

from analyzer.facts.workload_writes import CONTROLLERS

DEFAULTED = 1
"""What the server writes where spec.replicas is missing (pkg/apis/apps/v1/defaults.go; kubernetes issue 67135)."""

KEY = ["namespace", "name"]

ROLLOUT = timedelta(minutes=10)
"""Another ReplicaSet of the Deployment that grows within this is a rollout (progressDeadlineSeconds, 600 s)."""

WRITTEN = timedelta(seconds=60)
"""How long after a write its ReplicaSet is scaled and its pods are deleted."""

AGREED = timedelta(seconds=30)
"""How far the Event of an autoscaler and that of the Deployment lie apart, which is seconds."""

STORED, TOLD, INFERRED = "stored", "event", "sequence"
"""How a collapse is known: the bodies of the write, an Event, or only what followed a write without bodies."""


class Limits(Struct, frozen=True, kw_only=True):
    """`least` replicas before, and the share that must be lost."""

    least: int
    share: float

    def met(self, before: int | None) -> bool:
        return before is not None and before >= self.least and (before - DEFAULTED) >= self.share * before


class Around(Struct, frozen=True):
    """What is known beside one Deployment: its rows, pods of it that were deleted, pods that were made and autoscalers
    that acted in its namespace."""

    rows: pl.DataFrame
    gone: pl.DataFrame
    born: pl.DataFrame
    rescales: pl.DataFrame


def candidates(counts: pl.DataFrame) -> pl.DataFrame:
    """Rows of REPLICA_COUNTS at which a Deployment may have fallen, with `known`: what it had before by the audit log.

    A write to the subresource scale whose body is not there makes that unknown.
    """
    audit = pl.col("what") != "event"
    person = ~pl.col("autoscaler") & ~pl.col("actor").str.contains(CONTROLLERS).fill_null(False)
    written = (pl.col("what") == "written") & person
    stored = written & pl.col("asked").is_null() & (pl.col("replicas") == DEFAULTED)
    told = ~audit & (pl.col("replicas") == DEFAULTED) & ~audit.any().over(KEY)
    return known(counts).filter(stored | (written & pl.col("replicas").is_null()) | told)


def known(counts: pl.DataFrame) -> pl.DataFrame:
    """The rows with `known`: what the Deployment had before, as far as the audit log tells."""
    unknown = -1
    audit = ~pl.col("what").is_in(["event", "rescaled"])
    now = pl.when(audit).then(
        pl.when(pl.col("what") == "scaled").then(pl.col("replicas").fill_null(unknown)).otherwise("replicas")
    )
    before = now.shift(1).forward_fill().over(KEY)
    return counts.with_columns(known=pl.when(before != unknown).then(before))


def fall_of(row: dict[str, Any], around: Around, limits: Limits) -> tuple[str, int] | None:
    """How it is known that the Deployment fell at that candidate, and what it had; None where it did not."""
    if row["what"] == "event":
        return (TOLD, row["before"]) if _rescued(row, around, limits) else None
    if row["replicas"] is None:
        return _followed(row, around, limits)
    before = row["known"] if row["known"] is not None else _had(around, row["time"])
    return (STORED, before) if before is not None and limits.met(before) else None


def _had(around: Around, time: datetime) -> int | None:
    """Replicas before that moment by the Event that followed it, else by the pods that were deleted then."""
    near = pl.col("time").is_between(time - timedelta(seconds=1), time + WRITTEN)
    told = around.rows.filter(near, pl.col("what") == "event", pl.col("replicas") == DEFAULTED)["before"].drop_nulls()
    if told.len():
        return int(told[0])
    deleted = deleted_then(around.gone, time)
    return deleted.height + DEFAULTED if deleted.height else None


def deleted_then(gone: pl.DataFrame, time: datetime) -> pl.DataFrame:
    near = pl.col("time").is_between(time - timedelta(seconds=1), time + WRITTEN)
    return gone.filter(near).unique("name", keep="first", maintain_order=True)


def _followed(write: dict[str, Any], around: Around, limits: Limits) -> tuple[str, int] | None:
    """A write whose result is not told, after which the ReplicaSet fell to one (an Event says so); or pods were
    deleted, none were made, and an autoscaler had to raise the number again."""
    rows, time = around.rows, write["time"]
    after = pl.col("time").is_between(time - timedelta(seconds=1), time + WRITTEN)
    before = _had(around, time)
    scaled = rows.filter(pl.col("what") == "scaled", after, ~pl.col("autoscaler")).height
    if scaled or before is None or not limits.met(before):
        return None
    fell = rows.filter(pl.col("what") == "event", after, pl.col("replicas") == DEFAULTED)
    if fell.height:
        return None if _grown(rows, fell.row(0, named=True)) else (TOLD, before)
    raised = rows.filter("autoscaler", pl.col("time").is_between(time, time + ROLLOUT)).height
    deleted = deleted_then(around.gone, time)
    made = around.born.filter(pl.col("time").is_between(time, deleted["time"].max() or time)).height
    one = deleted["name"].str.replace("-[^-]*$", "").n_unique() == 1
    return (INFERRED, before) if raised and one and not made else None


def _rescued(fall: dict[str, Any], around: Around, limits: Limits) -> bool:
    """A fall that only Events tell of, which no autoscaler made and one had to mend."""
    rows, rescales = around.rows, around.rescales
    if not limits.met(fall["before"]) or _grown(rows, fall):
        return False
    same = (pl.col("what") == "event") & (pl.col("replicaset") == fall["replicaset"])
    later = rows.filter(same, pl.col("time").is_between(fall["time"], fall["time"] + ROLLOUT), pl.col("replicas") > 1)
    return not _agrees(rescales, fall) and any(_agrees(rescales, row) for row in later.iter_rows(named=True))


def _grown(rows: pl.DataFrame, fall: dict[str, Any]) -> bool:
    """Whether another ReplicaSet grew around that time: a rollout."""
    near = pl.col("time").is_between(fall["time"] - ROLLOUT, fall["time"] + ROLLOUT)
    other = (pl.col("what") == "event") & (pl.col("replicaset") != fall["replicaset"])
    return rows.filter(near, other, pl.col("replicas") > pl.col("before").fill_null(0)).height > 0


def _agrees(rescales: pl.DataFrame, event: dict[str, Any]) -> bool:
    """Whether an autoscaler of the namespace gave that number then."""
    near = pl.col("time").is_between(event["time"] - AGREED, event["time"] + AGREED)
    return rescales.filter(near, pl.col("replicas") == event["replicas"]).height > 0
