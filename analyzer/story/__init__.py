"""From findings to an account: what came first, what preceded it, who was busy, how it looked over time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from analyzer.facts.changes import CHANGES
from analyzer.model import (
    Caller,
    Change,
    Cluster,
    Coverage,
    Curve,
    Finding,
    Heat,
    InputReport,
    Moment,
    Offset,
    Run,
    Series,
    Story,
)
from analyzer.story import clocks, clusters
from analyzer.story.callers import callers
from analyzer.story.causes import causes
from analyzer.story.causes.preceded import MOST_CHANGES as NAMED
from analyzer.story.causes.preceded import describe, preceding
from analyzer.story.confidence import weighed
from analyzer.story.curves import curves
from analyzer.story.heats import heats
from analyzer.story.merge import merged
from analyzer.story.observations import Observation, observations
from analyzer.story.series import Get, charts
from analyzer.story.verdict import verdict

MOST_CHANGES = 200
"""Changes kept in a result; those before an onset are kept first."""

MOST_OBSERVATIONS = 60

ROUTINE_WRITES = 5
"""An object that one actor writes more often than this is being worked on by a loop, not changed."""

LEAD = timedelta(minutes=30)
"""The timeline begins this long before the first finding."""


class Drawn(Struct, frozen=True, kw_only=True):
    """All that the page draws whatever was found."""

    series: tuple[Series, ...]
    curves: tuple[Curve, ...]
    heats: tuple[Heat, ...]
    callers: tuple[Caller, ...]


class Told(Struct, frozen=True, kw_only=True):
    """All that the page tells beside findings, and the runs as the story leaves them: findings of several sources made
    one, each weighed with what others say."""

    runs: tuple[Run, ...]
    story: Story
    changes: tuple[Change, ...]
    offsets: tuple[Offset, ...]
    clusters: tuple[Cluster, ...]
    remarks: tuple[str, ...]


def draw(get: Get, coverage: tuple[Coverage, ...]) -> Drawn:
    """Charts and callers. Reads tables and facts through `get`; needs no finding."""
    return Drawn(series=charts(get, coverage), curves=curves(get), heats=heats(get, coverage), callers=callers(get))


def tell(
    get: Get,
    runs: Sequence[Run],
    coverage: tuple[Coverage, ...],
    offsets: tuple[Offset, ...] = (),
    inputs: Sequence[InputReport] = (),
) -> Told:
    """The story of one run. Reads tables and facts through `get`; judges nothing that no detector found."""
    several = clusters.clusters(get, inputs)
    homes = clusters.homes(several)
    runs = merged(runs, get, homes)
    changes, unsaid = _changes(get, [finding for run in runs for finding in run.findings])
    seen = observations(get)
    links = causes([finding for run in runs for finding in run.findings], changes, get, offsets, homes)
    runs = weighed(runs, links.met, coverage)
    findings = [finding for run in runs for finding in run.findings]
    before = [
        one
        for _, groups in preceding(findings, changes, links.about, homes)
        for group in groups
        for one in group.changes[:NAMED]
    ]
    linked = {f"{change.source}:{change.number}" for change in before}
    return Told(
        runs=runs,
        story=Story(
            verdict=verdict(runs, coverage, links),
            timeline=_timeline(findings, changes, linked, seen),
            causes=links.told,
        ),
        changes=tuple(changes),
        offsets=offsets,
        clusters=several,
        remarks=(
            *clusters.remark(several),
            *clocks.remarks(offsets),
            *((f"{unsaid:,} further changes are not listed.",) if unsaid else ()),
        ),
    )


def _changes(get: Get, findings: Sequence[Finding]) -> tuple[list[Change], int]:
    frame = get(CHANGES)
    if frame is None:
        return [], 0
    once = ["actor", "verb", "resource", "namespace", "name"]
    rows = (
        frame.filter(pl.col("time").is_not_null(), pl.len().over(once) <= ROUTINE_WRITES)
        .unique([*once, "details"], keep="first", maintain_order=True)
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
            details=row["details"] or "",
        )
        for row in rows.iter_rows(named=True)
    ]
    onsets = sorted(finding.start for finding in findings if finding.start is not None)
    # Those before an onset stand first; the sort is stable.
    ranked = sorted(every, key=lambda change: not _leads(change.time, onsets))
    kept = ranked[:MOST_CHANGES]
    return sorted(kept, key=lambda c: (c.time, c.source, c.number)), len(every) - len(kept)


def _leads(time: datetime, onsets: Sequence[datetime]) -> bool:
    """Whether an onset follows within LEAD."""
    at = bisect_left(onsets, time)
    return at < len(onsets) and onsets[at] - time <= LEAD


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
