"""CoreDNS gets no answers from the servers that it forwards to.

## What it finds
Windows in which queries that CoreDNS hands on fail (no reply, SERVFAIL, REFUSED) while names of the cluster are
answered: in its log, in what its errors plugin says, and in a capture of its own queries. A bin of ten seconds counts
from 1 % of the forwarded queries on, if that is five times the median of the evidence, half of all, or at least ten
queries; a window needs ten failures. The variant tells what stands behind it: `rate-limit` (answers stay flat at a
rate that calm seconds do not reach, as AWS limits each interface to 1,024 packets a second), `concurrency-limit`
(`max_concurrent` of the forward plugin), `autopath` (searched names, each of which misses the cache),
`upstream-unhealthy` (it refuses connections, is unreachable or answers nothing at all), `upstream-errors` (it answers
SERVFAIL or REFUSED itself), `timeouts` (none of these). Severity is high from 300 seconds of waiting on, two for each
failure where no client is seen. Confidence is high where CoreDNS's own queries and what it tells or answers agree, or
where the log names the limit; low where the log of queries stands alone or where few domains failed and little else was
asked.

## Why it matters
CoreDNS waits two seconds for a server and five in all; a client waits for five and asks again, which asks the upstream
more. Who sees only the client's side finds lookups that fail now and then, for names that are quite in order.

## What does not count
CoreDNS in trouble itself: then names of the cluster fail too (a remark). Names of one or two registered domains alone
while others are answered: their authority is broken (a remark). Queries in a capture that nobody answered, unless
CoreDNS is seen to ask for them in vain: they may be lost before they reach it. Names of addresses (in-addr.arpa). The
probes of the loop plugin. Shares are left out where a log leaves its successes out; then ten failures in ten seconds
are needed. A cache on the node logs the same failures: give one log of each query. Recordings that differ, with ten
seconds between them in which nobody looked, have a window each.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.dns.dns_upstream_throttle.evidence import evidence, impact, waited
from analyzer.detectors.dns.dns_upstream_throttle.judge import Verdict, confidence, judge
from analyzer.detectors.dns.dns_upstream_throttle.look_alikes import blamable, look_alike
from analyzer.detectors.dns.dns_upstream_throttle.recordings import separated
from analyzer.detectors.dns.dns_upstream_throttle.remedy import REMEDIES, verify
from analyzer.detectors.dns.dns_upstream_throttle.saving import savings
from analyzer.detectors.dns.dns_upstream_throttle.seen import READ_TIMEOUT, see
from analyzer.detectors.dns.dns_upstream_throttle.windows import Limits, Window
from analyzer.facts.contract import Frames
from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.facts.dns_log_classes import DNS_LOG_CLASSES
from analyzer.facts.dns_witness import ask
from analyzer.facts.search_list import SEARCH_SUFFIXES
from analyzer.facts.search_names import DNS_ASKED_NAMES
from analyzer.frames import COREDNS_ERRORS, COREDNS_EVENTS, COREDNS_QUERIES, DNS_ANSWERS, NO_REPLY
from analyzer.model import Finding, Severity

LIKE_STORY = ("rate-limit", "autopath", "timeouts")
DEFAULT = "engineering default"
TIMEOUT = "RES_TIMEOUT of glibc's resolv.h"


@thresholds
class Settings:
    share: float = setting(
        0.01, "Failed share of the forwarded queries in ten seconds.", unit="fraction", minimum=0, source=DEFAULT
    )
    step: float = setting(5, "Times the median share that it must be.", minimum=1, source=DEFAULT)
    failures: int = setting(
        10, "Failed queries in ten seconds that need no median, and in all.", unit="queries", minimum=1, source=DEFAULT
    )
    domains: int = setting(
        2, "Registered domains that are to blame if they alone fail.", unit="domains", minimum=0, source=DEFAULT
    )
    client_timeout: float = setting(
        5, "Longest that a client waits for one try.", unit="seconds", minimum=0, source=TIMEOUT
    )
    high_seconds: float = setting(
        300, "Waiting from which the severity is high.", unit="seconds", minimum=0, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    limits = Limits(settings.share, settings.step, settings.failures)
    seen = see(frames)
    for window in separated(seen, limits) if seen is not None else ():
        verdict = judge(window)
        restarts = _restarts(frames, window)
        spoken = look_alike(window, verdict, settings.share, settings.domains, restarts)
        yield Remark(spoken) if spoken else _finding(frames, window, verdict, settings)


def _finding(frames: Frames, window: Window, verdict: Verdict, settings: Settings) -> Finding:
    seen, (start, end) = window.seen, window.span
    lost, served = seen.captured.filter(pl.col("rcode") == NO_REPLY), pl.col("answered").is_not_null()
    witness = ask(lost, window.whole.captured.filter(served), frames.get(COREDNS_QUERIES))
    few = blamable(window, verdict, settings.domains)
    sure, reason = confidence(window, verdict, few, witness)
    known = window.failed.height > 0
    # Who sees no client knows only how long CoreDNS waits for a server.
    seconds = waited(window, settings.client_timeout) if known else READ_TIMEOUT * window.failures
    waiting = f"; clients waited {seconds:,.0f} s for them" if known else ""
    share = f" ({window.share:.0%} of them)" if window.share is not None else ""
    whither = f" to {window.subject}" if window.upstreams else ""
    within = f" within {(end - start).total_seconds():.0f} s" if start and end else ""
    main, *others = savings(window, _ttls(frames)) or (None,)
    return Finding(
        detector="dns-upstream-throttle",
        subject=window.subject,
        summary=(
            f"{window.failures:,} queries that CoreDNS hands on{whither} failed{within}{share}: {verdict.why}{waiting}."
        ),
        severity=Severity.HIGH if seconds >= settings.high_seconds else Severity.MEDIUM,
        confidence=sure,
        confidence_reason=reason,
        start=start,
        end=end,
        impact=impact(window, settings.client_timeout, witness, verdict.rate),
        evidence=evidence(window),
        saving=main,
        alternatives=tuple(one for one in others if one is not None),
        why=f"{verdict.why[0].upper()}{verdict.why[1:]}.",
        refuted_by="Answers of the upstream in a capture at its side, or names of the cluster that failed as well.",
        variant=verdict.variant,
        remedies=REMEDIES,
        verify=verify(window),
        stories=(2,) if verdict.variant in LIKE_STORY else (),
    )


def _restarts(frames: Frames, window: Window) -> int:
    """How often CoreDNS was seen to start meanwhile."""
    if COREDNS_EVENTS not in frames:
        return 0
    banners = frames[COREDNS_EVENTS].filter(pl.col("kind") == "banner", pl.col("time").is_between(*window.span))
    return int(banners.select(pl.len()).collect().item())


def _ttls(frames: Frames) -> pl.DataFrame | None:
    """The least life of the records of each answer."""
    if DNS_ANSWERS not in frames:
        return None
    return frames[DNS_ANSWERS].group_by("source", answer_number="number").agg(pl.col("ttl").min()).collect()


DETECTOR = Detector(
    id="dns-upstream-throttle",
    title="CoreDNS gets no answers from the servers that it forwards to",
    needs_any=((DNS_TRANSACTIONS,), (COREDNS_ERRORS,)),
    uses=(SEARCH_SUFFIXES, DNS_ASKED_NAMES, DNS_LOG_CLASSES, DNS_ANSWERS, COREDNS_QUERIES, COREDNS_EVENTS),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(2,),
)
