"""A threshold can be changed by file or option; anything misspelt is refused with the nearest name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from analyzer import settings
from analyzer.detector import Detector, setting, thresholds
from analyzer.errors import UsageError
from analyzer.facts.contract import Frames
from analyzer.model import Finding


@thresholds
class Some:
    min_count: int = setting(50, "Count.", minimum=1, source="[D]")
    min_share: float = setting(0.5, "Share.", minimum=0, source="[D]")
    wait: float = setting(5, "Wait.", unit="seconds", minimum=0, source="[D]")


def nothing(frames: Frames, settings: Some) -> Iterator[Finding]:
    return iter(())


DETECTOR = Detector(id="some-trouble", title="t", needs_any=(), settings=Some(), detect=nothing, remedies=())


def test_one_threshold_is_changed_and_the_rest_kept() -> None:
    [changed] = settings.apply([DETECTOR], settings.from_options(["some-trouble.min_count=7"]))
    assert changed.settings == Some(min_count=7)


def test_a_whole_number_is_fine_where_a_fraction_is_wanted() -> None:
    assert settings.override("d", Some(), {"min_share": 1}) == Some(min_share=1.0)


def test_a_fraction_is_fine_where_the_default_is_a_whole_number() -> None:
    assert settings.override("d", Some(), {"wait": 0.5}) == Some(wait=0.5)


def test_an_option_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "analyze.toml"
    file.write_text("[some-trouble]\nmin_count = 3\nmin_share = 0.1\n")
    layers = settings.from_file(file), settings.from_options(["some-trouble.min_count=9"])
    [changed] = settings.apply([DETECTOR], *layers)
    assert changed.settings == Some(min_count=9, min_share=0.1)


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        ("some-trouble.min_cuont=3", "did you mean min_count"),
        ("some-truoble.min_count=3", "did you mean some-trouble"),
        ("some-trouble.min_count=0", "at least 1"),
        ("some-trouble.min_count=x", "it wants int"),
        ("some-trouble.min_count=true", "it wants int"),
        ("some-trouble.min_share=nan", "at least 0"),
        ("some-trouble.min_share=inf", "at most 1,000,000,000,000"),
        ("some-trouble.min_count=1000000000000000000000", "at most 1,000"),
        ("some-trouble.wait=315576001", "at most 315,576,000"),
        ("min_count=3", "not of the form"),
        ("some-trouble.min_count", "not of the form"),
    ],
)
def test_a_wrong_option_is_refused(pair: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        settings.apply([DETECTOR], settings.from_options([pair]))


@pytest.mark.parametrize("text", ["min_count = 3", "[a", "\xff\xfe"])
def test_a_wrong_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "analyze.toml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match=r"analyze\.toml"):
        settings.from_file(file)


def test_effective_settings_say_what_is_not_default() -> None:
    changed = replace(DETECTOR, settings=Some(min_count=7))
    assert [(s.name, s.value, s.default) for s in settings.effective([changed])] == [
        ("min_count", "7", False),
        ("min_share", "0.5", True),
        ("wait", "5", True),
    ]
