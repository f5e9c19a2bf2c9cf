"""Links between findings, changes and observations. Each rule needs a lag and something shared; none claims a cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from analyzer.model import Cause, Change, Finding, Offset
from analyzer.story import clocks
from analyzer.story.causes.figures import told_by_figures
from analyzer.story.causes.link import Link, joined, told
from analyzer.story.causes.objects import signs_of
from analyzer.story.causes.of_names import WITNESSES as OF_NAMES
from analyzer.story.causes.of_nodes import WITNESSES as OF_NODES
from analyzer.story.causes.of_pods import WITNESSES as OF_PODS
from analyzer.story.causes.preceded import preceded
from analyzer.story.causes.rules import RULES, Rule
from analyzer.story.causes.signs import Sign, observed
from analyzer.story.causes.witness import Witness
from analyzer.story.clusters import NOWHERE, Apart, apart
from analyzer.story.series import Get

__all__ = ["RULES", "WITNESSES", "Links", "Rule", "causes"]

WITNESSES: tuple[Witness, ...] = (*OF_NAMES, *OF_NODES, *OF_PODS)


class Links(Struct, frozen=True, kw_only=True):
    """Every link in words, oldest end first; those of rules between two ends, for who weighs findings; and the entities
    of each finding by its key."""

    told: tuple[Cause, ...] = ()
    met: tuple[Link, ...] = ()
    about: dict[str, frozenset[str]] = {}


def causes(
    findings: Sequence[Finding],
    changes: Sequence[Change],
    get: Get,
    offsets: Sequence[Offset] = (),
    homes: Apart = NOWHERE,
) -> Links:
    """Every link that a rule finds. `changes` are in order of time; an order that the clocks cannot tell is none, and
    between two clusters there is none (`homes`)."""
    signs = signs_of(findings, get)
    signs += told_by_figures(findings, get)
    signs += _observations(signs, get)
    inputs = {one.key: frozenset(record.source for record in one.evidence.records) for one in findings}
    met = {
        at: [
            link
            for link in joined(rule, signs)
            if (rule.together or _in_order(link, inputs, offsets)) and not apart(homes, *_ends(link, inputs))
        ]
        for at, rule in enumerate(RULES)
    }
    about = {sign.end.id: sign.keys for sign in signs if sign.is_finding}
    made = [
        *preceded(findings, changes, about, homes),
        *(one for at, rule in enumerate(RULES) for one in told(rule, met[at])),
    ]
    made.sort(key=lambda one: (one[0], one[1].rule, one[1].from_.id, one[1].to.id, one[1].to.text))
    return Links(
        told=tuple(cause for _, cause in made),
        met=tuple(link for links in met.values() for link in links),
        about=about,
    )


def _in_order(link: Link, inputs: Mapping[str, frozenset[str]], offsets: Sequence[Offset]) -> bool:
    """Whether some input of either end tells that one came first: below the spread of clocks nothing does."""
    first, then = _ends(link, inputs)
    seconds = link.lag.total_seconds()
    pairs = [(a, b) for a in first for b in then] if offsets else []
    return not pairs or any(clocks.ordered(offsets, a, b, seconds) for a, b in pairs)


def _ends(link: Link, inputs: Mapping[str, frozenset[str]]) -> tuple[frozenset[str], frozenset[str]]:
    """The inputs of both ends."""
    first, then = (inputs.get(sign.end.id, frozenset({sign.source})) for sign in (link.first, link.then))
    return first, then


def _observations(signs: Sequence[Sign], get: Get) -> list[Sign]:
    """What witnesses tell about entities of the findings that a rule could join to it: others are not read at all."""
    found: list[Sign] = []
    for witness in WITNESSES:
        wanted = {one for sign in signs for one in sign.keys if one.split(":", 1)[0] in _asked(witness.kind, sign.kind)}
        given = {need: frame for need in witness.needs if (frame := get(need)) is not None} if wanted else {}
        if given:
            found += observed(witness.kind, witness.where, witness.told(given), wanted)
    return found


def _asked(witness: str, finding: str) -> set[str]:
    """The kinds of entities by which some rule joins an observation of this kind and a finding of this detector."""
    return {
        kind
        for rule in RULES
        if (witness in rule.first and finding in rule.then) or (witness in rule.then and finding in rule.first)
        for kind in rule.shared
    }
