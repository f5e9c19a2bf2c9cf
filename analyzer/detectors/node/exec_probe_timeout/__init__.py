"""Exec probes run into their timeout and leave processes behind.

## What it finds
Containers whose exec probes time out: three times within ten of their periods, or ten times in an hour. Told by the
kubelet's error about the call, which is there at any verbosity, by its lines about probes (verbosity 1), by Events
`Unhealthy`, by the runtime. One finding for each workload and container name, the ten worst; each timeout counts once,
by the witness that tells of most. Severity is high from a thousand processes that are or may be left, or where the
liveness probe is among them and the container was restarted for it; medium where pods were not ready for it, or from a
hundred timeouts on; else low. Confidence is high where two witnesses agree or a listing shows the processes, else
medium.

## Why it matters
The kubelet gives up the call, and the runtime kills the command; what the command has started lives on, and becomes a
zombie where process 1 of the container reaps no children. At one probe in ten seconds a node runs out of process ids
in days. Until Kubernetes 1.20 dockershim ignored the timeout: after an upgrade the same probe fails.

## What does not count
HTTP, TCP and gRPC probes. Commands that fail in time. Containers that are told to end. Many workloads of a node that
time out in the same minute, or timeouts within five minutes of a stall of the node (PLEG, hung tasks): that is the
node, and a remark says so. A log without lines of verbosity 1 says nothing about probes by its silence, and a remark
says so too. Zombies are in no log: their number is bounded, and counted where a process listing (ps) of the node is
here that is not older than the first timeout; by cgroups where it has them, else by the names of the probe's command.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.detector import Detector, Remark
from analyzer.detectors.node.exec_probe_timeout.containers import (
    Limits,
    Probed,
    keyed,
    probed,
)
from analyzer.detectors.node.exec_probe_timeout.effects import Effects, effects_of, silent_nodes, watched
from analyzer.detectors.node.exec_probe_timeout.evidence import evidence, impact, left
from analyzer.detectors.node.exec_probe_timeout.listings import listings
from analyzer.detectors.node.exec_probe_timeout.measured import Counted, measured
from analyzer.detectors.node.exec_probe_timeout.remedy import REMEDIES, refuted_by, saving, verify, why
from analyzer.detectors.node.exec_probe_timeout.spared import split_shared, without_ends
from analyzer.detectors.node.exec_probe_timeout.thresholds import Settings
from analyzer.detectors.node.exec_probe_timeout.timeouts import timeouts
from analyzer.detectors.node.exec_probe_timeout.words import (
    how_sure,
    must_be_observable,
    of_the_nodes,
    severity,
    too_terse,
    unexplained,
    what_is_left,
)
from analyzer.facts.audit_windows import counted, short
from analyzer.facts.container_kills import CONTAINER_KILLS
from analyzer.facts.container_names import CONTAINER_NAMES
from analyzer.facts.contract import Frames
from analyzer.facts.log_gaps import left_out
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, LOG_SUPPRESSIONS, PROCESSES, RUNTIME_MESSAGES
from analyzer.model import Confidence, Finding


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
    zombies, nodes = listings(frames), rows["node"].unique().drop_nulls().sort().to_list()
    told = measured(found, zombies, nodes)
    for one, in_listing in zip(found, told, strict=True):
        yield _finding(one, effects_of(one, seen), settings, quiet, in_listing)
    yield from unexplained(zombies, [one for one in told if one is not None])
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


def _finding(one: Probed, effects: Effects, settings: Settings, quiet: list[str], seen: Counted | None) -> Finding:
    most = left(one, settings.processes_per_probe)
    is_counted = seen is not None and seen.tells
    sure = len(one.channels) > 1 or (seen is not None and seen.by != "node" and seen.defunct > 0)
    return Finding(
        detector="exec-probe-timeout",
        subject=short(one.subject),
        summary=(
            f"{counted(one.timeouts, 'exec probe')} of {short(one.subject)} ran into the timeout"
            f"{f' of {one.timeout:g} s' if one.timeout else ''}; {what_is_left(most, seen)}."
        ),
        severity=severity(one, effects, seen.defunct if seen and is_counted else most, settings.high_processes),
        confidence=Confidence.HIGH if sure else Confidence.MEDIUM,
        confidence_reason=how_sure(one, quiet, seen),
        start=one.rows["time"][0],
        end=one.rows["time"][-1],
        impact=impact(one, effects, most, seen),
        evidence=evidence(one, seen),
        saving=saving(most, seen),
        why=why(one),
        refuted_by=refuted_by(seen),
        remedies=REMEDIES,
        verify=verify(one, seen),
        stories=(16,),
    )


DETECTOR = Detector(
    id="exec-probe-timeout",
    title="Exec probes run into their timeout and leave processes behind",
    needs_any=((KLOG_LINES,), (TOLD_EVENTS,), (RUNTIME_MESSAGES,)),
    uses=(CONTAINER_NAMES, CONTAINER_KILLS, KERNEL_MESSAGES, LOG_SUPPRESSIONS, PROCESSES),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(16,),
)
