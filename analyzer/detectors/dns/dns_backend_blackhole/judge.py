"""What a window of failed lookups is: by the ports, by what was changed before it, and by its length."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
from msgspec import Struct

from analyzer.detectors.dns.dns_backend_blackhole.measure import KEPT, Hole
from analyzer.model import Confidence

LATE = timedelta(seconds=10)
"""A change may be recorded that much after its effect: the kubelet stops the container before the pod is deleted."""

SHAPES = (
    (6, "lameduck", "the server is gone before its clients know (lameduck of CoreDNS's health plugin, 5 s by default)"),
    (35, "conntrack-unreplied", "entries of connection tracking without a reply live for 30 s"),
    (135, "conntrack-stream", "entries of connection tracking that have seen replies live for 120 s"),
    (195, "conntrack-stream", "entries of connection tracking that have seen replies lived for 180 s before Linux 5.0"),
    (330, "ipvs-timeout", "IPVS keeps a UDP socket's server for 300 s"),
)
"""Longest window in seconds, the variant, and why: nf_conntrack and ipvsadm documentation."""

KEPT_ALIVE = "backend-kept", "sockets that go on asking keep their entry for the removed server alive"
DEAD = "dead-server", "nothing at all is answered"
STORIES = {"ipvs-timeout": (3,), "backend-kept": (4,), "conntrack-unreplied": (5,), "conntrack-stream": (5,)}
UNENDED = "", "the capture ends while it lasts"


class Verdict(Struct, frozen=True):
    """`change` is the resolver_changes row nearest before the window, None without one; `scaled` the nearest that is
    one of replicas: the pods that it takes away are told of a moment later."""

    variant: str
    reason: str
    confidence: Confidence
    by_port: bool
    change: dict[str, Any] | None
    scaled: dict[str, Any] | None

    @property
    def stories(self) -> tuple[int, ...]:
        """Those that it is like: entries of IPVS that run out, that are kept alive, entries of connection tracking
        after a scale-down. A window that is cut may be any."""
        known = (3, 4, 5) if self.variant == UNENDED[0] else STORIES.get(self.variant, ())
        return tuple(sorted({*known, 5})) if self.scaled and self.variant != DEAD[0] else known


def judge(hole: Hole, changes: pl.DataFrame, p_most: float, ratio: float) -> Verdict | None:
    """None where neither the ports nor a change nor silence with tries again tell of a black hole."""
    by_port = hole.ports.p_value < p_most and hole.ports.risk_ratio >= ratio
    near = changes.filter(pl.col("time").is_between(hole.start - KEPT - LATE, hole.start + LATE))
    fewer = near.filter(pl.col("what") == "scaled")
    change, scaled = (rows.row(-1, named=True) if rows.height else None for rows in (near, fewer))
    if by_port:
        confidence = Confidence.HIGH if change else Confidence.MEDIUM
    elif change:
        confidence = Confidence.MEDIUM
    elif hole.total and hole.again:
        confidence = Confidence.LOW
    else:
        return None
    variant, reason = _shape(hole, by_port=by_port)
    return Verdict(variant, reason, confidence, by_port, change, scaled)


def _shape(hole: Hole, *, by_port: bool) -> tuple[str, str]:
    if hole.total and not by_port:
        return DEAD
    if hole.cut:
        return UNENDED
    return next(((name, why) for most, name, why in SHAPES if hole.seconds <= most), KEPT_ALIVE)
