"""Each committed case: what the recording script counted is what the tool finds, and the committed report shows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from analyzer.model import Result, Status
from analyzer.story.causes import RULES
from tests.cases import CAPTURES, CASES, REPORTS, as_html, as_json, committed, result_of

EVERY_CASE = pytest.mark.parametrize("case", CASES)

SECONDS = 0.002
"""Relative tolerance of times: what a script adds up in nanoseconds is read back in microseconds."""


def truth(case: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((CAPTURES / case / "truth.json").read_text())
    return told


@EVERY_CASE
def test_finds_exactly_what_is_true(case: str) -> None:
    assert {finding.key for finding in result_of(case).findings} == set(truth(case)["findings"])


@EVERY_CASE
def test_every_figure_is_what_the_script_counted(case: str) -> None:
    for finding in result_of(case).findings:
        for name, counted in truth(case)["findings"][finding.key].items():
            value = finding.figure(name)
            if isinstance(counted, float):
                assert value == pytest.approx(counted, rel=SECONDS), f"{finding.key}: {name}"
            else:
                assert value == counted, f"{finding.key}: {name}"


@EVERY_CASE
def test_every_record_is_read_and_every_detector_answers(case: str) -> None:
    result = result_of(case)
    assert [run.detector for run in result.runs if run.status is Status.FAILED] == []
    for report in result.inputs:
        assert report.records == report.used + report.skipped + report.incomplete_tail
        lost = [reason.reason for reason in report.skipped_reasons if reason.reason != "not-a-record"]
        assert lost == [], report.path


@EVERY_CASE
def test_the_committed_result_is_what_the_tool_says_today(case: str) -> None:
    like = committed(case)
    assert as_json(result_of(case), like) == (REPORTS / f"{case}.json").read_text()
    assert as_html(result_of(case), like) == (REPORTS / f"{case}.html").read_text()


LINKED = [case for case in CASES if "links" in truth(case)]


def drawn(result: Result) -> list[list[str]]:
    """Links of cause rules: rule, first and second end, a finding by its key."""
    ends = [(one.rule, one.from_, one.to) for one in result.story.causes if one.rule != "c9"]
    return sorted([rule, *(end.id if end.kind == "finding" else end.kind for end in pair)] for rule, *pair in ends)


@pytest.mark.parametrize("case", LINKED)
def test_draws_exactly_the_links_that_are_true(case: str) -> None:
    assert drawn(result_of(case)) == truth(case)["links"]


@pytest.mark.parametrize("rule", sorted({"c9", *(rule.id for rule in RULES)}))
def test_every_cause_rule_has_a_case_that_draws_it(rule: str) -> None:
    told = (case for case in CASES if (REPORTS / f"{case}.json").is_file())
    assert any(one.rule == rule for case in told for one in committed(case).story.causes), rule


def test_there_is_a_case_that_fires_for_every_detector_and_one_that_stays_quiet() -> None:
    fired = {finding.detector for case in CASES for finding in result_of(case).findings}
    every = {run.detector for run in result_of(CASES[0]).runs}
    assert fired == every
    assert not result_of("quiet").findings
