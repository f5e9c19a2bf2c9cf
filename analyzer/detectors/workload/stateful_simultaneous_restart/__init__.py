"""Replicas of a stateful workload restart at the same time.

## What it finds
Replicas of one StatefulSet, or of one workload whose pods an operator makes, that stop within a minute and are down
together: at least two, and half of all. The audit log shows a write of the workload's template, or of the custom
resource behind it, in the ten minutes before; without any audit log the replicas must have run on several nodes. At
least half of them come again, which makes it a restart. A stop is a deletion, a container that is told to stop or
died, or a replica that is no longer ready. Severity is critical where no replica was left for a minute, high where no
majority was, else medium. Confidence is high where the write is of the workload or its owner, medium where only the
names are alike, low without an audit log.

## Why it matters
Redis, Kafka or etcd survive the loss of one replica. When all of them restart, what was only in memory is gone, or the
one that comes back first becomes the leader with old data. Operators that change resources or versions do it in one
go more often than their users think.

## What does not count
A rolling update: the next replica stops when the one before is back, however fast that is. A workload of one replica.
Replicas that a drain evicts, that a node takes along or its start finds dead, or that are preempted. A workload that is
scaled down or deleted: its pods do not come again. Deployments and DaemonSets, whose replicas are alike. Static pods.
Remarks tell of replicas that stopped together without such a write.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from analyzer.detector import Detector, NotObservable, Remark, setting, thresholds
from analyzer.detectors.workload.stateful_simultaneous_restart.causes import (
    Cause,
    cause_of,
    counts,
    parents,
    scaled,
    writes,
)
from analyzer.detectors.workload.stateful_simultaneous_restart.evidence import (
    confidence,
    evidence,
    impact,
    savings,
    severity,
)
from analyzer.detectors.workload.stateful_simultaneous_restart.groups import Group, Limits, groups
from analyzer.detectors.workload.stateful_simultaneous_restart.nodes import unexplained, with_their_nodes
from analyzer.detectors.workload.stateful_simultaneous_restart.remedy import GENERAL, remedies, verify
from analyzer.facts.audit_windows import counted, short
from analyzer.facts.change_ledger import CHANGE_LEDGER
from analyzer.facts.contract import Frames
from analyzer.facts.kubelet_starts import KUBELET_STARTS
from analyzer.facts.pod_life import POD_LIFE
from analyzer.facts.pod_stops import POD_STOPS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import AUDIT_OBJECTS
from analyzer.model import Finding

DEFAULT = "engineering default"
STORIES = (32,)


@thresholds
class Settings:
    replicas: int = setting(2, "Replicas that are down together.", unit="replicas", minimum=2, source=DEFAULT)
    share: float = setting(0.5, "Share of all replicas that is.", unit="fraction", minimum=0, source=DEFAULT)
    window: float = setting(
        60, "Longest time from the first to the last stop.", unit="seconds", minimum=1, source=DEFAULT
    )
    lookback: float = setting(
        600, "Longest time from the write to the first stop.", unit="seconds", minimum=1, source=DEFAULT
    )
    long_seconds: float = setting(
        60, "Time without any replica from which it is critical.", unit="seconds", minimum=0, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    stops = frames[POD_STOPS].collect()
    if not stops.height and not frames[POD_LIFE].head(1).collect().height:
        raise NotObservable("no input tells anything of the life of a pod: restarts would not be seen")
    limits = Limits(replicas=settings.replicas, share=settings.share, seconds=settings.window)
    written, above = writes(frames), parents(frames)
    lookback = timedelta(seconds=settings.lookback)
    for group in groups(stops, counts(frames), limits):
        again = group.stops.height - group.stops["again"].null_count()
        if 2 * again < group.stops.height or group.moved:
            why = "were evicted or moved for their node's sake" if group.moved else "did not come again"
            yield Remark(
                f"{counted(group.stops.height, 'replica')} of {short(group.label)} stopped together and {why}."
            )
            continue
        cause = cause_of(group, written, above, lookback)
        if cause is None and (AUDIT_REQUESTS in frames or group.nodes < 2 or with_their_nodes(group, frames)):
            changed = scaled(group, written, lookback)
            by = "after its number of replicas was changed" if changed else unexplained(group, frames)
            yield Remark(f"{counted(group.stops.height, 'replica')} of {short(group.label)} stopped together {by}.")
            continue
        yield _finding(group, cause, settings)


def _finding(group: Group, cause: Cause | None, settings: Settings) -> Finding:
    sure, reason = confidence(group, cause)
    saving, others = savings(group)
    after = ""
    if cause is not None:
        seconds = max(0.0, (group.start - cause.time).total_seconds())
        after = f", {seconds:,.0f} s after a write of {cause.resource} {short(cause.name)} by {short(cause.agent)}"
    left = group.none_left
    return Finding(
        detector="stateful-simultaneous-restart",
        subject=short(group.label),
        summary=(
            f"{group.stops.height:,} of {counted(group.replicas, 'replica')} of {short(group.label)} were down "
            f"together, stopped within {group.spread:.1f} s{after}"
            + (f"; for {left:,.0f} s none was left." if left else ".")
        ),
        severity=severity(group, settings.long_seconds),
        confidence=sure,
        confidence_reason=reason,
        start=group.start,
        end=max([group.end, *group.stops["back"].drop_nulls()]),
        impact=impact(group, cause),
        evidence=evidence(group, cause),
        saving=saving,
        alternatives=others,
        variant=cause.what if cause else "no audit log",
        why="What rolled the change out did not wait for one replica to be back before it stopped the next.",
        refuted_by="Replicas that served while they were told to stop, or a restart that somebody wanted as it was.",
        remedies=remedies(group, cause),
        verify=verify(group, cause),
        stories=STORIES,
    )


DETECTOR = Detector(
    id="stateful-simultaneous-restart",
    title="Replicas of a stateful workload restart at the same time",
    needs_any=((POD_STOPS, POD_LIFE),),
    uses=(CHANGE_LEDGER, AUDIT_REQUESTS, AUDIT_OBJECTS, KUBELET_STARTS),
    settings=Settings(),
    detect=detect,
    remedies=GENERAL,
    stories=STORIES,
)
