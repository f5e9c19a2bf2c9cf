"""The sentences at the top: what broke first, what followed, who suffered, how sure, what was not seen."""

from __future__ import annotations

from msgspec.structs import replace

from analyzer.frames import KERNEL_MESSAGES
from analyzer.model import Confidence, Coverage, Gap, Severity
from tests.build import at
from tests.story.chains import START, finding, one
from tests.story.test_confidence import story

SLOW = finding("slow-pod-start", "node-1", node="node-1.internal", pod="shop/web-7d9f8c6b5d-x2x4z")


def test_one_finding_with_who_suffered_and_how_sure() -> None:
    assert story(SLOW).story.verdict == (
        "One failure pattern was found. The first sign is at 2026-03-14 09:16:40 UTC: node-1 is in trouble. It "
        "concerns workload shop/web and node node-1. Confidence is low."
    )


def test_what_a_single_link_says_stands_in_it() -> None:
    stall = one(KERNEL_MESSAGES, START + 10, kind="hung_task", host="node-1")
    assert (
        "A rule links two signs: The node itself stood still at the time (node-1)"
        in story(SLOW, given=stall).story.verdict
    )


def test_several_findings_are_counted_by_confidence_and_the_worst_is_named() -> None:
    worse = replace(
        finding("replica-collapse", "shop/api"),
        start=at(START + 9),
        severity=Severity.CRITICAL,
        confidence=Confidence.HIGH,
        summary="Worse.",
    )
    text = story(SLOW, worse).story.verdict
    assert text.startswith("2 findings were made. The first sign is at 2026-03-14 09:16:40 UTC: node-1 is in trouble.")
    assert "The most severe, 9 s later: Worse." in text
    assert "It concerns workloads shop/api, shop/web and node node-1." in text
    assert "Confidence is high for 1, low for 1." in text


def test_holes_in_the_inputs_are_told() -> None:
    gap = Gap(start=at(0), end=at(900), reason="r")
    hole = Coverage(table="a", rows=1, first_time=None, last_time=None, sources=(), gaps=(gap,))
    whole = replace(hole, table="b", gaps=())
    assert story(SLOW, coverage=(hole, whole)).story.verdict.endswith(" 1 of 2 tables has holes in time.")
