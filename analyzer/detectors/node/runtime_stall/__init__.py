"""The container runtime of a node stands still.

## What it finds
Nodes whose kubelet says that its PLEG was last active more than three minutes ago; or on which calls of the runtime
(stop a container, stop or run a sandbox) ran into their deadlines, or the kernel reports tasks that are blocked for
two minutes, by its log or by Events of node-problem-detector, whose health check of the runtime counts as much: two of
these, or one beside a weaker sign (processes or paths of a cgroup that cannot be removed, housekeeping of fifteen
seconds or more, a kill or a garbage collection that failed); or whose runtime is down for a minute. Variants: `frozen
cgroup` where the kernel's traces or an error name the freezer, `blocked I/O` where tasks hang or a disk fails, else
`runtime does not answer`. Severity is high from ten minutes without the PLEG on, or where the node became not ready;
medium with a line about the PLEG or where kubelet and kernel agree, else low. Confidence is high where kubelet and
kernel agree, medium with the PLEG, else low.

## Why it matters
A kubelet whose PLEG is late syncs no pods: none start, none end, probes go on against containers that are stuck, and
after a while the node is not ready and all its pods move. One frozen container or one full disk is enough.

## What does not count
The first five minutes of a kubelet, and `pleg has yet to be successful`. A runtime that is restarted: calls are
refused then (`Unavailable`), they do not run into deadlines. Housekeeping of a second or two, a cgroup's path that is
gone later. What a fix would have saved is not modelled: nothing in a log tells how long the runtime would have taken.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, NotObservable, Remark, setting, thresholds
from analyzer.detectors.node.runtime_stall.evidence import evidence, impact
from analyzer.detectors.node.runtime_stall.remedy import REMEDIES, remedies, verify
from analyzer.detectors.node.runtime_stall.signals import kernel_of_the_only_node, signals
from analyzer.detectors.node.runtime_stall.stall import Stall
from analyzer.detectors.node.runtime_stall.stalls import Limits, stalls
from analyzer.detectors.node.runtime_stall.words import confidence, reason, severity, summary, why
from analyzer.facts.audit_windows import counted, short
from analyzer.facts.container_names import CONTAINER_NAMES
from analyzer.facts.contract import Frames
from analyzer.facts.kubelet_starts import KUBELET_STARTS
from analyzer.facts.log_gaps import left_out
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, LOG_SUPPRESSIONS, RUNTIME_MESSAGES
from analyzer.model import Finding

DEFAULT = "engineering default"


@thresholds
class Settings:
    start_seconds: float = setting(
        300, "Time after a kubelet's start that does not count.", unit="seconds", minimum=0, source=DEFAULT
    )
    deadlines: int = setting(
        2, "Deadlines and hung tasks that are a stall without the PLEG.", unit="records", minimum=1, source=DEFAULT
    )
    down_seconds: float = setting(
        60, "Time for which a runtime is down that is no restart.", unit="seconds", minimum=1, source=DEFAULT
    )
    quiet_seconds: float = setting(
        1800, "Time without a sign after which another stall begins.", unit="seconds", minimum=60, source=DEFAULT
    )
    high_seconds: float = setting(
        600, "Time without the PLEG from which the severity is high.", unit="seconds", minimum=0, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    rows = kernel_of_the_only_node(signals(frames), frames)
    if not rows.height:
        _must_be_observable(frames)
        return
    limits = Limits(
        start=settings.start_seconds,
        deadlines=settings.deadlines,
        quiet=settings.quiet_seconds,
        down=settings.down_seconds,
    )
    found, early = stalls(rows, frames, limits)
    for stall in found:
        yield _finding(stall, settings)
    if found and (lost := left_out(frames, "kubelet", "kernel")):
        yield Remark(lost)
    if early:
        yield Remark(f"{counted(early, 'line')} about the PLEG came while a kubelet started: not counted.")


def _must_be_observable(frames: Frames) -> None:
    """Raise NotObservable where no kubelet, runtime or kernel could have told of a stall."""
    kubelets = KLOG_LINES in frames and (
        frames[KLOG_LINES].filter((pl.col("component") == "kubelet").fill_null(True)).head(1).collect().height > 0
    )
    if not kubelets and KERNEL_MESSAGES not in frames and RUNTIME_MESSAGES not in frames:
        raise NotObservable("no log of a kubelet, a container runtime or a kernel is here")


def _finding(stall: Stall, settings: Settings) -> Finding:
    return Finding(
        detector="runtime-stall",
        subject=short(stall.name),
        summary=summary(stall),
        severity=severity(stall, settings.high_seconds),
        confidence=confidence(stall),
        confidence_reason=reason(stall),
        start=stall.start,
        end=stall.end,
        impact=impact(stall),
        evidence=evidence(stall),
        variant=stall.variant,
        why=why(stall),
        refuted_by="A node that was suspended or whose clock jumped, so that seconds passed that nobody lived through.",
        remedies=remedies(stall),
        verify=verify(stall),
        stories=(17,),
    )


DETECTOR = Detector(
    id="runtime-stall",
    title="The container runtime of a node stands still",
    needs_any=((KLOG_LINES,), (KERNEL_MESSAGES,), (RUNTIME_MESSAGES,), (TOLD_EVENTS,)),
    uses=(KUBELET_STARTS, CONTAINER_NAMES, LOG_SUPPRESSIONS),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(17,),
)
