"""The reference in `docs/` says what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import detectors, settings
from tests.reference import pages

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("name", ["detectors.md", "tables.md", "result.schema.json", "analyze.toml", "stories.md"])
def test_the_committed_page_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text() == pages()[name], "run `make reports`"


def test_the_settings_file_holds_every_setting_and_changes_none() -> None:
    read = settings.from_file(DOCS / "analyze.toml")
    assert settings.apply(detectors.load(), read) == detectors.load()
    told = {(name, key) for name, table in read.items() for key in table}
    assert told == {(one.detector, one.name) for one in settings.effective(detectors.load())}
