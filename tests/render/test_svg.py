"""Charts as they stand in the page: well-formed, described, labels apart, gaps hatched."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest

from analyzer.render.draw import bar, swatch
from analyzer.render.svg import MOST_WINDOW_ROWS, Kind, Panel, Trace, Window, left_out, plot
from tests.render.sample_findings import HOSTILE

START = 1_773_478_800.0
SVG = "http://www.w3.org/2000/svg"


def panel(*values: float | None, kind: Kind = Kind.LINES, title: str = "answers") -> Panel:
    return Panel(title, kind, START, 1, (Trace("NOERROR", tuple(values), 0, 0, 0),))


def drawn(*panels: Panel, windows: tuple[Window, ...] = (), end: float = START + 3600) -> ElementTree.Element:
    text = plot("c1", panels, windows, START, end, "Answers", "Greatest value 3.", bars=True)
    return ElementTree.fromstring(text.replace("<svg ", f'<svg xmlns="{SVG}" ', 1))


def find(svg: ElementTree.Element, tag: str, name: str) -> list[ElementTree.Element]:
    return [el for el in svg.iter(f"{{{SVG}}}{tag}") if name in el.get("class", "").split()]


def test_a_chart_is_an_image_with_a_title_and_a_description() -> None:
    svg = drawn(panel(1.0, 3.0))
    words = {el.get("id"): el.text for el in svg if el.tag in (f"{{{SVG}}}title", f"{{{SVG}}}desc")}
    assert svg.get("role") == "img"
    assert [words[name] for name in svg.get("aria-labelledby", "").split()] == ["Answers", "Greatest value 3."]


def test_nothing_inside_a_chart_can_be_focused() -> None:
    text = ElementTree.tostring(drawn(panel(1.0), windows=(Window("F1", "high", START, START + 60),)), "unicode")
    assert "<a " not in text
    assert "tabindex" not in text


def test_the_line_ends_at_a_gap_and_begins_again() -> None:
    (path,) = find(drawn(panel(1.0, 2.0, None, 2.0), end=START + 4), "path", "l0")
    assert path.get("d", "").count("M") == 2


def test_gaps_are_hatched() -> None:
    one = panel(1.0, None, 1.0)
    with_gap = Panel(one.title, one.kind, one.start, one.step, one.traces, ((START + 1, START + 2, "log rotated"),))
    (gap,) = find(drawn(with_gap, end=START + 3), "rect", "gap")
    assert gap.get("fill") == "url(#c1-gap)"
    assert "log rotated" in "".join(gap.itertext())


def test_the_highest_point_of_a_path_is_the_peak() -> None:
    values: list[float | None] = [1.0] * 5000
    values[4321] = 4.0
    (path,) = find(drawn(panel(*values), end=START + 5000), "path", "l0")
    heights = [float(y) for y in re.findall(r"V([\d.]+)", path.get("d", ""))]
    base, height, top = (float(path.get(f"data-{name}", "")) for name in ("y", "h", "max"))
    assert min(heights) == pytest.approx(base - height * 4 / top, abs=0.06)


def test_window_labels_never_touch_each_other() -> None:
    windows = tuple(Window(f"F{i}", "high", START + 20 * i, START + 20 * i + 300) for i in range(60))
    svg = drawn(panel(1.0), windows=windows)
    labels = [el for el in svg.iter(f"{{{SVG}}}text") if el.get("data-of")]
    boxes = []
    for el in labels:
        wide = 7 * len(el.text or "")
        x = float(el.get("x", "")) - (wide if el.get("text-anchor") == "end" else 0)
        boxes.append((x, x + wide, el.get("y")))
    assert len(boxes) == 60 - left_out(windows, START, START + 3600)
    assert len({y for _, _, y in boxes}) <= MOST_WINDOW_ROWS
    assert all(a[2] != b[2] or a[1] <= b[0] or b[1] <= a[0] for a, b in combinations(boxes, 2))
    assert all(x >= 0 and end <= 960 for x, end, _ in boxes)


def test_overlapping_windows_are_shaded_once() -> None:
    windows = (Window("F1", "high", START, START + 100), Window("F2", "low", START + 50, START + 200))
    assert len(find(drawn(panel(1.0), windows=windows), "rect", "win")) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_titles_stay_text(name: str) -> None:
    svg = drawn(panel(1.0, kind=Kind.STRIP, title=name), panel(2.0, title=name))
    assert not list(svg.iter(f"{{{SVG}}}script"))
    assert all("onload" not in el.attrib for el in svg.iter())


@pytest.mark.parametrize("values", [(), (0.0,), (None,), (0.0, 0.0, None)])
@pytest.mark.parametrize("kind", list(Kind))
def test_a_chart_without_height_is_still_drawn(values: tuple[float | None, ...], kind: Kind) -> None:
    assert "nan" not in ElementTree.tostring(drawn(panel(*values, kind=kind)), "unicode")


def test_bars_are_drawn_to_their_share_and_never_beyond_their_box() -> None:
    assert 'width="70"' in bar(0.5, 0, "half")
    assert 'width="140" height="10" rx="2"/></svg>' in bar(7.0, 0, "too much")
    assert bar(float("nan"), 0, "none").count("<rect") == 1
    assert "<title>&lt;b&gt;</title>" in bar(0.1, 0, "<b>")


def test_lanes_differ_by_dash_as_well_as_by_colour() -> None:
    assert len({swatch(i, True).split("stroke-dasharray=")[1].split('"')[1] for i in range(7)}) == 7


def test_the_highest_ranked_windows_have_a_bar_however_many_there_are() -> None:
    windows = tuple(Window(f"F{i + 1}", "high", START + 3000 - 10 * i, START + 3300 - 10 * i) for i in range(150))
    labels = {el.text for el in drawn(panel(1.0), windows=windows).iter(f"{{{SVG}}}text") if el.get("data-of")}
    assert {f"F{i}" for i in range(1, MOST_WINDOW_ROWS + 1)} <= labels
