"""What is said beside the findings, and whether a collapse could have been seen at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl

from analyzer.detector import NotObservable, Remark
from analyzer.detectors.workload.replica_collapse.falls import DEFAULTED, Limits, known
from analyzer.facts.audit_windows import counted
from analyzer.facts.contract import Frames
from analyzer.facts.observable_requests import without
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.facts.workload_writes import CONTROLLERS

WRITES = ("create", "update", "patch")


def end_of(frames: Frames) -> datetime | None:
    """The last moment that the evidence tells of."""
    sources = [frames[table] for table in (AUDIT_REQUESTS, TOLD_EVENTS) if table in frames]
    times = [frame.select(pl.col("time").max()).collect().item() for frame in sources]
    return max((time for time in times if time is not None), default=None)


def must_be_observable(counts: pl.DataFrame, frames: Frames) -> None:
    """Raise NotObservable where the evidence cannot hold a collapse: no Events, and writes without results, or none."""
    if TOLD_EVENTS in frames and frames[TOLD_EVENTS].filter(pl.col("channel") == "event").head(1).collect().height:
        return
    if AUDIT_REQUESTS in frames:
        person = ~pl.col("autoscaler") & ~pl.col("actor").str.contains(CONTROLLERS).fill_null(False)
        bare = counts.filter(pl.col("what") == "written", person, pl.col("replicas").is_null()).height
        if bare:
            raise NotObservable(
                f"{counted(bare, 'write')} of Deployments without the object that was stored (policy level Metadata or "
                "Request), and no Events: what became of the replicas is not told"
            )
        asked = frames[AUDIT_REQUESTS].filter(pl.col("resource") == "deployments")
        answered = not asked.filter(pl.col("verb").is_in(WRITES), pl.col("code").is_null()).head(1).collect().height
        if asked.head(1).collect().height and answered:
            if reason := without(asked, "time"):
                raise NotObservable(f"{reason}, and no Events are here")
            return
        if not answered:
            raise NotObservable("writes of Deployments have no code of an answer, and no Events are here")
        told = "no request for a Deployment stands in the audit log, and no Events are here"
    else:
        told = "neither an audit log nor Events are here"
    raise NotObservable(told)


def remarks(counts: pl.DataFrame, limits: Limits) -> Iterator[Remark]:
    """Falls to one that somebody wanted."""
    one = known(counts).filter(pl.col("replicas") == DEFAULTED, pl.col("known") >= limits.least)
    named = (pl.col("what") == "scaled") | ((pl.col("what") == "written") & (pl.col("asked") == DEFAULTED))
    asked, scaled = one.filter(named, ~pl.col("autoscaler")).height, one.filter(named, "autoscaler").height
    if asked:
        yield Remark(f"{counted(asked, 'write')} asked for one replica by name: that was wanted.")
    if scaled:
        yield Remark(f"{counted(scaled, 'write')} of autoscalers went down to one replica: that is their minimum.")
