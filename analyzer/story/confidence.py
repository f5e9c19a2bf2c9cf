"""How sure a finding is once everything was read: every term one by one, and the one place where confidence rises.

A detector judges what it was given. A rule between two sources that was met is more than that: two weak signs that
agree in entity and time. Such rules raise the finding by one level, whatever their number, and never above high; one
that rests on the inputs of the finding itself raises nothing, for the detector has weighed those.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from analyzer.model import Confidence, Coverage, Finding, Run, Side, Term
from analyzer.story.causes.link import Link, described
from analyzer.story.causes.rules import Rule
from analyzer.story.causes.signs import Sign

MOST_TERMS = 12
"""Terms of one finding."""

HIGHEST = Confidence.HIGH
MOST_UNSEEN = 3

CONTRADICTED = "contradicted by others"
"""What the pipeline writes beside an owner of an address whom another source contradicts."""


def weighed(runs: Sequence[Run], met: Sequence[Link], coverage: Sequence[Coverage]) -> tuple[Run, ...]:
    """The runs, each finding with its terms, and one level surer where a rule was met that says so."""
    findings = {finding.key: finding for run in runs for finding in run.findings}
    by_end: dict[str, list[Link]] = {}
    for link in met:
        for end in {link.first.end.id, link.then.end.id} & findings.keys():
            by_end.setdefault(end, []).append(link)
    return tuple(
        replace(
            run,
            findings=tuple(_weighed(one, by_end.get(one.key, ()), findings, coverage) for one in run.findings),
        )
        for run in runs
    )


def raised(finding: Finding, why: str, origin: str) -> Finding:
    """The finding one level surer, which its reason says; as it is where it is high already."""
    if finding.confidence is HIGHEST:
        return finding
    level = list(Confidence)[finding.confidence.rank + 1]
    by = "another source" if origin == "merge" else f"rule {origin}"
    reason = f"{finding.confidence_reason}; raised from {finding.confidence.value} to {level.value} by {by}: {why}"
    return replace(finding, confidence=level, confidence_reason=reason)


def sources(finding: Finding) -> set[str]:
    """The inputs that its quoted records were read from."""
    return {record.source for record in finding.evidence.records}


def _weighed(
    finding: Finding, links: Sequence[Link], findings: dict[str, Finding], coverage: Sequence[Coverage]
) -> Finding:
    terms = [Term(side=Side.FOR, text=part, origin="detector") for part in _parts(finding.confidence_reason)]
    terms += finding.terms
    surer = finding
    for rule, end, others in _by_rule(links, finding.key):
        elsewhere = [one for one in others if _rests_elsewhere(one, finding, findings)]
        if end in rule.raises and elsewhere:
            why = described(elsewhere)
            lifts = surer is finding and finding.confidence is not HIGHEST and not any(one.raised for one in terms)
            terms.append(Term(side=Side.FOR, text=why, origin=rule.id, raised=lifts))
            surer = raised(finding, why, rule.id) if lifts else surer
        elif end in rule.against:
            terms.append(Term(side=Side.AGAINST, text=described(others), origin=rule.id))
    terms += [Term(side=Side.AGAINST, text=text, origin="inputs") for text in _unseen(finding, coverage)]
    terms = list(dict.fromkeys(terms))[:MOST_TERMS]
    if finding.refuted_by:
        terms.append(Term(side=Side.REFUTES, text=finding.refuted_by, origin="detector"))
    return replace(surer, terms=tuple(terms))


def _parts(reason: str) -> list[str]:
    """The terms of a detector's reason: it joins them by semicolons. What raised it is a term of its own."""
    return [part for part in reason.split("; raised from ", 1)[0].split("; ") if part]


def _by_rule(links: Sequence[Link], key: str) -> list[tuple[Rule, str, list[Sign]]]:
    """The rules that met at a finding, at which end it stands, and the other ends of one kind, the nearest first."""
    groups: dict[tuple[str, str, str], tuple[Rule, str, list[Sign]]] = {}
    for link in sorted(links, key=lambda one: (one.rule.id, one.lag, one.first.end.id, one.then.end.id)):
        end, other = ("first", link.then) if link.first.end.id == key else ("then", link.first)
        groups.setdefault((link.rule.id, end, other.kind), (link.rule, end, []))[2].append(other)
    return list(groups.values())


def _rests_elsewhere(other: Sign, finding: Finding, findings: dict[str, Finding]) -> bool:
    """Whether the other end was read in an input that the finding quotes nothing of."""
    theirs = sources(findings[other.end.id]) if other.is_finding else {other.source}
    return bool(theirs - sources(finding))


def _unseen(finding: Finding, coverage: Sequence[Coverage]) -> list[str]:
    """What makes the inputs of the finding themselves doubtful."""
    own = sources(finding)
    holes = [(one.table, gap) for one in coverage if own & set(one.sources) for gap in one.gaps]
    told = [
        f"{table} holds nothing from {gap.start:%H:%M:%S} to {gap.end:%H:%M:%S} UTC, within the window"
        for table, gap in holes
        if _overlap(finding, gap.start, gap.end)
    ]
    cells = (cell for table in finding.evidence.tables for row in table.rows for cell in row)
    if any(isinstance(cell, str) and CONTRADICTED in cell for cell in cells):
        told.append("several are told to have had the address in the window")
    return told[:MOST_UNSEEN]


def _overlap(finding: Finding, start: datetime, end: datetime) -> bool:
    if finding.start is None:
        return False
    return start < (finding.end or finding.start) and finding.start < end
