"""What the filters of the page ask of a row: `KIND;RANK;NAMESPACES;FIRST;LAST`, each empty where it is not known.

KIND is `f` for a finding told in full, RANK that of its severity, namespaces stand apart by blanks, times are seconds
since 1970.
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.model import Change, Finding, Moment, Severity
from analyzer.render.escape import shown
from analyzer.render.format import seconds_of
from analyzer.render.touched import Touched

MOST_NAMESPACES = 20


def of_findings(findings: Sequence[Finding], ids: dict[str, str], spaces: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """The facet of every finding by its number on the page; `spaces` are the namespaces that it touches."""
    out = {}
    for finding in findings:
        first, last = finding.start or finding.end, finding.end or finding.start
        span = (None, None) if first is None or last is None else (seconds_of(first), seconds_of(last))
        out[ids[finding.key]] = _facet("f", finding.severity.rank, spaces.get(ids[finding.key], ()), *span)
    return out


def of_row(row: Touched | Moment | Change, finding: str) -> str:
    """The facet of a row of a table; `finding` is that of the finding that a moment belongs to, else empty."""
    if isinstance(row, Touched):
        return _facet("", Severity(row.severity).rank, [row.namespace], *row.span)
    at = seconds_of(row.time)
    if isinstance(row, Change):
        return _facet("", None, [row.namespace], at, at)
    if not finding:
        return _facet("", None, [], at, at)
    _, rank, spaces, *_ = finding.split(";")
    return f";{rank};{spaces};{at:.0f};{at:.0f}"


def _facet(kind: str, rank: int | None, spaces: Sequence[str], first: float | None, last: float | None) -> str:
    times = ["" if time is None else f"{time:.0f}" for time in (first, last)]
    names = " ".join(shown(name, 80) for name in spaces[:MOST_NAMESPACES])
    return ";".join([kind, "" if rank is None else str(rank), names.replace(";", ""), *times])
