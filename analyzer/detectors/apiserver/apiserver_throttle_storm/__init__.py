"""kube-apiserver rejects requests with 429 because one sender asks for too much.

## What it finds
Times in which kube-apiserver answered 429 by its own limits (max requests in flight, or priority and fairness): at
least ten in a minute, or a hundredth of the requests and ten in all. Such answers are given before authorization, so
their events have no `authorization.k8s.io/decision`. One finding names each user agent family that was throttled and
carries a fifth of the load; load is requests times their mean latency when served, less what the agent always sends,
so that neither a victim that retries nor a controller that is always busy is accused. Severity is high where
heartbeats of nodes, leases or the control plane were rejected too, or half of all requests; critical where those are
a tenth of all rejections; low where nobody but the sender was hit, with less than a tenth of all requests; else
medium. Confidence is high where the sender carries half of the load, medium from a fifth on, low below.

## Why it matters
A rejected client waits at least `Retry-After` (1 s) and asks again, client-go up to ten times; heartbeats and leader
election wait as well, so nodes turn NotReady and controllers lose their lease while the server is merely full.

## What does not count
Evictions that a PodDisruptionBudget refuses (429 with a decision), and limits of admission plugins (likewise): a
remark counts them. A server that shuts down answers 429 outside the audit log. Clients that throttle themselves never
reach the server. A handful of rejections below the threshold is a remark.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from analyzer.detector import Detector, Remark, setting
from analyzer.detectors.apiserver.apiserver_throttle_storm.evidence import evidence, impact
from analyzer.detectors.apiserver.apiserver_throttle_storm.judge import confidence, remarks, severity
from analyzer.detectors.apiserver.apiserver_throttle_storm.load import (
    Window,
    by_agent,
    offenders,
    quiet_rates,
    storms,
)
from analyzer.detectors.apiserver.apiserver_throttle_storm.remedy import GENERAL, remedies, verify
from analyzer.detectors.apiserver.apiserver_throttle_storm.saving import replay, saving
from analyzer.facts.audit_windows import short
from analyzer.facts.contract import Frames
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import KLOG_LINES
from analyzer.model import Finding

DEFAULT = "engineering default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    per_minute: int = setting(
        10, "Rejected requests in a minute from which it is a storm.", unit="requests", minimum=1, source=DEFAULT
    )
    share: float = setting(
        0.01,
        "Rejected share of a minute's requests that also counts, with per_minute in all.",
        unit="fraction",
        minimum=0,
        source=DEFAULT,
    )
    offender_share: float = setting(
        0.2, "Share of the load from which an agent is an offender.", unit="fraction", minimum=0, source=DEFAULT
    )
    critical_share: float = setting(
        0.1,
        "Share of heartbeats, leases and control plane among the rejected from which it is critical.",
        unit="fraction",
        minimum=0,
        source=DEFAULT,
    )
    quiet_seconds: float = setting(300, "Quiet time that a baseline needs.", unit="seconds", minimum=1, source=DEFAULT)
    retry_after_seconds: float = setting(
        1,
        "Wait that a rejected client is told at least.",
        unit="seconds",
        minimum=0,
        source="Retry-After of kube-apiserver's max-in-flight filter",
    )
    inflight_limit: float = setting(
        0,
        "Requests in flight that the server allows (flags: 400 reading and 200 writing); 0 takes it from the log.",
        unit="requests",
        minimum=0,
        source="the log: in flight while requests were rejected",
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    requests = frames[AUDIT_REQUESTS].filter(pl.col("time").is_not_null())
    kept = ("time", "source", "number", "agent", "user", "verb", "resource")
    rejected = requests.filter("throttled").select(kept).sort(kept[:3]).collect()
    windows = storms(rejected, requests, settings.per_minute, settings.share)
    quiet = quiet_rates(requests, windows, settings.quiet_seconds) if windows else pl.DataFrame()
    for window in windows:
        agents = by_agent(requests, window, quiet)
        for offender in offenders(agents, settings.offender_share):
            yield _finding(requests, window, agents, offender, frames, settings)
    yield from remarks(frames[AUDIT_REQUESTS], rejected.height - sum(window.rejected.height for window in windows))


def _finding(
    requests: pl.LazyFrame,
    window: Window,
    agents: pl.DataFrame,
    offender: dict[str, Any],
    frames: Frames,
    settings: Settings,
) -> Finding:
    agent = offender["agent"]
    rejected, sent = int(agents["rejected"].sum()), int(agents["requests"].sum())
    sure, reason = confidence(offender["load"], settings.offender_share, frames.get(KLOG_LINES), window)
    model = replay(requests, window, agent, settings.inflight_limit)
    return Finding(
        detector="apiserver-throttle-storm",
        subject=short(agent),
        summary=(
            f"{rejected:,} of {sent:,} requests were rejected with 429 in {window.seconds:.0f} s, "
            f"{offender['rejected']:,} of them from {short(agent)}, which asked for {offender['load']:.0%} of the load."
        ),
        severity=severity(window, agent, sent, settings.critical_share),
        confidence=sure,
        confidence_reason=reason,
        start=window.start,
        end=window.end,
        impact=impact(agents, agent, settings.retry_after_seconds),
        evidence=evidence(requests, window, agents, agent),
        saving=saving(model, short(agent)),
        why="The server's limits on requests in flight were reached, so it rejected requests of all who share them.",
        refuted_by="A decision on the rejected requests, or a limit reached while this agent was silent.",
        remedies=remedies(requests, window, agent),
        verify=verify(window.rejected["source"][0], agent),
        stories=(37,),
    )


DETECTOR = Detector(
    id="apiserver-throttle-storm",
    title="kube-apiserver rejects requests because one sender asks for too much",
    needs_any=((AUDIT_REQUESTS,),),
    uses=(KLOG_LINES,),
    settings=Settings(),
    detect=detect,
    remedies=GENERAL,
    stories=(37,),
)
