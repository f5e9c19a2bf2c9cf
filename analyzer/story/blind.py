"""What could not be concluded for want of a source: absent kinds, gaps in the time of the findings, policies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from analyzer.detector import Detector
from analyzer.facts.contract import Fact, behind
from analyzer.frames import AUDIT_EVENTS, Table
from analyzer.model import Collect, Confidence, Coverage, Finding, Run, Status
from analyzer.story.collecting import KINDS, Kind
from analyzer.story.edges import NEAR

NOT_OBSERVABLE = "not observable: "

MOST_GAPS = 3


def to_collect(
    detectors: Sequence[Detector[Any]], runs: Sequence[Run], coverage: Sequence[Coverage]
) -> tuple[Collect, ...]:
    """One row per kind of source whose absence, gap or policy left something open, the most needed first."""
    by_id = {detector.id: detector for detector in detectors}
    pairs = [(by_id[run.detector], run) for run in runs if run.detector in by_id]
    rows = {entry.table: entry.rows for entry in coverage}
    present = {table for kind in KINDS for table in kind.tables if table.name in rows}
    told = []
    for kind in KINDS:
        if any(rows.get(table.name) for table in kind.tables):
            why = [*_gaps(kind, runs, coverage), *_unseen(kind, pairs)]
        else:
            why = [*_skipped(kind, pairs, present), *_weaker(kind, pairs)]
        if why:
            told.append(Collect(source=kind.name, why=" ".join(why), command=kind.command))
    return tuple(told)


def _skipped(kind: Kind, pairs: Sequence[tuple[Detector[Any], Run]], present: set[Table]) -> Iterator[str]:
    """Checks that could have run with it; those that say that nothing here shows it count where they rest on it."""
    would = present | set(kind.tables)
    names = []
    for detector, run in pairs:
        if run.status is not Status.SKIPPED:
            continue
        rests = _behind(need for needs in detector.needs_any for need in needs) & set(kind.tables)
        if run.reason.startswith(NOT_OBSERVABLE):
            if rests:
                names.append(detector.id)
        elif rests and any(all(_met(need, would) for need in needs) for needs in detector.needs_any):
            names.append(detector.id)
    if names:
        yield f"None was given. It would let {_counted(names)} run: {', '.join(names)}."


def _counted(names: Sequence[str]) -> str:
    return "1 more check" if len(names) == 1 else f"{len(names)} more checks"


def _weaker(kind: Kind, pairs: Sequence[tuple[Detector[Any], Run]]) -> Iterator[str]:
    """Findings that are not certain and that it would tell more of."""
    keys = []
    for detector, run in pairs:
        unsure = [finding.key for finding in run.findings if finding.confidence is not Confidence.HIGH]
        needs = [*(need for needs in detector.needs_any for need in needs), *detector.uses]
        if unsure and _behind(needs) & set(kind.tables):
            keys += unsure
    if keys:
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        yield f"It could confirm or refute what is not certain: {', '.join(keys[:3])}{more}."


def _unseen(kind: Kind, pairs: Sequence[tuple[Detector[Any], Run]]) -> Iterator[str]:
    """Checks that an audit log cannot answer as its policy has it: what it leaves out, another policy would write."""
    names = [
        detector.id
        for detector, run in pairs
        if kind.tables[0] is AUDIT_EVENTS and run.reason.startswith(NOT_OBSERVABLE)
        if _behind(need for needs in detector.needs_any for need in needs) & set(kind.tables)
    ]
    if names:
        yield f"What its policy wrote could not answer {_counted(names)}: {', '.join(names)}."


def _gaps(kind: Kind, runs: Sequence[Run], coverage: Sequence[Coverage]) -> Iterator[str]:
    """Stretches without a record within the time of the findings, and where the source begins or ends inside it."""
    window = incident([finding for run in runs for finding in run.findings])
    if window is None:
        return
    names = {table.name for table in kind.tables}
    entries = [entry for entry in coverage if entry.table in names and entry.rows]
    gaps = sorted(
        {(g.start, g.end) for entry in entries for g in entry.gaps if g.start < window[1] and g.end > window[0]}
    )
    for start, end in gaps[:MOST_GAPS]:
        yield f"It holds nothing from {_clock(start)} to {_clock(end)}, within the time of the findings."
    if len(gaps) > MOST_GAPS:
        yield f"It has {len(gaps) - MOST_GAPS} more such gaps."
    firsts = [entry.first_time for entry in entries if entry.first_time is not None]
    lasts = [entry.last_time for entry in entries if entry.last_time is not None]
    if firsts and min(firsts) > window[0] + NEAR:
        yield f"It begins at {_clock(min(firsts))}, after the first sign at {_clock(window[0])}."
    if lasts and max(lasts) < window[1] - NEAR:
        yield f"It ends at {_clock(max(lasts))}, before the last sign at {_clock(window[1])}."


def incident(findings: Sequence[Finding]) -> tuple[datetime, datetime] | None:
    """From the first sign of any finding to the last; None where no finding has a time."""
    starts = [finding.start for finding in findings if finding.start is not None]
    ends = [finding.end for finding in findings if finding.end is not None]
    return (min(starts), max([*ends, *starts])) if starts else None


def _met(need: Table | Fact, tables: set[Table]) -> bool:
    """Whether a table is there, or a fact could be derived from those that are."""
    if isinstance(need, Table):
        return need in tables
    return any(all(_met(one, tables) for one in alternative) for alternative in need.needs_any)


def _behind(needs: Iterable[Table | Fact]) -> set[Table]:
    """All tables that these needs may rest on."""
    return {table for need in needs for table in behind(need)}


def _clock(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
