"""What the replay of a storm is told as: a table of all agents, and a saving."""

from __future__ import annotations

from analyzer.detectors.apiserver.apiserver_throttle_storm.replay import Replay
from analyzer.facts.audit_windows import short
from analyzer.model import Column, EvidenceTable, Saving


def without_each(models: dict[str, Replay], names: dict[str, str]) -> EvidenceTable:
    """The replays beside each other: whose absence would have made a difference."""
    return EvidenceTable(
        caption="The storm replayed without each of these agents, one at a time",
        columns=(
            Column(name="without"),
            Column(name="rejected requests left", unit="requests"),
            Column(name="most in flight", unit="requests"),
            Column(name="limit", unit="requests"),
        ),
        rows=tuple(
            (names[agent], model.modelled, round(model.peak, 3), round(model.limit, 3))
            for agent, model in models.items()
        ),
    )


def _shared(model: Replay) -> str:
    """Who is taken to share the limit."""
    if model.level:
        return f", level by level: these are of {short(model.level, 60)}, which rejected most"
    if model.estimated:
        return ", one for the whole server: the priority levels of these requests are not in the log"
    return ", one for the whole server"


def saving(model: Replay, agent: str) -> Saving:
    """The replay as a saving."""
    source = (
        "the limit is not in the log: it is taken as the most that was in flight in a second with rejections"
        if model.estimated
        else "the limit is as set"
    )
    return Saving(
        fix=f"no requests of {agent}",
        observed=model.observed,
        modelled=model.modelled,
        unit="rejected requests",
        assumption=(
            f"Without {agent} {model.verdict}; {source} ({model.limit:.3g}){_shared(model)}. Others would have sent "
            "the same requests, and those of theirs that were rejected would have taken the mean latency of their kind."
        ),
        formula="in flight = time that served requests spent in each second (Little's law); rejected "
        "requests of others count in those seconds only in which they alone would have filled the server as it was",
    )
