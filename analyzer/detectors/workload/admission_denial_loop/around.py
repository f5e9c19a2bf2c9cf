"""What is said beside the findings: who else was denied, what passed, and whether anything could have been seen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl

from analyzer.detector import NotObservable, Remark
from analyzer.facts.audit_windows import counted, short
from analyzer.facts.contract import Frames
from analyzer.facts.observable_requests import without
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.facts.workload_writes import WORKLOAD_WRITES
from analyzer.frames import AUDIT_ANNOTATIONS, KLOG_LINES

MANAGER = "kube-controller-manager"


def of_people(writes: pl.LazyFrame) -> list[tuple[str, str, int]]:
    """Check, policy and number of denials that no controller received."""
    denied = writes.filter((pl.col("what") == "denied") & ~pl.col("controller"))
    counted = denied.group_by("check", pl.col("policy").fill_null("")).agg(pl.col("count").sum())
    return counted.sort("check", "policy").collect().rows()


def end_of(frames: Frames) -> datetime | None:
    """The last moment that the sources of denials tell of."""
    sources = [frames[table] for table in (AUDIT_REQUESTS, TOLD_EVENTS, KLOG_LINES) if table in frames]
    times = [frame.select(pl.col("time").max()).collect().item() for frame in sources]
    return max((time for time in times if time is not None), default=None)


def must_be_observable(frames: Frames) -> None:
    """Raise NotObservable where nothing could have told of a denial."""
    asked = frames[WORKLOAD_WRITES].filter(pl.col("what").is_in(["made", "denied", "failed"]))
    sources = [asked]
    if TOLD_EVENTS in frames:
        sources.append(frames[TOLD_EVENTS].filter(pl.col("channel") == "event"))
    if KLOG_LINES in frames:
        sources.append(frames[KLOG_LINES].filter(pl.col("component") == MANAGER))
    others = any(source.head(1).collect().height for source in sources[1:])
    if not others and (reason := _unexplained(frames, asked)):
        raise NotObservable(f"{reason}, and neither Events nor the log of {MANAGER} are here")
    if not any(source.head(1).collect().height for source in sources):
        raise NotObservable(
            "no creation of a pod stands in the audit log (policy level None for pods, or nothing but reads), and "
            f"neither Events nor the log of {MANAGER} are here"
        )


def _unexplained(frames: Frames, asked: pl.LazyFrame) -> str:
    """Why the audit log alone cannot tell whom an admission check denied; '' if it can."""
    if AUDIT_REQUESTS in frames and (reason := without(frames[AUDIT_REQUESTS], "user")):
        return f"{reason}, so controllers and people cannot be told apart"
    failed = asked.filter(pl.col("what") == "failed", pl.col("controller"))
    count, told = failed.select(pl.len(), pl.col("message").count().alias("told")).collect().row(0)
    return (
        f"{counted(count, 'creation')} of pods failed, and no answer in the audit log says why"
        if count > told == 0
        else ""
    )


def remarks(people: list[tuple[str, str, int]], frames: Frames) -> Iterator[Remark]:
    """Denials that show a rule at work, and webhooks that fail open."""
    for check, policy, count in people:
        yield Remark(
            f"{count:,} requests of people or pipelines were denied by {check} {short(policy)}: there the rule works."
        )
    if AUDIT_ANNOTATIONS in frames:
        passed = frames[AUDIT_ANNOTATIONS].filter(pl.col("annotation").str.starts_with("failed-open."))
        for webhook, count in (
            passed.group_by("value").agg(pl.col("audit_id").n_unique()).sort("value").collect().rows()
        ):
            yield Remark(f"{count:,} requests passed although {short(webhook)} could not be called: it fails open.")
