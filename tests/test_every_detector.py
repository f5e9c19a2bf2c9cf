"""Rules that hold for every detector, present and future: nobody has to remember them."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from analyzer import detectors
from analyzer.detector import Detector, settings_of
from analyzer.facts.contract import Fact
from analyzer.frames import Table, empty
from analyzer.model import Status
from analyzer.pipeline.detect import run_one
from analyzer.pipeline.store import Store
from tests.build import held

WITHOUT_STORY = ("imds-hop-limit",)
"""Detectors of what is well known and stands in none of the published stories of analyzer/model/stories.tsv."""

EVERY = pytest.mark.parametrize("detector", detectors.load(), ids=lambda detector: detector.id)

DETECTOR_LINES, FILE_LINES = 150, 400


def place(detector: Detector[Any]) -> Path:
    return Path(str(sys.modules[detector.detect.__module__].__file__))


def doc(detector: Detector[Any]) -> str:
    return inspect.getdoc(sys.modules[detector.detect.__module__]) or ""


@EVERY
def test_the_file_or_package_is_named_after_the_id(detector: Detector[Any]) -> None:
    name = detector.id.replace("-", "_")
    assert name in {place(detector).stem, place(detector).parent.name}
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", detector.id)
    assert not detector.id.startswith(("no-", "detect-"))


@EVERY
def test_the_docstring_has_the_three_headings(detector: Detector[Any]) -> None:
    headings = ("What it finds", "Why it matters", "What does not count")
    assert [heading for heading in headings if f"## {heading}\n" not in doc(detector)] == []


@EVERY
def test_settings_are_frozen_documented_and_sourced(detector: Detector[Any]) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        setattr(detector.settings, settings_of(detector.settings)[0].name, 0)
    for one in settings_of(detector.settings):
        assert one.doc.endswith("."), one.name
        assert one.source, one.name


@EVERY
def test_has_a_remedy_and_a_published_story(detector: Detector[Any]) -> None:
    assert detector.remedies
    assert bool(detector.stories) is (detector.id not in WITHOUT_STORY)


@EVERY
def test_has_tests_for_its_incident_its_look_alikes_and_its_threshold(detector: Detector[Any]) -> None:
    family = place(detector).parts[place(detector).parts.index("detectors") + 1]
    folder = Path(__file__).parent / "detectors" / family
    name = detector.id.replace("-", "_")
    found = [path.read_text() for path in sorted(folder.glob(f"test_{name}*.py"))]
    text = "\n".join(found)
    for wanted in (
        r"def test_fires",
        r"def test_silent",
        r"threshold",
        r"def test_silent_(without|on_no)|no_rows|empty",
    ):
        assert re.search(wanted, text), f"{name}: no test matches {wanted}"


@EVERY
def test_is_skipped_and_says_why_without_its_tables(detector: Detector[Any]) -> None:
    run = run_one(detector, Store({}), ())
    assert run.status is Status.SKIPPED
    assert detector.needs_any[0][0].name in run.reason


@EVERY
def test_is_quiet_or_not_observable_on_empty_tables(detector: Detector[Any]) -> None:
    run = run_one(detector, Store({table: held(empty(table)) for table in roots(detector)}), ())
    assert run.status in {Status.QUIET, Status.SKIPPED}, run.reason
    assert run.status is Status.QUIET or run.reason.startswith("not observable:")


@EVERY
def test_the_rooms_are_small(detector: Detector[Any]) -> None:
    own = place(detector)
    files = sorted(own.parent.glob("*.py")) if own.stem == "__init__" else [own]
    for path in files:
        assert len(path.read_text().splitlines()) <= DETECTOR_LINES, path.name


def roots(detector: Detector[Any]) -> set[Table]:
    """The tables that everything a detector may see is read from."""
    found: set[Table] = set()
    open_: list[Table | Fact] = [*(n for needs in detector.needs_any for n in needs), *detector.uses]
    while open_:
        need = open_.pop()
        if isinstance(need, Table):
            found.add(need)
        else:
            open_ += need.inputs
    return found
