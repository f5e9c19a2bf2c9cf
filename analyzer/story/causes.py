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
"""Changes of one account that a link names, the nearest first, and links per finding, the related ones first."""

HOSTS_NAMED = 5


def causes(findings: Sequence[Finding], changes: Sequence[Change], seen: Sequence[Observation]) -> tuple[Cause, ...]:
    """Every link, oldest end first."""
    found = [*_preceded(findings, changes), *_kubelets_throttled(findings, seen)]
    return tuple(sorted(found, key=lambda link: (link.to.id, link.rule, link.lag_seconds, link.from_.id)))


def describe(change: Change) -> str:
    """A change in words: who did what to which object, and in which kind of source it was read."""
    return f"{change.actor} {_did(change)} (audit log)"


def _did(change: Change) -> str:
    name = change.name or "(name not logged)"
    place = f"{change.namespace}/{name}" if change.namespace else name
    details = f": {change.details}" if change.details else ""
    return f"{_past(change.verb)} {change.resource} {place}{details}"


def preceding(finding: Finding, changes: Sequence[Change]) -> list[tuple[bool, list[Change]]]:
    """The changes before an onset, one group per account and relation: whether they share a name with the finding.

    The nearest change stands first, in its group and among groups; related groups go before others.
    """
    start = finding.start
    if start is None:
        return []
    groups: dict[tuple[bool, str], list[Change]] = {}
    for change in reversed(changes):
        if change.actor == finding.subject or not timedelta(0) <= start - change.time <= BEFORE:
            continue
        shared = related(finding, change)
        if shared or start - change.time <= NEAR:
            groups.setdefault((shared, change.actor), []).append(change)
    ordered = sorted(groups.items(), key=lambda group: not group[0][0])
    return [(shared, found) for (shared, _), found in ordered[:MOST_CHANGES]]


def _preceded(findings: Sequence[Finding], changes: Sequence[Change]) -> Iterator[Cause]:
    for finding in findings:
        for shared, found in preceding(finding, changes):
            lags = [(finding.start - change.time).total_seconds() for change in found if finding.start]
            yield Cause(
                rule="c9",
                from_=CauseEnd(kind="change", id=f"{found[0].source}:{found[0].number}", text=_together(found)),
                to=CauseEnd(kind="finding", id=finding.key, text=finding.summary),
                lag_seconds=round(lags[0], 3),
                verdict=_verdict(lags, shared=shared),
            )


def _together(found: Sequence[Change]) -> str:
    """The changes of one account in one sentence: all are counted, the nearest are named."""
    if len(found) == 1:
        return describe(found[0])
    more = len(found) - MOST_CHANGES
    told = [*map(_did, found[:MOST_CHANGES]), *([f"and {more:,} more"] if more > 0 else [])]
    return f"{found[0].actor} made {len(found):,} changes: {' | '.join(told)} (audit log)"


def _verdict(lags: Sequence[float], *, shared: bool) -> str:
    if len(lags) == 1:
        names = " and shares a name with it" if shared else ""
        return f"The change preceded the onset by {_minutes(lags[0])}{names}; that does not prove it led to it."
    first, last = _minutes(lags[0]), _minutes(lags[-1])
    span = first if first == last else f"{first} to {last}"
    names = " and share a name with it" if shared else ""
    return f"The {len(lags):,} changes preceded the onset by {span}{names}; that does not prove that they led to it."


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
