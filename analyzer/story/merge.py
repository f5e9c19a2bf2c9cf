"""One finding where several sources show the same: one detector, one pod or node under two names, one stretch of time.

The surer finding stays with its figures; what the other rests on is added to its evidence, and its key to `merged`.
Findings of different detectors are never merged: rules link them. Nor are those of two clusters: a node of one may be
called as a node of the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from analyzer.model import Evidence, Finding, Run, Side, Term
from analyzer.story.causes.objects import signs_of
from analyzer.story.clusters import NOWHERE, Apart, apart
from analyzer.story.confidence import HIGHEST, raised, sources
from analyzer.story.series import Get

SAME = {
    "cpu-throttle-hint": ("pod", "uid"),
    "log-silence": ("node",),
    "runtime-stall": ("node",),
    "slow-pod-start": ("node",),
    "kubelet-status-lag": ("node",),
    "kernel-audit-flood": ("node",),
}
"""Detectors that look at one thing through several sources, and the entity by which two findings are of one thing."""

MOST_RECORDS = 20
"""Records that one finding quotes."""


def merged(runs: Sequence[Run], get: Get, homes: Apart = NOWHERE) -> tuple[Run, ...]:
    """The runs with such findings made one. Findings of one subject stay apart: its detector has told them apart.

    `homes` is the cluster of each input of which one is known.
    """
    return tuple(_merged(run, get, homes) if run.detector in SAME and len(run.findings) > 1 else run for run in runs)


def _merged(run: Run, get: Get, homes: Apart) -> Run:
    own = {sign.end.id: sign for sign in signs_of(run.findings, get)}
    kept: list[Finding] = []
    read: list[frozenset[str]] = []  # of inputs of known clusters those that show it, or what is merged into it
    by_entity: dict[str, list[int]] = {}
    gone: dict[int, list[Finding]] = {}
    for finding in sorted(run.findings, key=lambda one: (-one.confidence.rank, -one.severity.rank, one.key)):
        keys = own[finding.key].keys if finding.key in own else ()
        entities = [one for one in keys if one.split(":", 1)[0] in SAME[run.detector]]
        met = {at for one in entities for at in by_entity.get(one, ()) if _one_thing(kept[at], finding)}
        inputs = frozenset(name for name in sources(finding) if name in homes)
        near = min((at for at in met if not apart(homes, read[at], inputs)), default=None)
        if near is not None:
            gone.setdefault(near, []).append(finding)
            read[near] |= inputs
            continue
        for one in entities:
            by_entity.setdefault(one, []).append(len(kept))
        kept.append(finding)
        read.append(inputs)
    whole = {one.key: _with(one, gone.get(at, ())) for at, one in enumerate(kept)}
    return replace(run, findings=tuple(whole[one.key] for one in run.findings if one.key in whole))


def _one_thing(one: Finding, other: Finding) -> bool:
    """Whether two findings of one entity overlap in time and are not of one subject."""
    if one.start is None or other.start is None or one.subject == other.subject:
        return False
    return one.start <= (other.end or other.start) and other.start <= (one.end or one.start)


def _with(finding: Finding, others: Sequence[Finding]) -> Finding:
    for other in others:
        finding = _both(finding, other)
    return finding


def _both(finding: Finding, other: Finding) -> Finding:
    how = other.variant or "another source"
    said = f"{how} shows the same: {other.summary}"
    tables = tuple(replace(table, caption=f"{table.caption} ({how})") for table in other.evidence.tables)
    lifts = (
        finding.confidence is not HIGHEST
        and not any(term.raised for term in finding.terms)
        and bool(sources(other) - sources(finding))
    )
    records = (*finding.evidence.records, *other.evidence.records)[:MOST_RECORDS]
    whole = replace(
        finding,
        severity=max(finding.severity, other.severity, key=lambda one: one.rank),
        start=min(one.start for one in (finding, other) if one.start),
        end=max(one.end for one in (finding, other) if one.end) if finding.end and other.end else finding.end,
        evidence=Evidence(
            records=records,
            tables=(*finding.evidence.tables, *tables),
            series=(*finding.evidence.series, *other.evidence.series),
        ),
        merged=(*finding.merged, other.key, *other.merged),
    )
    surer = raised(whole, said, "merge") if lifts else whole
    term = Term(side=Side.FOR, text=said, origin="merge", raised=lifts)
    return replace(surer, terms=(*finding.terms, term))
