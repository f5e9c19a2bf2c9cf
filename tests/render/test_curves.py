"""Distributions as they stand on the page: a logarithmic axis, the median in words, the values in a table."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from analyzer.model import Curve, CurveLane
from analyzer.model.codec import decode, encode
from analyzer.render.chart import Chart
from analyzer.render.curves import TABLE_SHARES, curve_chart
from analyzer.render.draw import LEFT, RIGHT, WIDTH
from analyzer.render.html import render_html
from analyzer.render.scale import log_ticks
from tests.render.sample_findings import HOSTILE
from tests.render.sample_full import full, latency

SHARES = tuple(percent / 100 for percent in range(101))


def curve(*lanes: tuple[float, ...], name: str = "get") -> Curve:
    made = tuple(CurveLane(name=f"{name}{at or ''}", count=200, values=values) for at, values in enumerate(lanes))
    return replace(latency(), lanes=made)


def drawn(given: Curve) -> Chart:
    made = curve_chart("curve1", given)
    assert made is not None
    ElementTree.fromstring(made.svg)
    return made


def outline(made: Chart, lane: int = 0) -> str:
    found = re.search(rf'<path class="l{lane}"[^>]* d="([^"]*)"', made.svg)
    assert found
    return found[1]


def test_the_description_states_the_median_and_the_99th_percentile_of_each_lane() -> None:
    made = drawn(curve(tuple(0.001 * (i + 1) for i in range(101)), (2.0,) * 101))
    assert "get: 200 requests, median 51 ms, 99th percentile 100 ms." in made.svg
    assert "get1: 200 requests, median 2 s, 99th percentile 2 s." in made.svg
    assert next(key.note for key in made.legends[0].keys) == "200 requests, half within 51 ms, 99 % within 100 ms"


def test_equal_ratios_are_equally_far_apart() -> None:
    made = drawn(replace(curve((0.001, 0.01, 0.1, 1.0)), shares=(0.25, 0.5, 0.75, 1.0)))
    xs = [float(x) for x in re.findall(r"[MH]([\d.]+)", outline(made))]
    assert xs == pytest.approx([LEFT + (WIDTH - LEFT - RIGHT) * k / 3 for k in range(4)], abs=0.1)


def test_a_line_never_falls_and_ends_at_the_top() -> None:
    ys = [float(y) for y in re.findall(r"V([\d.]+)", outline(drawn(latency())))]
    assert ys == sorted(ys, reverse=True)
    assert ys[-1] == 24


def test_the_table_has_the_values_that_are_read_most() -> None:
    made = drawn(curve(tuple(0.001 * (i + 1) for i in range(101))))
    assert made.headers == ("Share of requests", "get")
    assert made.rows[4] == ("50 %", "51 ms")
    assert len(made.rows) == len(TABLE_SHARES)


def test_lanes_differ_by_dash_as_well_as_by_colour() -> None:
    made = drawn(curve(*((0.1,) * 101 for _ in range(6))))
    assert (
        len(set(re.findall(r'<path class="l\d" stroke="[^"]*" fill="none" stroke-dasharray="([^"]*)"', made.svg))) == 6
    )


def test_what_took_no_time_stands_at_the_left_edge_and_is_said_to() -> None:
    made = drawn(curve((0.0,) * 50 + (0.5,) * 51))
    assert outline(made).startswith(f"M{LEFT} ")
    assert "Zero stands at the left edge." in made.caption
    assert curve_chart("curve1", curve((0.0,) * 101)) is None


@pytest.mark.parametrize(
    "values",
    [
        (),
        (math.nan,) * 101,
        (math.inf, 1.0),
        (-1.0, 0.5),
        (3.0, 1.0, 2.0),
        (1e-300, 1e300),
        (1.0,) * 500,
    ],
)
def test_no_value_of_a_foreign_result_breaks_the_chart(values: tuple[float, ...]) -> None:
    made = curve_chart("curve1", curve(values))
    assert made is None or not re.search(r"nan|inf\b", outline(made))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    made = drawn(replace(curve((0.1,) * 101, name=name), title=name, remark=name, counted=name))
    assert "<script" not in made.svg


@pytest.mark.parametrize(("low", "high"), [(0.02, 0.02), (0.021, 0.9), (1e-6, 90), (1.0, 1.0), (1e-9, 1e15), (3, 1e40)])
def test_ticks_of_ratios_enclose_their_values(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 13
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= low
    assert ticks[-1] >= min(high, 1e15)


def test_the_saved_result_alone_gives_the_chart_and_it_stands_with_its_source() -> None:
    page = render_html(decode(encode(full())))
    titles = re.findall(r"<h3>(.*?)</h3>", page[page.index('<section id="charts"') :])
    assert titles.index("Latency of API requests, by verb") < titles.index("Audit log volume by writer")
    assert "half within 44.7 ms" in page
