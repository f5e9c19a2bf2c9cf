"""Pods wait for a node that does not come.

## What it finds
Pods that the scheduler could not place (`FailedScheduling`, or its log), for ten minutes (the median of those that
waited for more than one), or fifty at once, or more with every run of a CronJob over five runs. One finding for each
workload and reason; what waits for resources waits for the same nodes and is one. Sub-causes: a volume on a node that
was deleted (one pod is enough, for it waits for ever), a CronJob whose runs pile up, a DaemonSet written in the half
hour before whose pods ask for what the nodes lack, pods preempted by a higher priority; else the reason itself (taint,
node selector, ports, volume ...), read in the words of every version since 1.6. A DaemonSet that asks for nothing, or
for no more than before, is left out. Severity is critical from 500 pods that still wait, or where pods of kube-system
do; high from 50, or where a volume's node is gone; medium where any still waits or 50 did at once; low where all were
placed. Confidence is high where two sources agree, or another record tells of the cause; low where a DaemonSet came
before and no body in the audit log tells what it asks for.

## Why it matters
A pod that waits fails nothing and restarts nothing: no alert rings. Each attempt costs the scheduler, so that a long
queue delays the pods that would fit.

## What does not count
A wait that a new node ended, or that is younger than the fifteen minutes that an autoscaler gives a node it ordered
(`TriggeredScaleUp`): a remark counts them. Pods of a gang scheduler or with scheduling gates, which wait on purpose.
Brief waits of a minute, as while a rollout frees what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.workload.unschedulable_backlog.around import end_of, must_be_observable, remarks
from analyzer.detectors.workload.unschedulable_backlog.backlog import ON_A_NODE, Backlog, Limits, grouped, passes
from analyzer.detectors.workload.unschedulable_backlog.causes import Cause, cause_of
from analyzer.detectors.workload.unschedulable_backlog.evidence import confidence, impact, severity
from analyzer.detectors.workload.unschedulable_backlog.remedy import GENERAL, remedies, verify
from analyzer.detectors.workload.unschedulable_backlog.requested import words
from analyzer.detectors.workload.unschedulable_backlog.saving import savings
from analyzer.detectors.workload.unschedulable_backlog.tables import evidence
from analyzer.detectors.workload.unschedulable_backlog.waits import waits
from analyzer.detectors.workload.unschedulable_backlog.wording import in_words, waited
from analyzer.facts.audit_windows import counted, listed, short
from analyzer.facts.changes import CHANGES
from analyzer.facts.contract import Frames
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.scheduling import SCHEDULING
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import AUDIT_FIELDS, KLOG_LINES
from analyzer.model import Finding

DEFAULT = "engineering default"

_STORIES = {"dead-node volume": (14,), "cron backlog": (15,)}


@thresholds
class Settings:
    pending_seconds: float = setting(
        600, "Median wait from which it is a backlog.", unit="seconds", minimum=1, source=DEFAULT
    )
    brief_seconds: float = setting(
        60, "Waits up to this are left out of the median.", unit="seconds", minimum=0, source=DEFAULT
    )
    pods: int = setting(50, "Pods waiting at once that are a backlog.", unit="pods", minimum=1, source=DEFAULT)
    periods: int = setting(
        5, "Runs of a CronJob over which its backlog must grow.", unit="runs", minimum=2, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    found = waits(frames[SCHEDULING], end_of(frames))
    if not found.height:
        must_be_observable(frames)
        return
    limits = Limits(
        seconds=settings.pending_seconds,
        brief=settings.brief_seconds,
        pods=settings.pods,
        periods=settings.periods,
    )
    groups, spared = grouped(found, limits)
    for backlog in groups:
        enough = passes(backlog, limits)
        if not enough and not (backlog.reason == ON_A_NODE and backlog.waiting):
            continue
        cause = cause_of(backlog, frames)
        if enough or cause.nodes.height:
            yield _finding(backlog, cause)
    yield from remarks(spared)


def _finding(backlog: Backlog, cause: Cause) -> Finding:
    sure, reason = confidence(backlog, cause)
    saved = savings(backlog, cause)
    return Finding(
        detector="unschedulable-backlog",
        subject=short(backlog.subject),
        summary=f"{waited(backlog)}: {in_words(cause.variant)}{_before(cause)}.",
        severity=severity(backlog, cause),
        confidence=sure,
        confidence_reason=reason,
        start=backlog.start,
        end=backlog.end,
        impact=impact(backlog, cause),
        evidence=evidence(backlog, cause),
        saving=saved[0] if saved else None,
        alternatives=saved[1:],
        variant=cause.variant,
        why="The scheduler found no node that takes the pods, and tries again and again.",
        refuted_by="A node that was ordered and came, or pods that were placed at once after all.",
        remedies=remedies(backlog, cause),
        verify=verify(backlog),
        stories=_STORIES.get(cause.variant, (11,)),
    )


def _before(cause: Cause) -> str:
    """What preceded, for the summary."""
    texts = []
    if cause.nodes.height:
        texts.append(f"deleted before: {listed(cause.nodes['name'].to_list())}")
    if cause.daemonsets.height:
        asks = f", which asks for {words(cause.added)} on every node" if cause.told else ""
        texts.append(f"written before: {listed(cause.daemonsets['name'].to_list())}{asks}")
    if cause.critical and not cause.preempted.height:
        texts.append(f"its priority {cause.critical[0].priority} preempts other pods")
    if cause.preempted.height:
        texts.append(f"{counted(cause.preempted.height, 'pod')} preempted")
    return f" ({'; '.join(texts)})" if texts else ""


DETECTOR = Detector(
    id="unschedulable-backlog",
    title="Pods wait for a node that does not come",
    needs_any=((SCHEDULING,),),
    uses=(TOLD_EVENTS, KLOG_LINES, AUDIT_REQUESTS, CHANGES, AUDIT_FIELDS),
    settings=Settings(),
    detect=detect,
    remedies=GENERAL,
    stories=(11, 14, 15),
)
