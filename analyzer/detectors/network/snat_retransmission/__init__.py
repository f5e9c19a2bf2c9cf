"""More is sent again to the outside than within the cluster.

## What it finds
Captures in which TCP surely loses more on the way to the outside than within: of the segments that may be sent again,
or of the attempts to connect, one in a hundred and five times as many as between private addresses, with 95 %
intervals (Wilson) that do not overlap, at three servers or more, and still so without the worst of them. Counted are
connections that addresses within begin. A segment is lost where it is sent again by the definitions of Wireshark,
spurious retransmissions and copies of one packet left out. SYNs are held against the schedules of Linux: 1, 3, 7, 15 s,
and since 6.5 1, 2, 3, 4, 5, 7, 11 s. The variant is `port-clash` where a SYN is surely lost more often within a second
of another pod's SYN to the same server; a capture behind the address translation, which knows the same SYN by its
sequence number, tells whether the lost ones left the node: then nothing clashed. Severity is high from one segment or
SYN in twenty on, else medium. Confidence is low where all the loss is in one network (a /24 or /48), high where SYNs
clash and both came from one port or never left the node, else medium.

## Why it matters
What leaves the cluster is given the node's address and a port of it. Two connections that are given the same one at the
same moment race in the kernel's connection tracking, and one packet is dropped without a trace: a SYN costs a second.

## What does not count
One lossy peer: without it the loss is gone. Large segments that never arrive while small ones do: the path has a
smaller MTU; a remark says `mtu-blackhole`. Packets that were captured twice, which look as if they were sent again.
Each has a remark. Servers that never answer, or not for a while: three attempts in a row. Clients outside, whose own
lines lose packets. Loss within that is as high: the node or the capture.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.detector import Detector, NotObservable, Remark, setting, thresholds
from analyzer.detectors.network.snat_retransmission.captures import whose
from analyzer.detectors.network.snat_retransmission.evidence import evidence, impact, retried
from analyzer.detectors.network.snat_retransmission.judge import Limits, Verdict, judge
from analyzer.detectors.network.snat_retransmission.measure import Traffic, traffic, worth_it
from analyzer.detectors.network.snat_retransmission.remarks import remarks
from analyzer.detectors.network.snat_retransmission.remedy import REMEDIES, remedies, saving, verify
from analyzer.detectors.network.snat_retransmission.words import located, refuted_by, sure, why
from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.connection_attempts import CONNECTION_ATTEMPTS
from analyzer.facts.contract import Frames
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.facts.tcp_retransmissions import TCP_RETRANSMISSIONS
from analyzer.frames import ICMP_ERRORS
from analyzer.model import Finding, Severity

DEFAULT = "engineering default"
CLASH = "port-clash"


@thresholds
class Settings:
    min_share: float = setting(
        0.01, "Least share that is lost to the outside.", unit="fraction", minimum=0, source=DEFAULT
    )
    min_ratio: float = setting(5.0, "Times as much as within.", unit="times", minimum=1, source=DEFAULT)
    min_segments: int = setting(
        1000, "Segments that a capture must hold of each kind.", unit="segments", minimum=1, source=DEFAULT
    )
    min_syns: int = setting(
        100, "Attempts to connect of each kind, for their share to count.", unit="attempts", minimum=1, source=DEFAULT
    )
    min_peers: int = setting(3, "Servers outside that must be affected.", unit="servers", minimum=2, source=DEFAULT)
    high_share: float = setting(
        0.05, "Share from which the severity is high.", unit="fraction", minimum=0, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    limits = Limits(
        segments=settings.min_segments,
        syns=settings.min_syns,
        share=settings.min_share,
        ratio=settings.min_ratio,
        peers=settings.min_peers,
    )
    judged = [(one, judge(one, limits)) for one in traffic(frames)] if worth_it(frames, limits.segments) else []
    enough = [
        one for one, verdict in judged if min(verdict.outside.segments, verdict.inside.segments) >= limits.segments
    ]
    said = False
    for one, verdict in judged:
        for text in remarks(one, verdict, limits):
            said = True
            yield Remark(text)
        if verdict.fires:
            said = True
            yield _finding(one, verdict, settings)
    if not enough and not said:
        raise NotObservable(
            f"no capture holds {limits.segments:,} TCP segments within the cluster and as many to the outside, "
            "so there is nothing to compare"
        )


def _finding(one: Traffic, verdict: Verdict, settings: Settings) -> Finding:
    out, within = verdict.outside, verdict.inside
    worst = max(out.share if verdict.segments else 0.0, out.syn_share if verdict.syns else 0.0)
    confidence, reason = sure(verdict)
    start, end = one.lost["time"].min(), one.lost["time"].max()
    return Finding(
        detector="snat-retransmission",
        subject=whose(one.outside),
        summary=(
            f"{out.again:,} of {out.segments:,} segments to the outside in {one.source} were sent again "
            f"({out.share:.2%}; within {within.share:.2%}){retried(out)}.{located(verdict)}"
        ),
        severity=Severity.HIGH if worst >= settings.high_share else Severity.MEDIUM,
        confidence=confidence,
        confidence_reason=reason,
        start=start,  # type: ignore[arg-type]
        end=end,  # type: ignore[arg-type]
        impact=impact(one, verdict),
        evidence=evidence(one, verdict),
        saving=saving(verdict),
        why=why(verdict),
        refuted_by=refuted_by(verdict),
        variant=CLASH if verdict.clash else "",
        remedies=remedies(verdict),
        verify=verify(one, verdict),
        stories=(28,),
    )


DETECTOR = Detector(
    id="snat-retransmission",
    title="More is sent again to the outside than within the cluster",
    needs_any=((TCP_CONNECTIONS, TCP_RETRANSMISSIONS, CONNECTION_ATTEMPTS),),
    uses=(ICMP_ERRORS, ADDRESS_OWNERS),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(28,),
)
