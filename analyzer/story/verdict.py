"""The sentences at the top of the page: what broke first, what followed, who suffered, how sure, what was not seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from analyzer.model import Cause, Confidence, Coverage, Finding, Run, Status
from analyzer.story.causes import Links

NAMED = 3
"""Workloads and nodes that are named, those of most findings first."""


def verdict(runs: Sequence[Run], coverage: Sequence[Coverage], links: Links) -> str:
    """The account in a few sentences, each of which says only what findings and links hold."""
    findings = [finding for run in runs for finding in run.findings]
    if not findings:
        return _nothing(runs, coverage)
    return " ".join(_sentences(findings, links)) + _unseen(runs, coverage)


def _nothing(runs: Sequence[Run], coverage: Sequence[Coverage]) -> str:
    looked = sum(run.status is Status.QUIET for run in runs)
    if not coverage:
        return "Nothing could be read, so nothing can be said."
    if not looked:
        return f"No check could run on these inputs.{_unseen(runs, coverage)}"
    return f"No known failure pattern was found by the {looked} checks that could run.{_unseen(runs, coverage)}"


def _sentences(findings: Sequence[Finding], links: Links) -> Iterator[str]:
    first = min((f for f in findings if f.start is not None), key=lambda f: (f.start, f.key), default=findings[0])
    worst = max(findings, key=lambda f: (f.severity.rank, f.confidence.rank))
    yield f"{len(findings)} findings were made." if len(findings) > 1 else "One failure pattern was found."
    if first.start is not None:
        yield f"The first sign is at {first.start:%Y-%m-%d %H:%M:%S} UTC: {first.summary}"
    if before := _before(first, links.told):
        yield before
    if worst is not first:
        yield f"The most severe{_later(first, worst)}: {worst.summary}"
    yield from _linked(links.told)
    if who := _suffered(findings, links):
        yield who
    yield _sure(findings)


def _later(first: Finding, worst: Finding) -> str:
    if first.start is None or worst.start is None:
        return ""
    seconds = (worst.start - first.start).total_seconds()
    if seconds < 1:
        return ""
    return f", {seconds:,.0f} s later" if seconds < 120 else f", {seconds / 60:,.0f} min later"


def _before(first: Finding, links: Sequence[Cause]) -> str:
    """The change that preceded the first sign and shares a name with it, if there is one."""
    named = [one for one in links if one.rule == "c9" and one.to.id == first.key and " a name with it" in one.verdict]
    if not named:
        return ""
    told, several, _ = named[0].from_.text.partition(" changes: ")  # each of them stands with the links
    return f"{named[0].lag_seconds:,.0f} s before it, {told}{' changes, named below' if several else ''}."


def _linked(links: Sequence[Cause]) -> Iterator[str]:
    met = [one for one in links if one.rule != "c9"]
    if len(met) == 1:
        yield f"A rule links two signs: {met[0].verdict}"
    elif met:
        yield f"{len(met)} links between sources tell what explains what."


def _suffered(findings: Sequence[Finding], links: Links) -> str:
    """The workloads and nodes that most findings are about."""
    seen: dict[str, Counter[str]] = {"workload": Counter(), "node": Counter()}
    for finding in findings:
        for one in links.about.get(finding.key, ()):
            kind, name = one.split(":", 1)
            if kind in seen:
                seen[kind][name] += 1
    parts = []
    for kind, counted in seen.items():
        names = [name for name, _ in sorted(counted.items(), key=lambda one: (-one[1], one[0]))]
        if names:
            more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
            parts.append(f"{kind}{'s' if len(names) > 1 else ''} {', '.join(names[:NAMED])}{more}")
    return f"It concerns {' and '.join(parts)}." if parts else ""


def _sure(findings: Sequence[Finding]) -> str:
    counted = Counter(finding.confidence for finding in findings)
    if len(findings) == 1:
        return f"Confidence is {findings[0].confidence.value}."
    told = [f"{level.value} for {counted[level]}" for level in reversed(Confidence) if counted[level]]
    return f"Confidence is {', '.join(told)}."


def _unseen(runs: Sequence[Run], coverage: Sequence[Coverage]) -> str:
    blind = sum(run.status in {Status.SKIPPED, Status.FAILED} for run in runs)
    holes = sum(bool(one.gaps) for one in coverage)
    told = f" {blind} of {len(runs)} checks could not run." if blind else ""
    has = "has" if holes == 1 else "have"
    told += f" {holes} of {len(coverage)} tables {has} holes in time." if holes else ""
    lacking = max((one.left_out for one in coverage), default=0)
    return f"{told} At least {lacking:,} messages are missing in logs by their own word." if lacking else told
