"""What a case is found guilty of is in its own evidence: without it nothing is found, and the ordinary day of another
cluster beside it changes nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from analyzer.model import Finding, Result
from analyzer.pipeline import RunOptions, investigate
from tests.cases import CAPTURES, CASES, result_of

GUILTY = [case for case in CASES if case != "outage" and result_of(case).findings]
"""`outage` holds the patterns of other cases over again, in an hour of its own."""

OF_ALL = {"queries in the evidence", "quiet latency p50", "seconds above the quiet median"}
"""Figures that say what the evidence as a whole is like; the last two are of the requests outside the finding."""


def found(*cases: str, **more: object) -> Result:
    options = RunOptions(inputs=tuple(CAPTURES / case for case in cases), **more)  # type: ignore[arg-type]
    return investigate(options)


def told(finding: Finding) -> tuple[object, ...]:
    """What must not change; a count of nothing is left out, for without a kubelet's log some are not told at all."""
    figures = {figure.name: figure.value for figure in finding.impact if figure.name not in OF_ALL and figure.value}
    return finding.severity, finding.start, finding.end, figures


@pytest.mark.parametrize("case", GUILTY)
def test_thousands_of_rows_of_another_cluster_change_nothing(case: str) -> None:
    beside = found(case, "quiet").findings
    alone = {finding.key: told(finding) for finding in result_of(case).findings}
    # The other cluster's log may tell that two names are one node: then two findings are told as one, with their time.
    one = {key for finding in beside for key in (finding.key, *finding.merged) if finding.merged}
    assert one <= alone.keys()
    assert {finding.key: told(finding) for finding in beside if finding.key not in one} == {
        key: what for key, what in alone.items() if key not in one
    }


@pytest.mark.parametrize("case", GUILTY)
def test_before_it_happened_nothing_is_found(case: str) -> None:
    starts = [finding.start for finding in result_of(case).findings if finding.start is not None]
    assert starts, "a finding without a time"
    # Events are written to the second.
    assert not found(case, end=min(starts) - timedelta(seconds=2)).findings
