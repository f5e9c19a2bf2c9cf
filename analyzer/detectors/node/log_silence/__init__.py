"""A log that always came has stopped, and nobody noticed.

## What it finds
An emitter that spoke twenty times or more, and then is silent for ten times the 99th percentile of its pauses, five
minutes at the least, and so long that chance would bring it once in a million cases, while at least half of its peers
go on. Emitters are the log streams of nodes (kubelet, kernel, container runtime) in inputs that hold several, such as
an export of a log store, and in captures the senders to log sinks: by port (fluentd, Elasticsearch, Loki, syslog ...)
or by the name of a log service in TLS. Keep-alives are no speech. What the sink said before is told: answers 429,
closed windows. Streams of one node that stop are one finding. Severity is high from one hour of silence or where
several streams of a node stopped, else medium. Confidence is high where the kubelet went on to speak to the API server
or the sink refused, low where all streams of a node ended at once for good and nothing tells whether it lives.

## Why it matters
A shipper that hangs does not crash: its process lives, its probe passes, and the logs that one looks for after the
outage were never sent.

## What does not count
A node that was drained, cordoned, deleted, shut down or not ready, or that went away unannounced: its kubelet asks the
API server for nothing more either, or its pods are removed. A pod that was deleted, an address in whose place
another began to send. A file that ends earlier than others: it was saved earlier. A hole in an input in which nothing
else stands meanwhile: a rotated file is missing, or only this emitter is in it; a remark tells of both. All emitters
silent at once. Components of which one leads and the others wait.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.detector import Detector, NotObservable, Remark, setting, thresholds
from analyzer.detectors.node.log_silence.around import Sink, excuse, sink_of
from analyzer.detectors.node.log_silence.evidence import evidence, impact, missing, saving, seconds, unit_of, verify
from analyzer.detectors.node.log_silence.gap import Limits, Silence, together
from analyzer.detectors.node.log_silence.gone import lives, sure, went_away
from analyzer.detectors.node.log_silence.remedy import REMEDIES
from analyzer.detectors.node.log_silence.silence import silences
from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.audit_windows import listed, short
from analyzer.facts.change_ledger import CHANGE_LEDGER
from analyzer.facts.contract import Frames
from analyzer.facts.log_emissions import LOG_EMISSIONS
from analyzer.facts.pod_life import POD_LIFE
from analyzer.facts.pod_moments import POD_MOMENTS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import HTTP_MESSAGES, KERNEL_MESSAGES, KLOG_LINES, PACKETS
from analyzer.model import Finding, Severity

DEFAULT = "engineering default"
MOST = 10
"""Emitters that have a finding each."""


@thresholds
class Settings:
    intervals: int = setting(20, "Pauses before, from which an emitter is known.", minimum=2, source=DEFAULT)
    times: float = setting(
        10, "Silence over the 99th percentile of the pauses before.", unit="times", minimum=1, source=DEFAULT
    )
    seconds: float = setting(300, "Least silence.", unit="seconds", minimum=1, source=DEFAULT)
    chance: float = setting(
        1e-6, "Chance of such a pause if records come at random.", unit="fraction", minimum=1e-300, source=DEFAULT
    )
    peers: float = setting(0.5, "Share of peers that must go on.", unit="fraction", minimum=0, source=DEFAULT)
    high_seconds: float = setting(
        3600, "Silence from which the severity is high.", unit="seconds", minimum=1, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    limits = Limits(
        intervals=settings.intervals,
        times=settings.times,
        seconds=settings.seconds,
        chance=settings.chance,
        peers=settings.peers,
    )
    found = silences(frames[LOG_EMISSIONS], limits)
    if found is None:
        raise NotObservable("no log or sink has two emitters with times, so nobody can say who went on")
    counted = 0
    for parts in together(found):
        names = listed([one.stream for one in parts])
        what = f"{short(parts[0].emitter)} ({names}) is silent for {seconds(parts):,.0f} s"
        if parts[0].hole:
            yield Remark(f"{what}, but nothing else stands in its input meanwhile.")
        elif reason := excuse(parts[0], frames) or went_away(parts, frames):
            yield Remark(f"{what}: {reason}. Not counted.")
        else:
            counted += 1
            if counted <= MOST:
                yield _finding(parts, sink_of(parts[0], frames), lives(parts[0], frames), settings)
    if counted > MOST:
        yield Remark(f"{counted - MOST:,} more emitters fell silent.")


def _finding(parts: list[Silence], sink: Sink, alive: bool | None, settings: Settings) -> Finding:
    first = min(parts, key=lambda one: one.start)
    unit = unit_of(first)
    lasts = "" if any(one.resumed.height for one in parts) else ", to the end of its input"
    confidence, reason = sure(parts, sink, alive)
    return Finding(
        detector="log-silence",
        subject=short(first.emitter),
        summary=(
            f"{short(first.emitter)} ({listed([one.stream for one in parts])}) sent nothing for "
            f"{seconds(parts) / 60:,.1f} min{lasts}; about {missing(parts):,.0f} {unit} are missing, while "
            f"{first.speaking:,} of {first.peers:,} peers went on."
        ),
        severity=Severity.HIGH if seconds(parts) >= settings.high_seconds or len(parts) > 1 else Severity.MEDIUM,
        confidence=confidence,
        confidence_reason=reason,
        start=first.start,
        end=max(one.end for one in parts),
        impact=impact(parts, sink),
        evidence=evidence(parts),
        saving=saving(parts),
        variant="sender to a log sink" if first.kind == "flow" else "log stream of a node",
        why="The shipper of this node hangs or has lost its output; the program that writes may be well.",
        refuted_by="A node that was switched off on purpose, or a program that had nothing more to say.",
        remedies=REMEDIES,
        verify=verify(parts),
        stories=(31,),
    )


DETECTOR = Detector(
    id="log-silence",
    title="A log that always came has stopped, and nobody noticed",
    needs_any=((LOG_EMISSIONS,),),
    uses=(
        *(CHANGE_LEDGER, TOLD_EVENTS, POD_MOMENTS, ADDRESS_OWNERS, PACKETS, HTTP_MESSAGES, KLOG_LINES, KERNEL_MESSAGES),
        *(AUDIT_REQUESTS, POD_LIFE),
    ),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(31,),
)
