"""Numbers of a finding without the digits that say nothing, so that the same inputs give the same result.

What threads add up differs in its last digits from run to run: the order of adding shows, and so does where the numbers
happen to lie in memory. Measurements have no more than nine digits that count.
"""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from analyzer.model import Finding, Saving

DIGITS = 12
"""Significant digits that are kept: a double holds 15, and sums of millions are right to 13."""

Number = TypeVar("Number")


def steady(finding: Finding) -> Finding:
    """The finding with its fractions in so many digits; whole numbers stay."""
    evidence = finding.evidence
    tables = tuple(
        replace(table, rows=tuple(tuple(map(_kept, row)) for row in table.rows)) for table in evidence.tables
    )
    series = tuple(replace(one, values=tuple(map(_kept, one.values))) for one in evidence.series)
    return replace(
        finding,
        impact=tuple(replace(figure, value=_kept(figure.value)) for figure in finding.impact),
        evidence=replace(evidence, tables=tables, series=series),
        saving=None if finding.saving is None else _saving(finding.saving),
        alternatives=tuple(map(_saving, finding.alternatives)),
    )


def _saving(saving: Saving) -> Saving:
    return replace(saving, observed=_kept(saving.observed), modelled=_kept(saving.modelled))


def _kept(value: Number) -> Number:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value  # type: ignore[return-value]
