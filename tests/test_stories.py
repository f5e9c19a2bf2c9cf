"""Every published story has a detector that claims it and a case in which it is found."""

from __future__ import annotations

import pytest

from analyzer import detectors
from tests.stories import Story, claimed, page, shown, stories

EVERY = pytest.mark.parametrize("story", stories(), ids=lambda story: f"{story.number}-{'+'.join(story.meant)}")


def test_the_table_holds_forty_stories_and_the_flood_of_the_audit_log() -> None:
    assert [story.number for story in stories()] == list(range(1, 42))
    assert all(story.text and story.meant and (story.direct or story.partial) for story in stories())


@EVERY
def test_the_detectors_that_are_meant_for_it_claim_it(story: Story) -> None:
    assert set(story.meant) <= set(claimed(story.number))


@EVERY
def test_a_committed_case_shows_it(story: Story) -> None:
    assert shown(story.number), f"no committed report has a finding that names story {story.number}: {story.text}"


def test_no_detector_claims_a_story_that_is_not_told() -> None:
    numbers = {story.number for story in stories()}
    assert {number for detector in detectors.load() for number in detector.stories} <= numbers


def test_the_page_names_every_story_once() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| ") and line.split("|")[1].strip().isdigit()]
    assert [int(line.split("|")[1]) for line in rows] == [story.number for story in stories()]
