"""A container runs out of its CPU quota, and its threads stand still until the next period.

## What it finds
By the kernel's counters (cpu.stat of cgroups, or a scrape of the kubelet's cAdvisor): a container that was throttled
in 5 % of its periods or more, ten times at least. Snapshots are compared with each other, so that what was before does
not count; of a single one the whole life of the container is told. By a capture alone it is never more than a hint: a
server whose answers, as far as they took half a period or longer, leave in one phase of the 100 ms period, while its
quick answers do not. Severity is medium where a quarter of the periods was throttled, else low; a hint from packets is
always low, and so is its confidence.

## Why it matters
The average use of CPU looks harmless. A request that meets an empty quota waits for up to 80 or 90 ms, each time, so
the 99th percentile grows by whole periods, and probes with a timeout of a second fail.

## What does not count
A program that waits 100 ms by a timer: its answers leave at any phase. One that collects answers and sends them each
100 ms: its quick answers keep the beat too. Delayed acknowledgements (40 ms): they keep no beat either. Pods' sums
where their containers are told, sandboxes, and containers without a quota, which have no periods.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.detector import Detector, NotObservable, Remark, setting, thresholds
from analyzer.detectors.node.cpu_throttle_hint import evidence as told
from analyzer.detectors.node.cpu_throttle_hint import remedy
from analyzer.detectors.node.cpu_throttle_hint.counters import Throttled, throttled
from analyzer.detectors.node.cpu_throttle_hint.stalls import Limits, Stalls, stalls
from analyzer.facts.audit_windows import counted, short
from analyzer.facts.contract import Frames
from analyzer.facts.cpu_throttling import CPU_THROTTLING
from analyzer.facts.http_requests import HTTP_REQUESTS
from analyzer.facts.pod_moments import POD_MOMENTS
from analyzer.frames import KLOG_LINES
from analyzer.model import Confidence, Finding, Severity

DEFAULT = "engineering default"
PERIOD = "cpuCFSQuotaPeriod of the kubelet, 100ms"


@thresholds
class Settings:
    share: float = setting(0.05, "Share of throttled periods.", unit="fraction", minimum=0, source=DEFAULT)
    throttled_periods: int = setting(
        10, "Least number of throttled periods.", unit="periods", minimum=1, source=DEFAULT
    )
    medium_share: float = setting(
        0.25, "Share from which the severity is medium.", unit="fraction", minimum=0, source=DEFAULT
    )
    period_seconds: float = setting(0.1, "Period of the quota.", unit="seconds", minimum=0.001, source=PERIOD)
    stalls: int = setting(30, "Held-up answers within ten minutes.", unit="answers", minimum=5, source=DEFAULT)
    beat: float = setting(
        0.6, "Mean resultant length of the phases of held-up answers.", unit="fraction", minimum=0, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    if not any(frames[one].head(1).collect().height for one in (CPU_THROTTLING, HTTP_REQUESTS) if one in frames):
        raise NotObservable("there are neither counters of containers with a quota nor plaintext HTTP requests")
    found, more = throttled(frames, settings.share, settings.throttled_periods)
    for one in found:
        yield _counted(one, settings)
    if more:
        yield Remark(f"{counted(more, 'more container')} were throttled above the threshold.")
    limits = Limits(period=settings.period_seconds, stalls=settings.stalls, beat=settings.beat)
    for server in stalls(frames, limits):
        yield _seen(server, settings)


def _counted(found: Throttled, settings: Settings) -> Finding:
    since = " since its start" if found.since_start else ""
    held = "" if found.seconds is None else f", {found.seconds:,.1f} s in all"
    how = "the kernel counts periods and those in which the quota was used up"
    if found.since_start:
        how += "; one snapshot only, so nobody can say when"
    if found.probes.height:
        how += f"; {counted(found.probes.height, 'probe')} of the pod took too long meanwhile"
    return Finding(
        detector="cpu-throttle-hint",
        subject=short(found.name),
        summary=(
            f"{found.throttled:,} of {found.periods:,} periods of {short(found.name)} were throttled{since} "
            f"({found.share:.0%}){held}."
        ),
        severity=Severity.MEDIUM if found.share >= settings.medium_share else Severity.LOW,
        confidence=Confidence.MEDIUM if found.since_start else Confidence.HIGH,
        confidence_reason=how,
        start=found.start,
        end=found.end,
        impact=told.figures_of_counters(found),
        evidence=told.evidence_of_counters(found),
        saving=remedy.saving_of_counters(found),
        variant="by the kernel's counters",
        why="The container's threads use up the CPU quota of a period before its end, and wait for the next.",
        refuted_by="Work that nobody waits for, such as a batch whose end does not matter.",
        remedies=remedy.REMEDIES,
        verify=remedy.verify_counters(found),
        stories=(29, 30),
    )


def _seen(found: Stalls, settings: Settings) -> Finding:
    period = f"{settings.period_seconds * 1000:g} ms"
    return Finding(
        detector="cpu-throttle-hint",
        subject=found.server,
        summary=(
            f"{found.rows.height:,} of {found.answers:,} answers of {found.server} port {found.port} were held up and "
            f"left at one beat of {period}: consistent with a CPU quota that was used up."
        ),
        severity=Severity.LOW,
        confidence=Confidence.LOW,
        confidence_reason="packets alone: only the counters of the container's cgroup can tell for certain",
        start=found.start,
        end=found.end,
        impact=told.figures_of_stalls(found),
        evidence=told.evidence_of_stalls(found, settings.period_seconds),
        saving=remedy.saving_of_stalls(found),
        variant="stalls in a capture",
        why=f"Answers that were held up leave when a timer of {period} fires, and quick ones at any time.",
        refuted_by="nr_throttled of the container that stands still, or a program with a timer of this period.",
        remedies=remedy.REMEDIES,
        verify=remedy.verify_stalls(found),
        stories=(29, 30),
    )


DETECTOR = Detector(
    id="cpu-throttle-hint",
    title="A container runs out of its CPU quota, and its threads stand still until the next period",
    needs_any=((CPU_THROTTLING,), (HTTP_REQUESTS,)),
    uses=(POD_MOMENTS, KLOG_LINES),
    settings=Settings(),
    detect=detect,
    remedies=remedy.REMEDIES,
    stories=(29, 30),
)
