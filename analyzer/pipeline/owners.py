"""Says whose the addresses are that findings are about: one step for all detectors, after they have judged.

A finding whose subject is an address that somebody is known to have had names him where the address is first mentioned,
and gets a table with the interval, the source of the knowledge and its confidence. The others stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl
from msgspec.structs import replace

from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.owner_names import label, within
from analyzer.model import Column, Confidence, EvidenceTable, Finding, Run
from analyzer.pipeline.mentions import is_address
from analyzer.pipeline.store import Store

MOST = 5
"""Owners of one address in one finding that are listed."""

_COLUMNS = (
    *(Column(name="owner"), Column(name="since"), Column(name="until")),
    *(Column(name="known from"), Column(name="confidence")),
)


def name_owners(runs: Sequence[Run], store: Store) -> tuple[Run, ...]:
    """The runs, their findings naming the owners of their subjects."""
    subjects = {finding.subject for run in runs for finding in run.findings if is_address(finding.subject)}
    if not subjects or (fact := store.get(ADDRESS_OWNERS)) is None:
        return tuple(runs)
    owners = fact.filter(pl.col("address").is_in(list(subjects))).collect()
    if owners.is_empty():
        return tuple(runs)
    named = []
    for run in runs:
        found = []
        for finding in run.findings:
            had = within(owners, finding.subject, finding.start, finding.end)
            found.append(_named(finding, had) if had.height else finding)
        named.append(replace(run, findings=tuple(found)))
    return tuple(named)


def _named(finding: Finding, had: pl.DataFrame) -> Finding:
    """The finding with its subject's owners: in the summary behind the address, and in a table."""
    summary = _said(finding.summary, finding.subject, had)
    if summary == finding.summary:
        return finding
    table = EvidenceTable(caption=f"Who had {finding.subject}", columns=_COLUMNS, rows=_rows(had))
    evidence = replace(finding.evidence, tables=(*finding.evidence.tables, table))
    return replace(finding, summary=summary, evidence=evidence)


def _said(summary: str, address: str, had: pl.DataFrame) -> str:
    """The summary with the owner behind the first mention of the address, in place of a namespace that stands there;
    the summary as it is where it says all that is known."""
    words = _words(had)
    mention = re.compile(rf"(?<![\w.:]){re.escape(address)}(?![\w:]|\.\w)( \(namespace [a-z0-9-]+\))?")
    met = mention.search(summary)
    if met is None:
        return f"{summary} {address} is {words}."
    if met[1] and had["kind"].eq("namespace").all():
        return summary
    return f"{summary[: met.start()]}{address} ({words}){summary[met.end() :]}"


def _words(had: pl.DataFrame) -> str:
    """Who it was in words; how sure that is, unless it is certain."""
    confidence = had["confidence"][0]
    doubt = "" if confidence == Confidence.HIGH else f", {confidence} confidence"
    if had["contradicted"].any():
        return f"claimed by {had.height} at once{doubt}"
    first = label(had.row(0, named=True))
    if had.height == 1:
        return f"{first}{doubt}"
    return f"{first}, then {label(had.row(1, named=True))}{' and others' if had.height > 2 else ''}{doubt}"


def _rows(had: pl.DataFrame) -> tuple[tuple[str, ...], ...]:
    made = []
    for row in had.head(MOST).iter_rows(named=True):
        since, until = (f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "" for at in (row["since"], row["until"]))
        confidence = f"{row['confidence']}, contradicted by others" if row["contradicted"] else row["confidence"]
        made.append((label(row), since or "not told", until or "not told", row["known_from"], confidence))
    if had.height > MOST:
        made.append((f"{had.height - MOST} more", "", "", "", ""))
    return tuple(made)
