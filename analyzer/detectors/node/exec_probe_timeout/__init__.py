"""Exec probes run into their timeout and leave processes behind.

## What it finds
Containers whose exec probes time out: three times within ten of their periods, or ten times in an hour. Told by the
kubelet's error about the call, which is there at any verbosity, by its lines about probes (verbosity 1), by Events
`Unhealthy`, by the runtime. One finding for each workload and container name, the ten worst; each timeout counts once,
by the witness that tells of most. Severity is high from a thousand processes that may have been left, or where the
liveness probe is among them and the container was restarted for it; medium where pods were not ready for it, or from a
hundred timeouts on; else low. Confidence is high where two witnesses agree, else medium.

## Why it matters
The kubelet gives up the call, and the runtime kills the command; what the command has started lives on, and becomes a
zombie where process 1 of the container reaps no children. At one probe in ten seconds a node runs out of process ids
in days. Until Kubernetes 1.20 dockershim ignored the timeout: after an upgrade the same probe fails.

## What does not count
HTTP, TCP and gRPC probes. Commands that fail in time. Containers that are told to end. Many workloads of a node that
time out in the same minute, or timeouts within five minutes of a stall of the node (PLEG, hung tasks): that is the
node, and a remark says so. A log without lines of verbosity 1 says nothing about probes by its silence, and a remark
says so too. Zombies themselves are in no log: their number is bounded, not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.detector import Detector, Remark, setting
from analyzer.detectors.node.exec_probe_timeout.containers import (
    Limits,
    Probed,
    keyed,
    probed,
)
from analyzer.detectors.node.exec_probe_timeout.effects import Effects, effects_of, silent_nodes, watched
from analyzer.detectors.node.exec_probe_timeout.evidence import evidence, impact, left, processes
from analyzer.detectors.node.exec_probe_timeout.remedy import REMEDIES, saving, verify, why
from analyzer.detectors.node.exec_probe_timeout.spared import split_shared, without_ends
from analyzer.detectors.node.exec_probe_timeout.timeouts import timeouts
from analyzer.detectors.node.exec_probe_timeout.words import must_be_observable, of_the_nodes, severity, too_terse
from analyzer.facts.audit_windows import counted, listed, short
from analyzer.facts.container_kills import CONTAINER_KILLS
from analyzer.facts.container_names import CONTAINER_NAMES
from analyzer.facts.contract import Frames
from analyzer.facts.log_gaps import left_out
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, LOG_SUPPRESSIONS, RUNTIME_MESSAGES
from analyzer.model import Confidence, Finding

DEFAULT = "engineering default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    timeouts: int = setting(
        3, "Timeouts of a container within `periods` periods.", unit="timeouts", minimum=2, source=DEFAULT
    )
    periods: int = setting(10, "Periods in which they come.", unit="periods", minimum=1, source=DEFAULT)
    period_seconds: float = setting(
        60, "Longest period that is believed.", unit="seconds", minimum=1, source="periodSeconds is 10 by default"
    )
    hourly: int = setting(10, "Timeouts of a container in an hour.", unit="timeouts", minimum=2, source=DEFAULT)
    together: int = setting(
        5,
        "Workloads of a node in one minute that make it the node's.",
        unit="workloads",
        minimum=2,
        source=DEFAULT,
    )
    processes_per_probe: int = setting(
        2,
        "Processes that one timeout may leave.",
        unit="processes",
        minimum=1,
        source="a published incident: a shell and its child, 16,018 defunct processes",
    )
    high_processes: int = setting(
        1000, "Processes left from which the severity is high.", unit="processes", minimum=1, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    rows = keyed(without_ends(timeouts(frames), frames))
    single, shared = split_shared(rows, frames, settings.together)
    limits = Limits(
        timeouts=settings.timeouts,
        periods=settings.periods,
        period=settings.period_seconds,
        hourly=settings.hourly,
        together=settings.together,
    )
    quiet, seen = silent_nodes(frames), watched(frames)
    found, more = probed(single, limits)
    for one in found:
        yield _finding(one, effects_of(one, seen), settings, quiet)
    if more:
        yield Remark(f"{counted(more, 'more workload')} with dense timeouts, none with more: not listed.")
    if rows.height and (lost := left_out(frames, "kubelet")):
        yield Remark(lost)
    if shared.height:
        yield of_the_nodes(shared)
    if not rows.height:
        must_be_observable(frames)
        if quiet:
            yield too_terse(quiet)


def _finding(one: Probed, effects: Effects, settings: Settings, quiet: list[str]) -> Finding:
    most = left(one, settings.processes_per_probe)
    sure = len(one.channels) > 1
    silent = sorted({*one.rows["node"].to_list()} & {*quiet})
    reason = f"told by {', '.join(one.channels)}"
    if silent:
        reason += f"; the log of {listed(silent)} holds no line of verbosity 1, so there may be more than it tells"
    return Finding(
        detector="exec-probe-timeout",
        subject=short(one.subject),
        summary=(
            f"{counted(one.timeouts, 'exec probe')} of {short(one.subject)} ran into the timeout"
            f"{f' of {one.timeout:g} s' if one.timeout else ''}; up to {processes(most)} may have been left."
        ),
        severity=severity(one, effects, most, settings.high_processes),
        confidence=Confidence.HIGH if sure else Confidence.MEDIUM,
        confidence_reason=reason,
        start=one.rows["time"][0],
        end=one.rows["time"][-1],
        impact=impact(one, effects, most),
        evidence=evidence(one),
        saving=saving(most),
        why=why(one),
        refuted_by="A process list of the node (ps -ef) without defunct processes under the container's process 1.",
        remedies=REMEDIES,
        verify=verify(one),
        stories=(16,),
    )


DETECTOR = Detector(
    id="exec-probe-timeout",
    title="Exec probes run into their timeout and leave processes behind",
    needs_any=((KLOG_LINES,), (TOLD_EVENTS,), (RUNTIME_MESSAGES,)),
    uses=(CONTAINER_NAMES, CONTAINER_KILLS, KERNEL_MESSAGES, LOG_SUPPRESSIONS),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(16,),
)
