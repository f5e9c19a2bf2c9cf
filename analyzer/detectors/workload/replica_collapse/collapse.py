"""One Deployment's fall to one replica: what it had, what went, and when it had as much again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import polars as pl
from msgspec import Struct

from analyzer.detectors.workload.replica_collapse.falls import (
    DEFAULTED,
    STORED,
    Around,
    Limits,
    candidates,
    deleted_then,
    fall_of,
)


class Collapse(Struct, frozen=True, kw_only=True):
    """One fall. `later` are the replicas that the Deployment was given afterwards (time, replicas, autoscaler); `until`
    is when it had as many as before, None where it never had."""

    namespace: str
    name: str
    known: str
    actor: str
    agent: str
    time: datetime
    source: str
    number: int
    before: int
    deleted: pl.DataFrame
    later: pl.DataFrame
    until: datetime | None
    end: datetime

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def lost(self) -> float:
        """Replica-seconds between what was there before and what was asked for, until recovery or the end."""
        return self.lost_with(DEFAULTED, 0.0)

    def lost_with(self, floor: int, delay: float) -> float:
        """The same, had an autoscaler raised it to `floor` after `delay` seconds."""
        stop = (self.until or self.end).timestamp()
        begin, have, lost = self.time.timestamp(), DEFAULTED, 0.0
        raised = begin + delay
        steps = [(moment.timestamp(), replicas) for moment, replicas in self.later.select("time", "replicas").rows()]
        at = begin
        for moment, replicas in [*sorted([*steps, (raised, None)], key=lambda step: step[0]), (stop, None)]:
            until = min(moment, stop)
            there = max(have, floor) if at >= raised else have
            lost += max(0, self.before - there) * max(0.0, until - at)
            at, have = max(at, until), have if replicas is None else replicas
        return round(lost, 6)


def collapses(counts: pl.DataFrame, writes: pl.DataFrame, end: datetime | None, limits: Limits) -> Iterator[Collapse]:
    """Every collapse, in order of time. `counts` are rows of REPLICA_COUNTS, `writes` of WORKLOAD_WRITES.

    Until a Deployment has recovered, what follows belongs to the same collapse.
    """
    timed, told = counts.filter(pl.col("time").is_not_null()), pl.col("what") == "rescaled"
    pod = writes.filter(pl.col("kind") == "Pod")
    removed = pod.filter(pl.col("what") == "removed", "controller").partition_by("namespace", "workload", as_dict=True)
    made = pod.filter(pl.col("what") == "made").partition_by("namespace", as_dict=True)
    rescales = timed.filter(told).partition_by("namespace", as_dict=True)
    rows = timed.filter(~told).partition_by("namespace", "name", as_dict=True)
    until: dict[tuple[str, str], datetime] = {}
    for row in candidates(timed.filter(~told)).iter_rows(named=True):
        key = (row["namespace"], row["name"])
        around = Around(
            rows=rows[key],
            gone=removed.get(key, writes.clear()),
            born=made.get(key[:1], writes.clear()),
            rescales=rescales.get(key[:1], counts.clear()),
        )
        if key in until and row["time"] <= until[key]:
            continue
        if fall := fall_of(row, around, limits):
            found = _collapse(row, *fall, around, end or row["time"])
            until[key] = found.until or found.end
            yield found


def _collapse(fall: dict[str, Any], known: str, before: int, around: Around, end: datetime) -> Collapse:
    after = around.rows.filter(pl.col("time") > fall["time"], pl.col("replicas").is_not_null())
    later = after.filter(pl.col("what").is_in(["created", "written", "scaled"]))
    if known != STORED and not later.height:
        later = after.filter(pl.col("what") == "event", pl.col("replicas") > DEFAULTED)
    enough = later.filter(pl.col("replicas") >= before)["time"]
    return Collapse(
        namespace=fall["namespace"] or "",
        name=fall["name"],
        known=known,
        actor=fall["actor"] or "",
        agent=fall["agent"] or "",
        time=fall["time"],
        source=fall["source"],
        number=fall["number"],
        before=before,
        deleted=deleted_then(around.gone, fall["time"]),
        later=later,
        until=enough.min() if enough.len() else None,  # type: ignore[arg-type]  # untyped by polars
        end=max(end, fall["time"]),
    )
