"""How bad a storm is, how sure that the named sender made it, and what is said beside the findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from analyzer.detector import Remark
from analyzer.detectors.apiserver.apiserver_throttle_storm.load import AGENT, Window
from analyzer.detectors.apiserver.apiserver_throttle_storm.observable import Sight
from analyzer.detectors.apiserver.apiserver_throttle_storm.priority import VITAL
from analyzer.facts.requests import BUDGET, SHUTTING_DOWN, TOO_MANY, said
from analyzer.frames.contract import TIME
from analyzer.model import Confidence, Severity

MOST_OF_LOAD = 0.5
"""Share of the load that leaves no doubt."""

MOST_OF_ALL = 0.5
"""Rejected share of all requests from which a storm is high, whoever was hit."""

MANY_OF_ALL = 0.1
"""Rejected share of all requests from which a storm is not low, whoever was hit."""


def severity(window: Window, agent: str, requests: int, critical_share: float, over: int) -> Severity:
    """By who else was rejected: heartbeats and leases are high, critical where they are a share of all, or ran out."""
    others = window.rejected.with_columns(AGENT).filter(pl.col("agent") != agent)
    vital = others.filter(VITAL).height
    if vital:
        worst = over or vital >= critical_share * window.rejected.height
        return Severity.CRITICAL if worst else Severity.HIGH
    if window.rejected.height >= MOST_OF_ALL * requests:
        return Severity.HIGH
    if others.height or window.rejected.height >= MANY_OF_ALL * requests:
        return Severity.MEDIUM
    return Severity.LOW


def told_by_clients(klog: pl.LazyFrame | None) -> pl.DataFrame:
    """`time` of each log line in which a client tells of server-side throttling (client-go `rest/request.go`)."""
    if klog is None:
        return pl.DataFrame(schema={"time": TIME})
    told = pl.col("text").str.contains("due to server-side throttling", literal=True)
    return klog.filter(told).select("time").collect()


def confidence(load: float, share: float, told: pl.DataFrame, window: Window, seen: Sight) -> tuple[Confidence, str]:
    """By the offender's share of the load, at most as sure as what the log holds allows.

    `told` are log lines of clients that tell of server-side throttling.
    """
    lines = told.filter(window.rows).height
    more = f"; {seen.limits}" if seen.limits else ""
    more += f"; {lines:,} log lines of clients tell of server-side throttling too" if lines else ""
    if load < share:
        told_by = f"the server was full, but no sender stands out: this one has {load:.0%} of the load"
        return Confidence.LOW, told_by + more
    sure, who = (Confidence.HIGH, "one") if load >= MOST_OF_LOAD else (Confidence.MEDIUM, "this")
    reason = f"429 without a decision is the server's own limit; {who} sender has {load:.0%}{more}"
    return min(sure, seen.most, key=lambda one: one.rank), reason


def unsaid(windows: Sequence[Window], count: int) -> Iterator[Remark]:
    """What is left of more storms than are told one by one."""
    rest = sorted(window.rejected.height for window in windows)[:-count]
    if rest:
        yield Remark(
            f"{len(rest):,} smaller storms with {sum(rest):,} rejected requests in all are not told one by one."
        )


def remarks(requests: pl.LazyFrame, below: int, limits: str) -> Iterator[Remark]:
    """Answers 429 that are no storm. `below` counts throttled requests outside all windows."""
    too_many = (pl.col("code") == TOO_MANY).fill_null(False)
    eviction = (pl.col("subresource") == "eviction").fill_null(False) | said(BUDGET)
    ending = too_many & said(SHUTTING_DOWN)
    evicted, ended, decided, untimed = (
        requests.select(
            (too_many & eviction & ~ending).sum().alias("evicted"),
            ending.sum().alias("ended"),
            (too_many & ~eviction & ~ending & pl.col("decision").is_not_null()).sum().alias("decided"),
            (pl.col("throttled") & pl.col("time").is_null()).sum().alias("untimed"),
        )
        .collect()
        .row(0)
    )
    if evicted:
        yield Remark(f"{evicted:,} evictions were answered 429: a PodDisruptionBudget refused them, not the server.")
    if ended:
        yield Remark(f"{ended:,} requests were answered 429 by a server that was shutting down: no overload.")
    if decided:
        yield Remark(f"{decided:,} requests were answered 429 after authorization: by admission, not by the server.")
    if below:
        yield Remark(f"{below:,} requests were rejected with 429 outside of any storm: too few for a finding.")
    if untimed:
        yield Remark(f"{untimed:,} requests rejected with 429 have no time and lie in no window.")
    if limits:
        yield Remark(f"Seen in part only: {limits}.")
