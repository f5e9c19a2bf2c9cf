"""Heat maps as they stand on the page: every count in a cell, the peak in words, sums in a table."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from analyzer.model import Heat, Lane
from analyzer.model.codec import decode, encode
from analyzer.render.chart import MOST_TABLE_ROWS, Chart, blanked
from analyzer.render.heat import SHADES, heat_chart, shades
from analyzer.render.html import render_html
from tests.render.sample_findings import HOSTILE
from tests.render.sample_full import full, refusals

START = 1_773_478_800.0


def heat(*lanes: tuple[float, ...], name: str = "argocd") -> Heat:
    made = tuple(Lane(name=f"{name}{at or ''}", values=values) for at, values in enumerate(lanes))
    return replace(refusals(), lanes=made, gaps=())


def drawn(given_: Heat) -> Chart:
    made = heat_chart("heat1", given_)
    assert made is not None
    ElementTree.fromstring(made.svg)
    return made


def cells(made: Chart) -> list[int]:
    """How many cells of each strength are drawn, the weakest first."""
    return [path.count("M") for path in re.findall(r'<path class="s3"[^>]* d="([^"]*)"', made.svg)]


def test_the_description_states_the_peak_and_the_sum_of_each_agent() -> None:
    made = drawn(heat((0, 3, 7), (1, 0, 0)))
    assert "Most: argocd, 7 answers in the minute from 2026-03-14 09:02:00Z." in made.svg
    assert "In all: argocd: 10, argocd1: 1." in made.svg


def test_every_count_has_a_cell_and_zero_has_none() -> None:
    assert sum(cells(drawn(heat((0, 3, 7), (1, 0, 0))))) == 3


def test_more_is_stronger() -> None:
    made = drawn(heat((1, 10, 100, 1000, 10_000)))
    strengths = [float(s) for s in re.findall(r'<path class="s3" fill="#d55e00" fill-opacity="([^"]*)"', made.svg)]
    assert cells(made) == [1] * SHADES
    assert strengths == sorted(set(strengths))
    assert strengths[-1] == 1
    assert made.legends[0].keys[0].name.startswith("1 to ")


@given(st.floats(0.5, 1e12))
def test_strengths_begin_at_one_and_none_is_above_the_peak(peak: float) -> None:
    bounds = shades(peak)
    assert bounds[0] == 1
    assert list(bounds) == sorted(set(bounds))
    assert len(bounds) <= SHADES
    assert bounds[-1] <= max(peak, 1)


def test_the_table_has_sums_of_equal_stretches() -> None:
    made = drawn(heat(tuple(1.0 for _ in range(60))))
    assert made.headers == ("From (UTC)", "argocd (answers)")
    assert len(made.rows) == MOST_TABLE_ROWS
    assert sum(int(row[1]) for row in made.rows) == 60


def test_a_gap_is_hatched_and_is_no_zero_in_the_table() -> None:
    made = drawn(refusals())
    assert 'fill="url(#heat1-gap)"' in made.svg
    assert "Hatched: no data" in made.caption
    assert made.rows[-1][1:] == ("no data", "no data")


def test_nothing_is_drawn_where_nothing_was_counted() -> None:
    assert heat_chart("heat1", heat((0, 0), (0, 0))) is None
    assert heat_chart("heat1", heat()) is None
    assert heat_chart("heat1", heat(())) is None


@pytest.mark.parametrize(
    "values", [(math.nan, 2.0), (-5.0, 1.0), (math.inf, 1.0), (0.25,), (1e308, 1e308), (1.0,) * 5000]
)
def test_no_value_of_a_foreign_result_breaks_the_chart(values: tuple[float, ...]) -> None:
    made = drawn(heat(values, (1.0,)))
    assert not re.search(r"nan|inf\b", "".join(re.findall(r' d="([^"]*)"', made.svg)))
    assert len(made.svg) < 60_000


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    made = drawn(replace(heat((1.0,), name=name), title=name, unit=name))
    assert "<script" not in made.svg


def test_the_saved_result_alone_gives_the_chart_and_it_stands_with_its_source() -> None:
    page = render_html(decode(encode(full())))
    titles = re.findall(r"<h3>(.*?)</h3>", page[page.index('<section id="charts"') :])
    assert titles.index("429 answers by user agent and time") == titles.index("429 answers by user agent") + 1


def test_the_record_after_which_nothing_came_is_drawn_though_the_gap_begins_with_it() -> None:
    gap = (START + 60, START + 180, "no record for two minutes")
    assert blanked(Lane(name="a", values=(1, 2, 0, 4)), [gap], START, 60) == (1, 2, None, 4)
    assert blanked(Lane(name="a", values=(1, 0, 0, 4)), [gap], START, 60) == (1, None, None, 4)
