"""What an audit log can hold of a storm: some policies and some tables of clouds keep only writes, or no answers."""

from __future__ import annotations

import polars as pl
from msgspec import Struct

from analyzer.detector import NotObservable
from analyzer.facts.contract import Frames
from analyzer.facts.observable_requests import without
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import AUDIT_EVENTS
from analyzer.model import Confidence

READS = ("get", "list", "watch")


class Sight(Struct, frozen=True):
    """What the log holds: requests in all, with an answer, that read, with a decision, throttled, and let through."""

    requests: int
    answered: int
    reads: int
    decided: int
    throttled: int
    passed: int

    @property
    def limits(self) -> str:
        """What makes a finding less sure; empty if nothing does."""
        if self.throttled and not self.reads:
            return "the log holds no get, list or watch, so who else read is not known"
        if self.throttled and self.passed and not self.decided:
            return "the log holds no authorization decisions, so limits of admission may be among the rejections"
        return ""

    @property
    def most(self) -> Confidence:
        """How sure one can be at most."""
        if not self.limits:
            return Confidence.HIGH
        return Confidence.MEDIUM if self.reads else Confidence.LOW


def sight(frames: Frames) -> Sight:
    """Counts of the log. Raises NotObservable where it could not show a storm, however large."""
    throttled = pl.col("throttled")
    counts = frames[AUDIT_REQUESTS].select(
        pl.len().alias("requests"),
        pl.col("code").is_not_null().sum().alias("answered"),
        pl.col("verb").is_in(READS).sum().alias("reads"),
        pl.col("decision").is_not_null().sum().alias("decided"),
        throttled.sum().alias("throttled"),
        (pl.col("code").is_not_null() & ~throttled).sum().alias("passed"),
    )
    events = frames[AUDIT_EVENTS].select(pl.len()).collect().item() if AUDIT_EVENTS in frames else 0
    seen = Sight(**counts.collect().row(0, named=True))
    if (seen.requests or events) and not seen.answered:
        raise NotObservable(
            "no event of the audit log has the code of an answer: a policy without the stage ResponseComplete, or an "
            "export without responseStatus"
        )
    if reason := without(frames[AUDIT_REQUESTS], "time"):
        raise NotObservable(reason)
    if seen.requests and not seen.reads and not seen.throttled:
        raise NotObservable(
            "the audit log holds no get, list or watch at all: its policy, or a table of writes only such as "
            "AKSAuditAdmin or Admin Activity, leaves reads out, and rejected reads with them"
        )
    return seen
