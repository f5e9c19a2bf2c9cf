"""The last digits of fractions, which differ from run to run, are left out; all others stay."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from analyzer.model import (
    Column,
    Confidence,
    Evidence,
    EvidenceSeries,
    EvidenceTable,
    Figure,
    Finding,
    Saving,
    Severity,
)
from analyzer.pipeline.digits import steady
from tests.build import at


def _finding(value: float) -> Finding:
    saving = Saving(fix="f", observed=value, modelled=value, unit="seconds", assumption="", formula="")
    table = EvidenceTable(caption="t", columns=(Column(name="a"), Column(name="b")), rows=(("text", value), (None, 7)))
    series = EvidenceSeries(caption="s", unit="seconds", start=at(0), step_seconds=1, values=(value, 1.5))
    return Finding(
        detector="d",
        subject="s",
        summary="s",
        severity=Severity.LOW,
        confidence=Confidence.LOW,
        confidence_reason="",
        start=at(0),
        end=at(1),
        impact=(Figure(name="seconds", value=value, unit="seconds"),),
        evidence=Evidence(records=(), tables=(table,), series=(series,)),
        saving=saving,
        alternatives=(saving,),
    )


@pytest.mark.parametrize(("one", "other"), [(0.24120212437785885, 0.2412021243778585), (0.1 + 0.2, 0.3)])
def test_what_differs_in_the_last_digits_is_the_same(one: float, other: float) -> None:
    assert one != other
    assert steady(_finding(one)) == steady(_finding(other))


@pytest.mark.parametrize("value", [0.998232512345, 123456.654321, 10**17 + 1, 0, 1e-9, 123456789012.0])
def test_what_was_measured_stays(value: float) -> None:
    assert steady(_finding(value)) == _finding(value)


def test_a_fraction_stays_a_fraction_and_a_count_a_count() -> None:
    assert [type(steady(_finding(value)).impact[0].value) for value in (3.0, 3)] == [float, int]


def test_a_finding_without_saving_has_none() -> None:
    assert steady(replace(_finding(1.5), saving=None, alternatives=())).saving is None
