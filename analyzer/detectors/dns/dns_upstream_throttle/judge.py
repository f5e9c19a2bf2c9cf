"""Which trouble with the upstream a window of failures is, and how sure that is."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.dns.dns_upstream_throttle.errors import ANSWERED, OVERLOAD, UNHEALTHY
from analyzer.detectors.dns.dns_upstream_throttle.plateau import handed_on, plateau
from analyzer.detectors.dns.dns_upstream_throttle.windows import Window
from analyzer.facts.dns_witness import Witness
from analyzer.model import Confidence

HALF = 0.5

LASTING = timedelta(seconds=5)
"""Least time between two failures with no answer between them that shows a dead upstream [an engineering default]."""

COMPLETED = 10
"""Queries that autopath completed from which it is part of the trouble [an engineering default]."""

AWS_RATE = 1024
"""Packets a second that one interface may send to the resolver of a VPC (AWS, Hybrid Cloud DNS Options for Amazon VPC,
Constraints)."""
AWS_NEAR = 0.1


class Verdict(Struct, frozen=True):
    """`rate` is the limit that was seen, None without one."""

    variant: str
    why: str
    rate: float | None


def judge(window: Window) -> Verdict:
    seen = window.seen
    kinds = dict(seen.errors.group_by("kind").agg(pl.col("count").sum()).iter_rows())
    half = HALF * max(sum(kinds.values()), 1)
    if kinds.get(OVERLOAD, 0) >= half:
        limit = seen.errors["error"].str.extract(r"exceeded maximum ([0-9]+)").drop_nulls()
        most = f" ({limit[0]})" if len(limit) else ""
        return Verdict(
            "concurrency-limit", f"more queries wait for the upstream than max_concurrent allows{most}", None
        )
    # The kernel of an upstream without a process tells it of one query a second (icmp_ratelimit); the others time out.
    refused = sum(kinds.get(kind, 0) for kind in UNHEALTHY)
    if refused >= half or (refused and _dead(window)):
        return Verdict("upstream-unhealthy", "the upstream refuses connections or cannot be reached", None)
    if seen.upstream.height and window.vain.height < HALF * int((window.failed["rcode"] == "REFUSED").sum()):
        return Verdict(
            "concurrency-limit", "CoreDNS refuses queries without handing them on, as max_concurrent does", None
        )
    rate = plateau(window.whole.upstream, window.whole.asked)
    if rate is not None:
        aws = ", the limit of a VPC's resolver for one interface" if abs(rate / AWS_RATE - 1) <= AWS_NEAR else ""
        mechanism = Verdict("rate-limit", f"the upstream answers {rate:,.0f} queries a second and no more{aws}", rate)
    else:
        mechanism = _unlimited(window, sum(kinds.get(kind, 0) for kind in ANSWERED) >= half)
    completed = seen.asked.filter(pl.col("name").is_in(seen.zones.completed.implode())).height
    if mechanism.variant in {"rate-limit", "timeouts"} and completed >= COMPLETED:
        why = f"autopath hands on searched names, each under its own key of the cache; {mechanism.why}"
        return Verdict("autopath", why, rate)
    return mechanism


def _unlimited(window: Window, answered: bool) -> Verdict:
    rows = window.seen.upstream if window.seen.upstream.height else window.seen.asked
    failed = rows.filter("failed")
    silent = int(failed["silent"].sum())
    if answered or (failed.height and silent < HALF * failed.height):
        return Verdict("upstream-errors", "the upstream answers SERVFAIL or REFUSED", None)
    if _dead(window):
        return Verdict("upstream-unhealthy", "the upstream answers nothing at all", None)
    return Verdict("timeouts", "the upstream leaves queries unanswered", None)


def _dead(window: Window) -> bool:
    """Nothing at all was answered: while the bins of the window last, or from the first failure to the last."""
    rows = window.seen.upstream if window.seen.upstream.height else window.seen.asked.filter(handed_on())
    failed = rows.filter("failed")
    if not failed.height or failed.height == rows.height:
        return failed.height > 0
    times = failed["time"].drop_nulls().to_physical()
    between = rows.filter(pl.col("time").to_physical().is_between(times.min(), times.max()))
    spent = timedelta(microseconds=int(times.max() or 0) - int(times.min() or 0))  # type: ignore[arg-type]
    return spent >= LASTING and between["failed"].all()


def confidence(window: Window, verdict: Verdict, few: str, witness: Witness) -> tuple[Confidence, str]:
    """How sure, and what it rests on; `few` are domains that may be to blame instead."""
    seen = window.seen
    parts = [
        "CoreDNS's own queries failed" if window.vain.height else "",
        "its log names the upstream" if seen.errors["upstream"].null_count() < seen.errors.height else "",
        "its log names the limit" if verdict.variant == "concurrency-limit" else "",
        "its log has no answer for them" if (window.failed["origin"] == "log").any() else "",
        "names of the cluster were answered" if (seen.cluster["rcode"] == "NOERROR").any() else "",
        witness.sentence,
    ]
    reasons = [part for part in parts if part]
    captured, told = bool(window.vain.height), bool(seen.errors.height or window.failed.height)
    if few:
        return Confidence.LOW, "; ".join([f"only names of {few} failed, and too few others were asked", *reasons])
    if verdict.variant == "concurrency-limit" or (captured and told):
        return Confidence.HIGH, "; ".join(reasons)
    if captured or seen.errors.height:
        return Confidence.MEDIUM, "; ".join(reasons)
    return Confidence.LOW, "; ".join(reasons) or "clients were answered SERVFAIL or REFUSED"
