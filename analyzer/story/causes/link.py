"""Joins ends by rules: for each entity one sorted list of times, and one look into it for each later end."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from analyzer.model import Cause, CauseEnd
from analyzer.story.causes.rules import Rule
from analyzer.story.causes.signs import Sign

NAMED = 5
"""Subjects and entities that one sentence names."""

LETTERS = 120
"""Of a name in a sentence: evidence may hold names of any length."""

MOST_LINKS = 5
"""Links of one rule that one finding is the end of, the nearest; the others are counted in no sentence."""


class Link(Struct, frozen=True, kw_only=True):
    """Two ends that a rule joins, with the entity that both are about."""

    rule: Rule
    first: Sign
    then: Sign
    entity: str

    @property
    def lag(self) -> timedelta:
        return max(timedelta(0), self.then.time - self.first.time)


class _Lane:
    """The first ends of one entity, by their beginning; with the one of those so far that lasts longest."""

    def __init__(self, signs: Sequence[Sign]) -> None:
        self.signs = sorted(signs, key=lambda one: (one.time, one.end.id))
        self._times = [one.time for one in self.signs]
        self._longest: list[Sign] = []
        for sign in self.signs:
            last = self._longest[-1] if self._longest else sign
            self._longest.append(sign if sign.until >= last.until else last)

    def near(self, begun: datetime, lasting: datetime) -> Sign | None:
        """The last that began up to `begun`, if it or else another of these lasted until `lasting`."""
        at = bisect_right(self._times, begun) - 1
        if at < 0:
            return None
        for found in (self.signs[at], self._longest[at]):
            if found.until >= lasting:
                return found
        return None


def joined(rule: Rule, signs: Sequence[Sign]) -> list[Link]:
    """Every later end with the nearest earlier one for each of the entities that they share; one link for each pair."""
    lanes: dict[str, list[Sign]] = {}
    for sign in signs:
        if sign.kind in rule.first:
            for one in _shared(sign, rule):
                lanes.setdefault(one, []).append(sign)
    ready = {one: _Lane(found) for one, found in lanes.items()}
    links: dict[tuple[str, str], Link] = {}
    for sign in signs:
        if sign.kind not in rule.then:
            continue
        for one in sorted(_shared(sign, rule)):
            if one in ready:
                begun = sign.until + rule.within if rule.together else sign.time
                found = ready[one].near(begun, sign.time - rule.within)
                if found is not None and found.end.id != sign.end.id:
                    links.setdefault((found.end.id, sign.end.id), Link(rule=rule, first=found, then=sign, entity=one))
    return list(links.values())


def _shared(sign: Sign, rule: Rule) -> list[str]:
    return [one for one in sign.keys if one.split(":", 1)[0] in rule.shared]


def told(rule: Rule, links: Iterable[Link]) -> list[tuple[datetime, Cause]]:
    """The links in words, each with the time of its earliest end: those between findings one by one, observations about
    one finding in one sentence."""
    groups: dict[tuple[str, str, bool], list[Link]] = {}
    for link in links:
        pair = link.first.is_finding and link.then.is_finding
        anchor, other = (link.first, link.then) if link.first.is_finding and not pair else (link.then, link.first)
        groups.setdefault((anchor.end.id, other.kind, pair), []).append(link)
    made: list[tuple[datetime, Cause]] = []
    for (_, _, pair), found in groups.items():
        found.sort(key=lambda one: (one.lag, one.first.end.id, one.then.end.id))
        parts = [[one] for one in found[:MOST_LINKS]] if pair else [found]
        made += [(min(one.first.time for one in part), _cause(rule, part)) for part in parts]
    return made


def _cause(rule: Rule, links: Sequence[Link]) -> Cause:
    nearest = links[0]
    entities = list(dict.fromkeys(one.entity.split(":", 1)[1] for one in links))
    words = {"entity": _listed(entities, "others"), "lag": _duration(nearest.lag.total_seconds())}
    return Cause(
        rule=rule.id,
        from_=_end([one.first for one in links]),
        to=_end([one.then for one in links]),
        lag_seconds=round(nearest.lag.total_seconds(), 3),
        verdict=rule.verdict.format(**words),
    )


def _end(signs: Sequence[Sign]) -> CauseEnd:
    """One end of the sentence: the finding, or all observations of one kind."""
    if signs[0].is_finding:
        return signs[0].end
    first = min(signs, key=lambda one: (one.time, one.end.id))
    return CauseEnd(kind="observation", id=first.end.id, text=described(signs))


def described(signs: Sequence[Sign]) -> str:
    """Ends of one kind in words: the summary of the finding, or observations with how many records tell of them."""
    first = signs[0]
    if first.is_finding:
        return first.end.text
    every = list({one.end.id: one for one in signs}.values())
    subjects = list(dict.fromkeys(one.who for one in every))
    predicates = list(dict.fromkeys(one.what for one in every))
    records = sum(one.count for one in every)
    source = f" ({first.where})" if first.where else ""
    count = f": {records:,} records" if records > 1 else ""
    what = " or ".join(predicates[:3])
    what = f"were {what[4:]}" if len(subjects) > 1 and what.startswith("was ") else what
    return f"{_listed(subjects, 'others')} {what}{count}{source}"


def _listed(names: Sequence[str], rest: str) -> str:
    names = [name if len(name) <= LETTERS else f"{name[:LETTERS]}…" for name in names]
    if len(names) <= NAMED:
        return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED:,} {rest}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
