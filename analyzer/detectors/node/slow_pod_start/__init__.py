"""Pods start slowly on a node.

## What it finds
Nodes whose kubelet needs long from being given a pod until its containers run: one pod in twenty above thirty seconds,
or a median three times that of the other nodes and above five seconds, the objective of Kubernetes. Read from the
kubelet's own account (`Observed pod startup duration`, in the forms of 1.26 to 1.36), where there is none, from
`SyncLoop ADD` to the PLEG's first `ContainerStarted`, and of pods without either from the Events `Scheduled` and
`Started`. Each start is taken apart: queue, sync, attach, volume, sandbox, pull, init, start, status; judged is what
the node itself takes: sync, local volumes, sandbox and start. The other nodes are those whose starts of the same hours
are told in the same way. Severity is high from two minutes on for one pod in twenty, medium from thirty seconds on,
else low. Confidence is high where the kernel or the kubelet tell of a
blocked disk or runtime too, medium where other nodes are known, low where none is, or where of the pods only the
creation is known.

## Why it matters
Deploys, scale-ups and evictions all wait for it, and nothing fails. A disk whose burst credits are used up is the
usual cause, and it gets worse with every pod that is moved there.

## What does not count
Big images and slow registries (pull), init containers, volumes that the storage attaches late, or that a kubelet waited
for in vain, pods that waited for the scheduler, and statuses that are told late (kubelet-status-lag). Pods of the first
minute of a kubelet, which finds what runs already, or waits for its network. Clocks that differ: of the time from the
binding only what exceeds the node's least counts.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, NotObservable, Remark, setting, thresholds
from analyzer.detectors.node.slow_pod_start.evidence import NAMES, evidence, impact
from analyzer.detectors.node.slow_pod_start.hints import Hints, hints
from analyzer.detectors.node.slow_pod_start.measure import Limits, Starts, by_node, judged
from analyzer.detectors.node.slow_pod_start.remedy import REMEDIES, saving, verify
from analyzer.facts.audit_windows import counted, short
from analyzer.facts.contract import Frames
from analyzer.facts.pod_starts import POD_STARTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES
from analyzer.model import Confidence, Finding, Severity

DEFAULT = "engineering default"


@thresholds
class Settings:
    p95_seconds: float = setting(30, "95th percentile of a node's starts.", unit="seconds", minimum=0, source=DEFAULT)
    times: float = setting(3, "How many times the median elsewhere a node's median must be.", minimum=1, source=DEFAULT)
    slo_seconds: float = setting(
        5,
        "Start that is good enough; a median up to it is never too long.",
        unit="seconds",
        minimum=0,
        source="sig-scalability, pod startup latency SLO",
    )
    min_pods: int = setting(3, "Pods from which a node, and the others, count.", unit="pods", minimum=1, source=DEFAULT)
    high_seconds: float = setting(
        120, "95th percentile from which the severity is high.", unit="seconds", minimum=0, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    starts, spared = judged(frames[POD_STARTS])
    if not starts.height and not spared.height:
        _must_be_observable(frames)
        return
    limits = Limits(p95=settings.p95_seconds, times=settings.times, least=settings.slo_seconds, pods=settings.min_pods)
    found, more = by_node(starts, limits)
    for node in sorted(found, key=lambda one: one.node):
        yield _finding(node, hints(node, frames), settings)
    if more:
        yield Remark(f"{counted(more, 'more node')}, none of them slower, started pods slowly as well: not listed.")
    if waited := spared.filter("stuck").height:
        yield Remark(f"{counted(waited, 'pod')} waited for a volume that was not attached or mounted: not counted.")


def _must_be_observable(frames: Frames) -> None:
    """Raise NotObservable where a kubelet's log is there and too terse to tell of starts."""
    lines = frames.get(KLOG_LINES)
    if lines is None:
        return
    kubelet = lines.filter(pl.col("component") == "kubelet")
    if not kubelet.head(1).collect().height:
        return
    if not kubelet.filter(pl.col("message").str.starts_with("SyncLoop")).head(1).collect().height:
        raise NotObservable(
            "the kubelets' logs hold no account of starts (since Kubernetes 1.26) and no SyncLoop lines (-v=2)"
        )


def _finding(starts: Starts, seen: Hints, settings: Settings) -> Finding:
    part, node = starts.slowest_part, short(starts.node)
    usual = "" if starts.elsewhere is None else f", against {starts.elsewhere:.1f} s elsewhere"
    others = "no other node is known" if starts.fleet is None else f"{starts.fleet.height:,} starts on other nodes"
    return Finding(
        detector="slow-pod-start",
        subject=node,
        summary=(
            f"{counted(starts.pods, 'pod')} took {starts.median:.1f} s to start on {node} (median{usual}), "
            f"95th percentile {starts.p95:.1f} s, most of it {NAMES[part].split(':')[0]}."
        ),
        severity=_severity(starts, settings),
        confidence=_confidence(starts, seen),
        confidence_reason=f"{_told_by(starts)}; {others}; {seen.sentence}",
        start=starts.start,
        end=starts.end,
        impact=impact(starts, seen),
        evidence=evidence(starts, seen),
        saving=saving(starts, settings.slo_seconds),
        variant=part,
        why="The node is slow at what it does itself for each pod; a disk without credits and a runtime that is stuck "
        "are the usual causes.",
        refuted_by="Pods that do more there than elsewhere: hooks after their start, sidecars that start one by one.",
        remedies=REMEDIES,
        verify=verify(starts),
        stories=(18,),
    )


def _confidence(starts: Starts, seen: Hints) -> Confidence:
    if seen.seen:
        return Confidence.HIGH
    return Confidence.LOW if starts.fleet is None or starts.queued else Confidence.MEDIUM


def _told_by(starts: Starts) -> str:
    texts = {"observed": "the kubelet's own account", "pleg": "SyncLoop ADD to the PLEG's first container"}
    texts["event"] = "Events, from Scheduled to Started"
    told = " and ".join(text for basis, text in texts.items() if basis in starts.rows["basis"])
    return f"{told}, which begins with the creation, so the scheduler's queue is in it" if starts.queued else told


def _severity(starts: Starts, settings: Settings) -> Severity:
    if starts.p95 > settings.high_seconds:
        return Severity.HIGH
    return Severity.MEDIUM if starts.p95 > settings.p95_seconds else Severity.LOW


DETECTOR = Detector(
    id="slow-pod-start",
    title="Pods start slowly on a node",
    needs_any=((POD_STARTS,),),
    uses=(KLOG_LINES, KERNEL_MESSAGES),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(18,),
)
