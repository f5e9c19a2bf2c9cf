"""What is said beside the findings, and whether a wait could have been seen at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl

from analyzer.detector import NotObservable, Remark
from analyzer.detectors.workload.unschedulable_backlog.backlog import GANG
from analyzer.facts.audit_windows import counted
from analyzer.facts.contract import Frames
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.scheduling import SCHEDULER
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KLOG_LINES

COMPONENT = "kube-scheduler"


def end_of(frames: Frames) -> datetime | None:
    """The last moment that the evidence tells of."""
    sources = [frames[table] for table in (AUDIT_REQUESTS, TOLD_EVENTS, KLOG_LINES) if table in frames]
    times = [frame.select(pl.col("time").max()).collect().item() for frame in sources]
    return max((time for time in times if time is not None), default=None)


def must_be_observable(frames: Frames) -> None:
    """Raise NotObservable where neither Events nor the scheduler's log could have told of a failed attempt."""
    sources = []
    if TOLD_EVENTS in frames:
        sources.append(frames[TOLD_EVENTS].filter(pl.col("channel") == "event"))
    if KLOG_LINES in frames:
        sources.append(frames[KLOG_LINES].filter(pl.col("component") == COMPONENT))
    if any(source.head(1).collect().height for source in sources):
        return
    told = "neither Events nor the log of kube-scheduler are here"
    if AUDIT_REQUESTS in frames:
        asked = frames[AUDIT_REQUESTS].filter(pl.col("resource") == "events", pl.col("user") == SCHEDULER)
        count = asked.select(pl.len()).collect().item()
        if count:
            told += (
                f"; the audit log shows {count:,} Events of the scheduler without their text (policy level Metadata)"
            )
        else:
            told += ", and the audit log holds no Events (policy level None, as is usual)"
    raise NotObservable(told)


def remarks(spared: pl.DataFrame) -> Iterator[Remark]:
    """Waits that are no backlog."""
    ordered = spared.filter("ordered").height
    gang = spared.filter(~pl.col("ordered"), pl.col("class") == GANG).height
    if ordered:
        yield Remark(f"{counted(ordered, 'pod')} waited for a node that the autoscaler had ordered: not counted.")
    if gang:
        yield Remark(f"{counted(gang, 'pod')} waited for a gang scheduler or behind scheduling gates: not counted.")
