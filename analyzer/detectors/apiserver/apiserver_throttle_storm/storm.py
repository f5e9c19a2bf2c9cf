"""One storm put together: a finding for each of its offenders."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from msgspec import Struct

from analyzer.detectors.apiserver.apiserver_throttle_storm import heartbeats, levels, retries
from analyzer.detectors.apiserver.apiserver_throttle_storm.evidence import ROWS, evidence, impact
from analyzer.detectors.apiserver.apiserver_throttle_storm.flowschema import flow_api
from analyzer.detectors.apiserver.apiserver_throttle_storm.judge import confidence, severity, told_by_clients
from analyzer.detectors.apiserver.apiserver_throttle_storm.load import Window, offenders
from analyzer.detectors.apiserver.apiserver_throttle_storm.observable import Sight
from analyzer.detectors.apiserver.apiserver_throttle_storm.remedy import remedies, verify
from analyzer.detectors.apiserver.apiserver_throttle_storm.replay import replays
from analyzer.detectors.apiserver.apiserver_throttle_storm.saving import saving, without_each
from analyzer.detectors.apiserver.apiserver_throttle_storm.thresholds import Settings
from analyzer.facts.audit_windows import short
from analyzer.facts.contract import Frames
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import KLOG_LINES
from analyzer.model import Finding


class Known(Struct, frozen=True):
    """What the whole log tells, found once for all storms: of it, of priority levels, of clients, of the API."""

    seen: Sight
    levels: pl.DataFrame
    told: pl.DataFrame
    api: tuple[str, bool]
    settings: Settings


def known(frames: Frames, seen: Sight, settings: Settings) -> Known:
    return Known(
        seen,
        levels.logged(frames),
        told_by_clients(frames.get(KLOG_LINES)),
        flow_api(frames[AUDIT_REQUESTS]),
        settings,
    )


def findings(requests: pl.LazyFrame, window: Window, agents: pl.DataFrame, log: Known) -> Iterator[Finding]:
    """The findings of one window, from the requests near it. `agents` are those of `by_agent`."""
    settings = log.settings
    accused = offenders(agents, settings.offender_share)
    heavy = agents["agent"].head(ROWS).to_list()
    both = list(dict.fromkeys([*heavy, *(one["agent"] for one in accused)]))
    models = replays(requests, window, both, settings.inflight_limit, log.levels)
    again = retries.retries(requests, window, settings.retry_within_seconds, settings.retry_after_seconds)
    names = {agent: short(agent) for agent in agents["agent"].to_list()}
    replayed = without_each({agent: models[agent] for agent in heavy}, names)
    rejected, sent = int(agents["rejected"].sum()), int(agents["requests"].sum())
    for offender in accused:
        agent = offender["agent"]
        hit = heartbeats.heartbeats(requests, window, agent)
        sure, reason = confidence(offender["load"], settings.offender_share, log.told, window, log.seen)
        more = (
            replayed,
            *heartbeats.table(hit),
            levels.table(levels.by_level(requests, window, agent, log.levels)),
            *retries.table(again, names),
        )
        yield Finding(
            detector="apiserver-throttle-storm",
            subject=short(agent),
            summary=(
                f"{rejected:,} of {sent:,} requests were rejected with 429 in {window.seconds:.0f} s, "
                f"{'all' if offender['rejected'] == rejected else format(offender['rejected'], ',')} of them from "
                f"{short(agent)}, which asked for {offender['load']:.0%} of the load."
            ),
            severity=severity(window, agent, sent, settings.critical_share, hit.over),
            confidence=sure,
            confidence_reason=reason,
            start=window.start,
            end=window.end,
            impact=impact(
                agents, agent, settings.retry_after_seconds, (*retries.figures(again), *heartbeats.figures(hit))
            ),
            evidence=evidence(requests, window, agents, agent, more),
            saving=saving(models[agent], short(agent)),
            why="The server's limits on requests in flight were reached, so it rejected requests of all who share "
            "them.",
            refuted_by="A decision on the rejected requests, or a limit reached while this agent was silent.",
            remedies=remedies(requests, window, agent, log.api),
            verify=verify(window.rejected["source"][0], agent),
            stories=(37,),
        )
