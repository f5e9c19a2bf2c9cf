"""The terminal summary: ranked, complete, and unable to move the cursor."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from analyzer.model import Status, Story
from analyzer.render.text import WIDTH, render_text
from tests.render.reading import changed
from tests.render.sample import empty, many_findings, sample
from tests.render.sample_findings import HOSTILE, search_chain


def test_every_finding_is_told_in_the_order_of_its_rank() -> None:
    text = render_text(sample())
    places = [text.index(finding.key) for finding in sample().findings]
    assert places == sorted(places)
    assert "4 findings: 1 critical, 1 high, 1 medium, 1 low" in text


def test_all_of_204_findings_are_told() -> None:
    text = render_text(many_findings(200))
    assert all(finding.key in text for finding in many_findings(200).findings)


def test_a_finding_has_its_figures_first_records_fix_and_commands() -> None:
    text = render_text(sample())
    assert "  wasted queries               4,812 queries\n" in text
    assert "node3.pcap:48211  2026-03-14 09:25:00Z" in text
    assert "43 more" in text
    assert '          |         - {name: ndots, value: "1"}\n' in text
    assert f"    check   $ {search_chain().verify[0]}\n" in text


def test_checks_and_losses_are_told() -> None:
    text = render_text(sample())
    assert "Passed\n  - dns-backend-blackhole: no unanswered query" in text
    assert "Could not run\n  - exec-probe-timeout" in text
    assert "1,205 of 2,880,112 records skipped" in text


def test_no_finding_counts_the_checks_that_passed() -> None:
    quiet = tuple(run for run in sample().runs if run.status is not Status.FIRED)
    text = render_text(replace(sample(), runs=quiet, story=Story()))
    assert "No findings: 1 check ran and passed, 2 did not run." in text


def test_an_empty_result_is_a_short_text() -> None:
    assert render_text(empty()).startswith("Postmortem evidence\n===")


@pytest.mark.parametrize("payload", [*HOSTILE, "\n4 findings: 0 critical\n", "\r", "\x9b2J", "\u2066"])
def test_hostile_text_in_any_field_cannot_steer_the_terminal(payload: str) -> None:
    text = render_text(changed(sample(), lambda words: payload + words))
    assert all(char.isprintable() for line in text.split("\n") for char in line)
    assert "\n4 findings: 0 critical\n" not in text


def test_prose_is_wrapped_but_what_can_be_pasted_is_not() -> None:
    long = "word " * 60
    finding = replace(search_chain(), summary=long, verify=("tshark " + "x" * 200,))
    run = replace(sample().runs[0], findings=(finding,))
    lines = render_text(replace(sample(), runs=(run,), title="t", command="c")).splitlines()
    assert all(len(line) <= WIDTH for line in lines if "word" in line)
    assert f"    check   $ tshark {'x' * 200}" in lines


def test_the_same_result_gives_the_same_text() -> None:
    assert render_text(sample()) == render_text(sample())
