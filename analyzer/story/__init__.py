"""From findings to an account: what came first, what preceded it, who was busy, how it looked over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl
from msgspec import Struct

from analyzer.facts.changes import CHANGES
from analyzer.model import Caller, Change, Coverage, Finding, Moment, Offset, Run, Series, Status, Story, Talker
from analyzer.story.callers import callers
from analyzer.story.causes import causes, describe
from analyzer.story.observations import Observation, observations
from analyzer.story.series import Get, charts
from analyzer.story.talkers import talkers

MOST_CHANGES = 200
"""Changes kept in a result; those before an onset are kept first."""

MOST_OBSERVATIONS = 60

ROUTINE_WRITES = 5
"""An object that one actor writes more often than this is being worked on by a loop, not changed."""

LEAD = timedelta(minutes=30)
"""The timeline begins this long before the first finding."""


class Told(Struct, frozen=True, kw_only=True):
    """All that the page draws beside findings."""

    story: Story
    series: tuple[Series, ...]
    talkers: tuple[Talker, ...]
    callers: tuple[Caller, ...]
    changes: tuple[Change, ...]
    offsets: tuple[Offset, ...]
    remarks: tuple[str, ...]


def tell(get: Get, runs: Sequence[Run], coverage: tuple[Coverage, ...]) -> Told:
    """The story of one run. Reads tables and facts through `get`; judges nothing that no detector found."""
    findings = [finding for run in runs for finding in run.findings]
    changes, unsaid = _changes(get, findings)
    seen = observations(get)
    links = causes(findings, changes, seen)
    linked = {link.from_.id for link in links if link.from_.kind == "change"}
    return Told(
        story=Story(
            verdict=verdict(runs, coverage),
            timeline=_timeline(findings, changes, linked, seen),
            causes=links,
        ),
        series=charts(get, coverage),
        talkers=talkers(get),
        callers=callers(get),
        changes=tuple(changes),
        offsets=(),
        remarks=(f"{unsaid:,} further changes are not listed.",) if unsaid else (),
    )


def verdict(runs: Sequence[Run], coverage: Sequence[Coverage]) -> str:
    """One sentence for the top of the page."""
    findings = [finding for run in runs for finding in run.findings]
    looked = sum(run.status is Status.QUIET for run in runs)
    blind = sum(run.status in {Status.SKIPPED, Status.FAILED} for run in runs)
    limits = f" {blind} of {len(runs)} checks could not run." if blind else ""
    if not findings:
        if not coverage:
            return "Nothing could be read, so nothing can be said."
        if not looked:
            return f"No check could run on these inputs.{limits}"
        return f"No known failure pattern was found by the {looked} checks that could run.{limits}"
    first = min((f for f in findings if f.start is not None), key=lambda f: (f.start, f.key), default=findings[0])
    worst = max(findings, key=lambda f: (f.severity.rank, f.confidence.rank))
    count = "One failure pattern was" if len(findings) == 1 else f"{len(findings)} findings were"
    begins = f" The first sign is at {first.start:%Y-%m-%d %H:%M:%S} UTC: {first.summary}" if first.start else ""
    heaviest = "" if worst is first else f" The most severe: {worst.summary}"
    return f"{count} made.{begins}{heaviest}{limits}" if len(findings) > 1 else f"{count} found.{begins}{limits}"


def _changes(get: Get, findings: Sequence[Finding]) -> tuple[list[Change], int]:
    frame = get(CHANGES)
    if frame is None:
        return [], 0
    once = ["actor", "verb", "resource", "namespace", "name"]
    rows = (
        frame.filter(pl.col("time").is_not_null(), pl.len().over(once) <= ROUTINE_WRITES)
        .unique(once, keep="first", maintain_order=True)
        .collect()
    )
    every = [
        Change(
            time=row["time"],
            actor=row["actor"] or "(unknown)",
            verb=row["verb"],
            resource=row["resource"],
            namespace=row["namespace"] or "",
            name=row["name"] or "",
            source=row["source"],
            number=row["number"],
        )
        for row in rows.iter_rows(named=True)
    ]
    onsets = [finding.start for finding in findings if finding.start is not None]
    near = [c for c in every if any(timedelta(0) <= onset - c.time <= LEAD for onset in onsets)]
    kept = (near + [c for c in every if c not in near])[:MOST_CHANGES] if len(every) > MOST_CHANGES else every
    return sorted(kept, key=lambda c: (c.time, c.source, c.number)), len(every) - len(kept)


def _timeline(
    findings: Sequence[Finding], changes: Sequence[Change], linked: set[str], seen: Sequence[Observation]
) -> tuple[Moment, ...]:
    moments = []
    for finding in findings:
        if finding.start is not None:
            moments.append(Moment(time=finding.start, text=finding.summary, kind="finding-start", finding=finding.key))
        if finding.end is not None and finding.end != finding.start:
            text = f"Last sign of {finding.detector} by {finding.subject}."
            moments.append(Moment(time=finding.end, text=text, kind="finding-end", finding=finding.key))
    for change in changes:
        if f"{change.source}:{change.number}" in linked:
            text = f"{describe(change)}."
            moments.append(
                Moment(time=change.time, text=text, kind="change", source=change.source, number=change.number)
            )
    for one in seen[:MOST_OBSERVATIONS]:
        more = f": first of {one.count:,} lines until {one.last:%H:%M:%S}" if one.count > 1 else ""
        text = f"{one.host} {one.text}{more}."
        moments.append(Moment(time=one.first, text=text, kind="observation", source=one.source, number=one.number))
    return tuple(sorted(moments, key=lambda m: (m.time, m.kind, m.source, m.number, m.finding, m.text)))
