"""A node fails, its replicas come together on another node, and that fails too.

## What it finds
An outage of a node on which at least two replicas of one owner ran, and half of all that it has, after which at least
two of its replicas were placed on another node that failed as well within an hour of the first. Outages are told by
Events (NodeNotReady, Rebooted), by the node controller that writes a node's status, by a kubelet that says that its
node became not ready, by a boot, or by a kubelet whose heartbeats are in the audit log and that is not heard of for
40 s while others are. Steps that follow each other are one
finding. Severity is critical where all replicas were on the first node, or three nodes failed, else high. Confidence is
high where all outages are told, medium where some are known by silence, low where all are.

## Why it matters
The scheduler fills nodes, it does not spread by itself where requests differ from use. The heaviest pods of a service
end up together, take their node down, and go on to the next one together: one bad node becomes an outage of the whole.

## What does not count
A node that fails alone. Replicas that were spread, so that a node had less than half of them. An owner of one replica.
Nodes that were drained, cordoned, or deleted by somebody, in the minutes before: rolling upgrades and autoscalers. A
silence of all kubelets at once, which is the API server's or the log's. DaemonSets, which run on every node anyway, and
Jobs. The remarks count outages that were in order, and those that took no owner along.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.workload.node_crash_cascade.around import (
    cordoned,
    deleted,
    drained,
    evicted,
    must_be_observable,
    nodes_of,
)
from analyzer.detectors.workload.node_crash_cascade.cascade import MOST, Cascade, Limits, cascades, crowded, steps
from analyzer.detectors.workload.node_crash_cascade.evidence import confidence, evidence, impact, saving, severity
from analyzer.detectors.workload.node_crash_cascade.places import places
from analyzer.detectors.workload.node_crash_cascade.remedy import GENERAL, remedies, verify
from analyzer.facts.audit_windows import counted, listed, short
from analyzer.facts.change_ledger import CHANGE_LEDGER
from analyzer.facts.contract import Frames
from analyzer.facts.node_outages import NODE_OUTAGES
from analyzer.facts.pod_life import POD_LIFE
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.model import Finding

DEFAULT = "engineering default"
STORIES = (33,)


@thresholds
class Settings:
    replicas: int = setting(2, "Replicas of an owner on a node that fails.", unit="replicas", minimum=2, source=DEFAULT)
    share: float = setting(0.5, "Share of its replicas that is.", unit="fraction", minimum=0, source=DEFAULT)
    minutes: float = setting(60, "Longest time from one outage to the next.", unit="minutes", minimum=1, source=DEFAULT)


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    outages = frames[NODE_OUTAGES].collect()
    placed = places(frames)
    must_be_observable(outages, placed, frames)
    orderly = drained(outages, evicted(frames, placed), deleted(frames), cordoned(frames))
    wild = outages.join(orderly.select("node", "time"), on=["node", "time"], how="anti", maintain_order="left")
    limits = Limits(replicas=settings.replicas, share=settings.share, minutes=settings.minutes)
    found = list(cascades(list(steps(wild, placed, limits)), nodes_of(frames, placed, outages)))
    for cascade in found:
        yield _finding(cascade)
    if (many := crowded(wild, placed, limits).height) > MOST:
        yield Remark(
            f"{counted(many - MOST, 'later outage')} of nodes with several replicas of an owner: not looked at."
        )
    if orderly.height:
        yield Remark(
            f"{counted(orderly.height, 'outage')} of nodes that were cordoned, drained or deleted before: in order."
        )
    alone = wild.height - len({(one["node"], one["time"]) for cascade in found for one in cascade.outages})
    if alone:
        yield Remark(f"{counted(alone, 'outage')} of nodes after which no owner's replicas took another node along.")


def _finding(cascade: Cascade) -> Finding:
    first = cascade.steps[0]
    sure, reason = confidence(cascade)
    minutes = (cascade.last - cascade.start).total_seconds() / 60
    return Finding(
        detector="node-crash-cascade",
        subject=short(cascade.label),
        summary=(
            f"{first.lost.height:,} of {counted(first.replicas, 'replica')} of {short(cascade.label)} were on node "
            f"{cascade.names[0]} when it failed; {counted(cascade.moved.height, 'pod')} of it came to "
            f"{listed(cascade.names[1:])}, which failed too within {minutes:.0f} min."
        ),
        severity=severity(cascade),
        confidence=sure,
        confidence_reason=reason,
        start=cascade.start,
        end=cascade.last,
        impact=impact(cascade),
        evidence=evidence(cascade),
        saving=saving(cascade),
        variant=f"{len(cascade.outages)} nodes",
        why="Nothing kept the replicas apart: they went from node to node together, and took each along.",
        refuted_by="A cause that both nodes share beside these pods: a rack, a kernel, a rollout of an agent.",
        remedies=remedies(cascade),
        verify=verify(cascade),
        stories=STORIES,
    )


DETECTOR = Detector(
    id="node-crash-cascade",
    title="A node fails, its replicas come together on another node, and that fails too",
    needs_any=((NODE_OUTAGES, POD_LIFE),),
    uses=(CHANGE_LEDGER, AUDIT_REQUESTS, TOLD_EVENTS),
    settings=Settings(),
    detect=detect,
    remedies=GENERAL,
    stories=STORIES,
)
