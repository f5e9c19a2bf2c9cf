"""Links between findings, changes and observations. Each rule needs a lag and something shared; none claims a cause."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from analyzer.model import Cause, CauseEnd, Change, Finding
from analyzer.story.observations import Observation

BEFORE = timedelta(minutes=30)
"""How long before an onset a change is still named (rule c9)."""

NEAR = timedelta(minutes=5)
"""A change that shares no name with a finding is named only this close before it."""

SLACK = timedelta(seconds=60)
"""One bin: how far an observation may lie outside a finding's window and still belong to it."""

MOST_CHANGES = 3
"""Changes named per finding, the related ones first."""

HOSTS_NAMED = 5


def causes(findings: Sequence[Finding], changes: Sequence[Change], seen: Sequence[Observation]) -> tuple[Cause, ...]:
    """Every link, oldest end first."""
    found = [*_preceded(findings, changes), *_kubelets_throttled(findings, seen)]
    return tuple(sorted(found, key=lambda link: (link.to.id, link.rule, link.lag_seconds, link.from_.id)))


def describe(change: Change) -> str:
    """A change in words: who did what to which object, and in which kind of source it was read."""
    name = change.name or "(name not logged)"
    place = f"{change.namespace}/{name}" if change.namespace else name
    return f"{change.actor} {_past(change.verb)} {change.resource} {place} (audit log)"


def _preceded(findings: Sequence[Finding], changes: Sequence[Change]) -> Iterator[Cause]:
    for finding in findings:
        if finding.start is None:
            continue
        before = [c for c in changes if timedelta(0) <= finding.start - c.time <= BEFORE and c.actor != finding.subject]
        named = [c for c in before if related(finding, c)]
        others = [c for c in before if c not in named and finding.start - c.time <= NEAR]
        for change in [*reversed(named), *reversed(others)][:MOST_CHANGES]:
            lag = (finding.start - change.time).total_seconds()
            shared = " and shares a name with it" if change in named else ""
            yield Cause(
                rule="c9",
                from_=CauseEnd(kind="change", id=f"{change.source}:{change.number}", text=describe(change)),
                to=CauseEnd(kind="finding", id=finding.key, text=finding.summary),
                lag_seconds=round(lag, 3),
                verdict=f"The change preceded the onset by {_minutes(lag)}{shared}; that does not prove it led to it.",
            )


def related(finding: Finding, change: Change) -> bool:
    """Whether the changed object's name or namespace stands as a word in the finding's subject or summary."""
    words = f"{finding.subject} {finding.summary}".lower()
    return any(
        re.search(rf"(?<![\w-]){re.escape(name.lower())}(?![\w-])", words)
        for name in (change.name, change.namespace)
        if len(name) > 3 and name not in {"default", "kube-system"}
    )


def _kubelets_throttled(findings: Sequence[Finding], seen: Sequence[Observation]) -> Iterator[Cause]:
    for finding in findings:
        if finding.detector != "apiserver-throttle-storm" or finding.start is None or finding.end is None:
            continue
        for kind in ("lease-errors", "node-status-errors", "server-throttling"):
            hit = [one for one in seen if one.kind == kind and _during(one, finding.start, finding.end)]
            if hit:
                yield _hit_by(finding, finding.start, hit)


def _during(one: Observation, start: datetime, end: datetime) -> bool:
    return one.last >= start and one.first <= end + SLACK


def _hit_by(finding: Finding, start: datetime, hit: Sequence[Observation]) -> Cause:
    first = hit[0]  # they are in order of time
    hosts = list(dict.fromkeys(one.host for one in hit))
    who = hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts ({', '.join(hosts[:HOSTS_NAMED])})"
    lines = sum(one.count for one in hit)
    return Cause(
        rule="c7",
        from_=CauseEnd(kind="finding", id=finding.key, text=finding.summary),
        to=CauseEnd(
            kind="observation",
            id=f"{first.source}:{first.number}",
            text=f"{who} {first.text}: {lines:,} {'line' if lines == 1 else 'lines'} (component log)",
        ),
        lag_seconds=round(max(0.0, (first.first - start).total_seconds()), 3),
        verdict=f"While the API server rejected requests, {who} {first.text}.",
    )


def _past(verb: str) -> str:
    return {
        "create": "created",
        "update": "updated",
        "patch": "patched",
        "delete": "deleted",
        "deletecollection": "deleted all of",
    }.get(verb, verb)


def _minutes(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
