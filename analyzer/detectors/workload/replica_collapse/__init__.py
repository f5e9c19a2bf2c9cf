"""A write without spec.replicas makes a Deployment of many replicas one of one.

## What it finds
Deployments that were changed (update, patch or apply) by other than an autoscaler, by a request that names no
`spec.replicas`, whereupon the server stored its default of 1, where there were three at least and half or more were
lost. What was there before is known from earlier bodies, from the Event `ScalingReplicaSet`, or from the pods that were
deleted within a minute. Where the stored object is not told (policy level below RequestResponse) the Event after such a
write tells of the fall; without Events the sequence write, pods deleted and none made, raised by an autoscaler hints at
it. With Events alone a fall to one counts that an autoscaler did not make and had to mend. Severity is critical where
ten replicas or more fell and were not back in five minutes, high where one of the two holds, else medium. Confidence is
high by the bodies, medium by an Event, low by the sequence.

## Why it matters
Removing the field looks harmless in review, since an autoscaler owns the number. But `kubectl apply` deletes a field
that it once wrote, and a missing field is 1: within seconds all pods but one are deleted, with the full load on it.

## What does not count
Whoever scales to 1 by the subresource scale, or names `replicas: 1`, wants it. An autoscaler that goes down to its
minimum of 1. A rollout, in which one ReplicaSet shrinks while another grows. A Deployment that is deleted, as when a
GitOps controller prunes. Remarks count the first two.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.workload.replica_collapse.around import end_of, must_be_observable, remarks
from analyzer.detectors.workload.replica_collapse.collapse import Collapse, collapses
from analyzer.detectors.workload.replica_collapse.evidence import confidence, evidence, impact, savings, severity
from analyzer.detectors.workload.replica_collapse.falls import Limits
from analyzer.detectors.workload.replica_collapse.remedy import GENERAL, remedies, verify
from analyzer.facts.audit_windows import counted, short
from analyzer.facts.contract import Frames
from analyzer.facts.replica_counts import REPLICA_COUNTS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.facts.workload_writes import WORKLOAD_WRITES
from analyzer.model import Finding

DEFAULT = "engineering default"


@thresholds
class Settings:
    replicas: int = setting(3, "Replicas that were there at least.", unit="replicas", minimum=2, source=DEFAULT)
    share: float = setting(0.5, "Share of the replicas that must be lost.", unit="fraction", minimum=0, source=DEFAULT)


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    counts = frames[REPLICA_COUNTS].collect()
    writes = frames[WORKLOAD_WRITES].filter(pl.col("kind") == "Pod").collect()
    limits = Limits(least=settings.replicas, share=settings.share)
    found = list(collapses(counts, writes, end_of(frames), limits))
    if not found:
        must_be_observable(counts, frames)
    for collapse in found:
        yield _finding(collapse)
    yield from remarks(counts, limits)


def _finding(collapse: Collapse) -> Finding:
    sure, reason = confidence(collapse)
    saving, other = savings(collapse)
    seconds = (collapse.until - collapse.time).total_seconds() if collapse.until else None
    again = (
        f"{seconds:,.0f} s passed until it had as many again" if seconds is not None else "it never had as many again"
    )
    who = f" after a write of {short(collapse.agent)} that names no replicas" if collapse.agent else ""
    return Finding(
        detector="replica-collapse",
        subject=short(collapse.label),
        summary=(
            f"{collapse.before:,} replicas of {short(collapse.label)} became 1{who}, "
            f"{counted(collapse.deleted.height, 'pod')} were deleted within a minute, and {again}."
        ),
        severity=severity(collapse),
        confidence=sure,
        confidence_reason=reason,
        start=collapse.time,
        end=collapse.until or collapse.end,
        impact=impact(collapse),
        evidence=evidence(collapse),
        saving=saving,
        alternatives=(other,),
        variant={"stored": "field missing", "event": "told by an Event", "sequence": "by what followed"}[
            collapse.known
        ],
        why="Where spec.replicas is missing the server writes its default, which is 1.",
        refuted_by="A request that names one replica, or an autoscaler that wanted it.",
        remedies=remedies(collapse),
        verify=verify(collapse),
        stories=(13,),
    )


DETECTOR = Detector(
    id="replica-collapse",
    title="A write without spec.replicas makes a Deployment of many replicas one of one",
    needs_any=((REPLICA_COUNTS,),),
    uses=(WORKLOAD_WRITES, AUDIT_REQUESTS, TOLD_EVENTS),
    settings=Settings(),
    detect=detect,
    remedies=GENERAL,
    stories=(13,),
)
