"""The reference in `docs/` says what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reference import pages

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("name", ["detectors.md", "tables.md", "stories.md"])
def test_the_committed_page_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text() == pages()[name], "run `make reports`"
