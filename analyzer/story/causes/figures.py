"""What a detector counted in another source than that of its finding: an observation about this finding alone."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analyzer.frames import COREDNS_QUERIES
from analyzer.model import CauseEnd, Figure, Finding
from analyzer.story.causes.signs import Sign, key
from analyzer.story.series import Get

FIGURES = {
    "lost before CoreDNS": ("not-in-log", "has no line of"),
    "lost on the way back": ("answered-in-log", "holds answers to"),
}
"""Figures that `facts.dns_witness` gives a finding: queries of a capture, looked for in the log by client, port, id,
name and type."""


def told_by_figures(findings: Sequence[Finding], get: Get) -> list[Sign]:
    """Observations about the findings that state such a figure, and not 0."""
    stated = [(one, figure) for one in findings for figure in one.impact if figure.name in FIGURES and figure.value]
    log = get(COREDNS_QUERIES) if stated else None
    # Rows kept in files are in no order: the first record of the first log stands for all of them.
    place = (pl.col("source").min(), pl.col("number").filter(pl.col("source") == pl.col("source").min()).min())
    first = [] if log is None else [row for row in log.select(place).collect().rows() if None not in row]
    return [_observed(one, figure, *first[0]) for one, figure in stated if first and one.start is not None]


def _observed(finding: Finding, figure: Figure, source: str, number: int) -> Sign:
    assert finding.start is not None
    kind, what = FIGURES[figure.name]
    return Sign(
        kind=kind,
        time=finding.start,
        until=finding.end or finding.start,
        keys=frozenset({key("finding", finding.key)}),
        end=CauseEnd(kind="observation", id=f"{source}:{number}", text=""),
        who="CoreDNS's log",
        what=f"{what} {figure.value:,} of the lost queries",
        source=source,
        where="CoreDNS log",
    )
