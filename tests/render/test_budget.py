"""How heavy a page may be: those of the committed cases, and one that does its worst."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec.structs import replace

from analyzer.render.html import HARD_BYTES, TARGET_BYTES, render_html
from analyzer.render.limits import MOST_ROWS
from tests.render.reading import changed
from tests.render.sample import many_findings
from tests.render.sample_full import full

PAGES = sorted((Path(__file__).resolve().parents[2] / "reports").glob("*.html"))
TYPICAL = 400_000


def test_pages_of_the_cases_keep_the_target_and_nine_of_ten_are_light() -> None:
    sizes = sorted(page.stat().st_size for page in PAGES)
    assert sizes
    assert sizes[-1] <= TARGET_BYTES
    assert sizes[len(sizes) * 9 // 10] <= TYPICAL


def test_the_full_sample_is_a_light_page() -> None:
    assert len(render_html(full()).encode()) <= TYPICAL


def test_no_text_is_longer_than_two_thousand_characters_whatever_the_evidence_holds() -> None:
    heavy = changed(full(), lambda text: text + "x" * 9_000)
    page = render_html(replace(heavy, tool=full().tool, schema=full().schema))
    assert max(map(len, re.findall("x+", page))) <= 2_000
    assert len(page.encode()) <= HARD_BYTES


def test_a_thousand_findings_keep_the_budget_of_rows() -> None:
    page = render_html(many_findings(1_000))
    assert page.count("<tr") <= MOST_ROWS + 200  # with the heads of tables
    assert len(page.encode()) <= TARGET_BYTES


def test_the_same_result_gives_the_same_bytes() -> None:
    assert render_html(full()) == render_html(full())
