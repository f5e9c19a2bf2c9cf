"""Containers are killed by SIGKILL while they end.

## What it finds
Containers that were told to end and got SIGKILL (exit code 137). Three variants, the first two for each node:
`kubelet restart`: the kubelet started anew inside the grace period, and the container died before its grace was over;
`certificate restarts`: the kubelet started anew twice or more because its client certificate ran out, and no victim is
seen yet; `grace exceeded`, for each workload: the program did not end within its grace period (the exit after it, the
runtime's own line that it kills, or the Event `ExceededGracePeriod`). Severity is high from ten pods or an hour of lost
grace on, medium for fewer victims of a restart, low for programs that do not end in time (medium from ten on) and for
restarts without a victim. Confidence is high with the exit code or the runtime's line, medium where only the time of
the end tells.

## Why it matters
Grace is there to finish requests, flush and hand over. Hours of it, as for batch work or games, are lost at once when a
kubelet that is restarted for a setting, an upgrade or a certificate gives up the call in which the runtime waits.

## What does not count
Kills after a liveness or startup probe failed; the kernel's OOM kills; a node that shuts down or boots; programs that
end by themselves after the restart, as with a kubelet that takes up the grace again; deletions with a grace of a second
or less, which somebody forced. Remarks count exits by 137 that nobody asked for, and what is beyond the ten worst.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.detector import Detector, NotObservable, Remark, setting, thresholds
from analyzer.detectors.node.termination_sigkill.evidence import evidence, impact
from analyzer.detectors.node.termination_sigkill.groups import CERTIFICATE, Group, groups
from analyzer.detectors.node.termination_sigkill.kills import EXCEEDED, RESTART, Limits, judged
from analyzer.detectors.node.termination_sigkill.remedy import REMEDIES, remedies, saving, verify
from analyzer.detectors.node.termination_sigkill.spared import unasked
from analyzer.detectors.node.termination_sigkill.words import reason, severity, summary
from analyzer.facts.audit_windows import counted, short
from analyzer.facts.container_ends import CONTAINER_ENDS
from analyzer.facts.container_kills import CONTAINER_KILLS
from analyzer.facts.container_names import CONTAINER_NAMES
from analyzer.facts.contract import Frames
from analyzer.facts.kubelet_starts import KUBELET_STARTS
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES
from analyzer.model import Confidence, Finding

DEFAULT = "engineering default"
MOST = 10
"""Nodes and workloads that have a finding each, for each variant."""


@thresholds
class Settings:
    tolerance_seconds: float = setting(
        1,
        "An end so much before the grace is over counts as its end.",
        unit="seconds",
        minimum=0,
        source="the PLEG looks once a second (kubelet, genericPlegRelistPeriod)",
    )
    settle_seconds: float = setting(
        60, "An end without an exit code counts so long after the restart.", unit="seconds", minimum=0, source=DEFAULT
    )
    unknown_grace_seconds: float = setting(
        60,
        "Grace from which an end at the restart counts without an exit code: with less, many end by themselves.",
        unit="seconds",
        minimum=0,
        source=DEFAULT,
    )
    exceeded: int = setting(
        1, "Containers of a workload that exceed their grace.", unit="containers", minimum=1, source=DEFAULT
    )
    restarts: int = setting(
        2, "Restarts of a kubelet for its certificate, without a victim.", unit="restarts", minimum=1, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    limits = Limits(
        tolerance=settings.tolerance_seconds,
        settle=settings.settle_seconds,
        unknown_grace=settings.unknown_grace_seconds,
    )
    kills = judged(frames, limits)
    found = list(groups(kills, frames, settings.exceeded, settings.restarts))
    if not found and KLOG_LINES not in frames and not frames[CONTAINER_KILLS].head(1).collect().height:
        raise NotObservable("neither a log of a kubelet nor of a runtime is here, and no Event tells of an end")
    yield from _worst(found)
    oom, other = unasked(frames)
    if other:
        yield Remark(
            f"{counted(other, 'container')} exited with 137 though nothing tells that they were asked to end"
            + (f", and {counted(oom, 'container')} by an OOM kill" if oom else "")
            + ": not counted."
        )


def _worst(found: list[Group]) -> Iterator[Finding | Remark]:
    """Of each variant those with the most pods and lost grace, in their order, and how many more there are: in a
    cluster of builds each pod is a workload of its own."""
    for variant, what in ((RESTART, "node"), (CERTIFICATE, "node"), (EXCEEDED, "workload")):
        own = [group for group in found if group.variant == variant]
        worst = sorted(range(len(own)), key=lambda at: (-own[at].pods, -own[at].lost, at))
        yield from (_finding(own[at]) for at in sorted(worst[:MOST]))
        if more := worst[MOST:]:
            yield Remark(
                f"{counted(len(more), f'more {what}')} ({variant}, {counted(sum(own[at].pods for at in more), 'pod')}) "
                f"{'is' if len(more) == 1 else 'are'} like these: not listed."
            )


def _finding(group: Group) -> Finding:
    return Finding(
        detector="termination-sigkill",
        subject=short(group.subject),
        summary=summary(group),
        severity=severity(group),
        confidence=Confidence.HIGH if group.sure else Confidence.MEDIUM,
        confidence_reason=reason(group),
        start=group.start,
        end=group.end,
        impact=impact(group),
        evidence=evidence(group),
        saving=saving(group),
        variant=group.variant,
        why=group.why,
        refuted_by=group.refuted_by,
        remedies=remedies(group),
        verify=verify(group),
        stories=group.stories,
    )


DETECTOR = Detector(
    id="termination-sigkill",
    title="Containers are killed by SIGKILL while they end",
    needs_any=((CONTAINER_KILLS,),),
    uses=(KUBELET_STARTS, CONTAINER_ENDS, CONTAINER_NAMES, TOLD_EVENTS, KLOG_LINES, KERNEL_MESSAGES),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(23, 24),
)
