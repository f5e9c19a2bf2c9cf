"""Rule c9: the changes before an onset, ranked by what they share with the finding and by how near they are."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from analyzer.model import Cause, CauseEnd, Change, Finding
from analyzer.story.clusters import NOWHERE, Apart, apart

BEFORE = timedelta(minutes=30)
"""How long before an onset a change is still named."""

NEAR = timedelta(minutes=5)
"""A change that shares no name with a finding is named only this close before it."""

MOST_CHANGES = 3
"""Changes of one account that a link names, the nearest first, and links per finding, the best related ones first."""

NAMES_EVERYTHING = {"default", "kube-system", "kube-public"}
"""Namespaces that half of a cluster shares: they relate nothing to anything."""

SHORTEST = 4
"""Letters of a name that is looked for: shorter ones are words too."""

OBJECT, NAMESPACE, NOTHING = 0, 1, 2
"""How a change is related to a finding: it is of an object of the finding, of its namespace, or of nothing of it."""

ITSELF = "The change is the first sign of the finding itself."

_SHARES = {OBJECT: "a name", NAMESPACE: "a namespace"}


class Group(Struct, frozen=True, kw_only=True):
    """Changes of one account with one relation to a finding, the nearest to its onset first."""

    relation: int
    changes: tuple[Change, ...]


def describe(change: Change) -> str:
    """A change in words: who did what to which object, and in which kind of source it was read."""
    return f"{change.actor} {_did(change)} (audit log)"


About = Mapping[str, frozenset[str]]
"""The entities of findings by their keys, as `objects.signs_of` names them."""


def preceding(
    findings: Sequence[Finding], changes: Sequence[Change], about: About, homes: Apart = NOWHERE
) -> Iterator[tuple[Finding, list[Group]]]:
    """The changes before each onset, one group per account and relation: the best related first, among equals the
    nearest. `changes` are in order of time, so that each finding looks at those of half an hour only, and not at those
    of another cluster (`homes`)."""
    times = [change.time for change in changes]
    for finding in findings:
        if finding.start is None:
            continue
        first, last = bisect_left(times, finding.start - BEFORE), bisect_right(times, finding.start)
        if first < last:
            own = frozenset(one.split(":", 1)[1] for one in about.get(finding.key, ()))
            inputs = {record.source for record in finding.evidence.records}
            near = [change for change in changes[first:last] if not apart(homes, inputs, [change.source])]
            yield finding, _groups(finding, near, own)


def _groups(finding: Finding, before: Sequence[Change], own: frozenset[str]) -> list[Group]:
    assert finding.start is not None
    words = _words(f"{finding.subject} {finding.summary}")
    groups: dict[tuple[int, str], list[Change]] = {}
    for change in reversed(before):
        place = f"{change.namespace}/{change.name}" if change.namespace else change.name
        relation = OBJECT if change.name and place in own else _relation(change, words)
        if change.actor != finding.subject and (relation < NOTHING or finding.start - change.time <= NEAR):
            groups.setdefault((relation, change.actor), []).append(change)
    ordered = sorted(groups.items(), key=lambda group: group[0][0])
    return [Group(relation=relation, changes=tuple(found)) for (relation, _), found in ordered[:MOST_CHANGES]]


def _words(text: str) -> frozenset[str]:
    """Names that stand in a text, whole and by what stands between their dots."""
    whole = re.findall(r"[\w-]+(?:\.[\w-]+)*", text.lower())
    return frozenset([*whole, *(part for one in whole for part in one.split("."))])


def _relation(change: Change, words: frozenset[str]) -> int:
    if _named(change.name, words):
        return OBJECT
    return NAMESPACE if _named(change.namespace, words) else NOTHING


def _named(name: str, words: frozenset[str]) -> bool:
    return len(name) >= SHORTEST and name not in NAMES_EVERYTHING and name.lower() in words


def preceded(
    findings: Sequence[Finding], changes: Sequence[Change], about: About, homes: Apart = NOWHERE
) -> Iterator[tuple[datetime, Cause]]:
    """One link for each group of changes before each onset, with the time of the nearest change."""
    for finding, groups in preceding(findings, changes, about, homes):
        for group in groups:
            lags = [(finding.start - change.time).total_seconds() for change in group.changes if finding.start]
            nearest = group.changes[0]
            yield (
                nearest.time,
                Cause(
                    rule="c9",
                    from_=CauseEnd(
                        kind="change", id=f"{nearest.source}:{nearest.number}", text=_together(group.changes)
                    ),
                    to=CauseEnd(kind="finding", id=finding.key, text=finding.summary),
                    lag_seconds=round(lags[0], 3),
                    verdict=ITSELF if _is_sign(finding, group.changes) else _verdict(lags, group.relation),
                ),
            )


def _is_sign(finding: Finding, changes: Sequence[Change]) -> bool:
    """Whether the one change is what the finding begins with: no change precedes itself."""
    first = changes[0]
    begins = len(changes) == 1 and first.time == finding.start
    return begins and any((one.source, one.number) == (first.source, first.number) for one in finding.evidence.records)


def _together(found: Sequence[Change]) -> str:
    """The changes of one account in one sentence: all are counted, the nearest are named."""
    if len(found) == 1:
        return describe(found[0])
    more = len(found) - MOST_CHANGES
    told = [*map(_did, found[:MOST_CHANGES]), *([f"and {more:,} more"] if more > 0 else [])]
    return f"{found[0].actor} made {len(found):,} changes: {' | '.join(told)} (audit log)"


def _verdict(lags: Sequence[float], relation: int) -> str:
    shared = _SHARES.get(relation)
    if len(lags) == 1:
        names = f" and shares {shared} with it" if shared else ""
        return f"The change preceded the onset by {_minutes(lags[0])}{names}; that does not prove it led to it."
    first, last = _minutes(lags[0]), _minutes(lags[-1])
    span = first if first == last else f"{first} to {last}"
    names = f" and share {shared} with it" if shared else ""
    return f"The {len(lags):,} changes preceded the onset by {span}{names}; that does not prove that they led to it."


def _did(change: Change) -> str:
    name = change.name or "(name not logged)"
    place = f"{change.namespace}/{name}" if change.namespace else name
    details = f": {change.details}" if change.details else ""
    return f"{_past(change.verb)} {change.resource} {place}{details}"


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
