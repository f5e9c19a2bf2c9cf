"""When queries to an upstream failed more than they should, upstream by upstream."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.detectors.dns.dns_upstream_throttle.parts import parted
from analyzer.detectors.dns.dns_upstream_throttle.seen import BIN_SECONDS, Seen
from analyzer.facts.audit_windows import BIN_SECONDS as MINUTE
from analyzer.facts.audit_windows import QUIET_BINS

NEAR_BINS = MINUTE // BIN_SECONDS
"""Flagged bins with fewer quiet ones between them are one burst."""

MOSTLY = 0.5
"""Failed share that is unusual whatever the median: what fails all the time has no other [an engineering default]."""

UNNAMED = "upstream of CoreDNS"


class Limits(Struct, frozen=True):
    """Share of failed queries, times the median share, failed queries."""

    share: float
    step: float
    failures: int


class Window(Struct, frozen=True):
    """What was seen of one upstream, or of several that are asked for the same names, from the first failure to the
    last. `whole` is the same of the whole evidence."""

    upstreams: tuple[str, ...]
    seen: Seen
    whole: Seen

    @property
    def subject(self) -> str:
        more = len(self.upstreams) - 3
        return ", ".join(self.upstreams[:3]) + (f" and {more} more" if more > 0 else "") or UNNAMED

    @property
    def failed(self) -> pl.DataFrame:
        """The failed queries of clients, without those that one socket sent again."""
        return self.seen.asked.filter("failed", ~pl.col("retry"))

    @property
    def alone(self) -> int:
        """Errors that no query lines stand beside."""
        return int(self.seen.errors.filter("alone")["count"].sum())

    @property
    def vain(self) -> pl.DataFrame:
        """CoreDNS's own queries that failed."""
        return self.seen.upstream.filter("failed")

    @property
    def failures(self) -> int:
        """Failed queries of clients, each once; CoreDNS's own where the evidence holds no others."""
        return self.failed.height + self.alone or self.vain.height

    @property
    def tries(self) -> int:
        """What failed at the upstream, with what clients sent again."""
        return max(int(self.seen.asked["failed"].sum()) + self.alone, self.vain.height)

    @property
    def share(self) -> float | None:
        """Failed part of the forwarded queries; None where answers are not logged."""
        asked = self.seen.asked.filter(~pl.col("retry")).height
        if asked and self.seen.complete and not self.alone:
            return self.failed.height / asked
        own = self.seen.upstream.height
        return self.vain.height / own if own and not asked else None

    @property
    def span(self) -> tuple[datetime | None, datetime | None]:
        times = pl.concat([part["time"] for part in (self.failed, self.vain, self.seen.errors.filter("alone"))])
        return times.min(), times.max()  # type: ignore[return-value]


def windows(seen: Seen, limits: Limits) -> Iterator[Window]:
    """Every upstream's windows, in order of time within each."""
    for upstreams, own in parted(seen):
        bursts = [Window(upstreams, own.within(*span), own) for span in _merged(_flagged(own, limits), NEAR_BINS)]
        strong = [burst for burst in bursts if burst.tries >= limits.failures]
        spans = {at for burst in strong for at in _bins(burst)}
        for span in _merged(spans, QUIET_BINS * NEAR_BINS):
            yield Window(upstreams, own.within(*span), own)


def _bins(burst: Window) -> set[int]:
    parts = (burst.seen.asked.filter("failed"), burst.vain, burst.seen.errors.filter("alone"))
    return {at for part in parts for at in part["bin"].to_list()}


def _flagged(seen: Seen, limits: Limits) -> set[int]:
    flagged, failing = set[int](), set[int]()
    for frame, complete in ((seen.asked, seen.complete), (seen.upstream, True)):
        bins = frame.group_by("bin").agg(pl.len().alias("asked"), pl.col("failed").sum())
        share = pl.col("failed") / pl.col("asked")
        median = bins.select(share.median()).item() or 0
        enough = pl.col("failed") >= limits.failures
        if complete:
            unusual = (pl.col("failed") > 0) & (share >= min(limits.step * median, MOSTLY))
            enough = (share >= limits.share) & (enough | unusual)
            failing |= set(bins.filter(pl.col("failed") > 0, share >= limits.share)["bin"])
        flagged |= set(bins.filter(enough)["bin"])
    # A trouble does not begin or end with our bins.
    flagged |= {at for at in failing if at - 1 in flagged or at + 1 in flagged}
    alone = seen.errors.filter("alone").group_by("bin").agg(pl.col("per_bin").sum())
    return flagged | set(alone.filter(pl.col("per_bin") >= limits.failures)["bin"])


def _merged(bins: set[int], apart: int) -> list[tuple[int, int]]:
    """First and last bin of each stretch without so many quiet bins or more."""
    spans: list[tuple[int, int]] = []
    for one in sorted(bins):
        if spans and one - spans[-1][1] - 1 < apart:
            spans[-1] = (spans[-1][0], one)
        else:
            spans.append((one, one))
    return spans
