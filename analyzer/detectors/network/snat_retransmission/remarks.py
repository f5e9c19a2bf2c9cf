"""Look-alikes of a loss on the way out, each with a word."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.detectors.network.snat_retransmission.judge import Limits, Verdict
from analyzer.detectors.network.snat_retransmission.measure import Traffic
from analyzer.facts.audit_windows import counted, listed

HOLES = 3
"""Connections in an MTU black hole that deserve a word by themselves [an engineering default]."""

COPIES = 10
"""Packets that were captured twice that deserve a word [an engineering default]."""


def remarks(one: Traffic, verdict: Verdict, limits: Limits) -> Iterator[str]:
    out, within = verdict.outside, verdict.inside
    if one.copies >= COPIES and one.copies > out.again and one.copies >= limits.share * out.segments:
        yield (
            f"{one.source} holds {counted(one.copies, 'TCP packet')} to or from the outside twice: the same packet at "
            "the same place, not sent again. They are not counted."
        )
    stuck = int(one.holes["again"].sum())
    if one.holes.height >= HOLES or (
        out.segments >= limits.segments and stuck and stuck >= limits.share * (out.segments + stuck)
    ):
        servers = one.holes["server"].unique().sort().to_list()
        yield (
            f"mtu-blackhole: {counted(one.holes.height, 'connection')} in {one.source} to {listed(servers)} sent large "
            f"segments {stuck:,} times again while small ones arrived: the path takes less than the sender believes. "
            "Let ICMP fragmentation needed through, lower the MTU of the pods, or clamp the MSS."
        )
    if (verdict.segments or verdict.syns) and not verdict.shared:
        worst = verdict.peers.row(0, named=True)
        yield (
            f"{out.again:,} of {out.segments:,} segments to the outside in {one.source} were sent again, "
            f"{worst['again']:,} of them to or from {worst['server']}: without it too few others do, "
            "so it is one lossy peer, not the way out of the cluster."
        )
    if out.segments >= limits.segments > within.segments and out.share >= limits.share:
        yield (
            f"{out.share:.2%} of {out.segments:,} segments to the outside in {one.source} were sent again, but it "
            f"holds only {within.segments:,} within the cluster: nothing says how much the node itself loses."
        )
