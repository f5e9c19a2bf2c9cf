"""Clocks, limits of findings and what to collect next time stand in every form that people read."""

from __future__ import annotations

import html
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from analyzer.model import Collect, Offset, Result
from analyzer.render.html import render_html
from analyzer.render.markdown import render_markdown
from analyzer.render.text import render_text
from tests.render.sample import sample

LIMIT = "The capture begins at 09:00: it may have begun earlier."
OFFSET = Offset(source="kubelet.log", reference="audit.log", seconds=1.7, spread_seconds=0.02, events=12)
FORMS = pytest.mark.parametrize("render", [render_html, render_markdown, render_text])


def with_parts() -> Result:
    whole = sample()
    runs = tuple(
        replace(run, findings=tuple(replace(one, limits=(LIMIT,)) for one in run.findings)) for run in whole.runs
    )
    collect = Collect(source="CoreDNS log", why="None was given.", command="log\nerrors <all>\n")
    offsets = (replace(OFFSET, matched_by="turns of pods", remark="corrected"),)
    return replace(whole, runs=runs, offsets=offsets, collect=(collect,))


@FORMS
def test_every_part_is_told(render: Callable[[Result], str]) -> None:
    text = html.unescape(render(with_parts()))
    assert LIMIT in text
    assert "+1.700000" in text
    assert "0.020000" in text
    assert "turns of pods" in text
    assert "corrected" in text
    assert "What to collect next time" in text
    assert "None was given." in text
    assert "errors <all>" in text


@FORMS
def test_without_them_nothing_is_said_of_them(render: Callable[[Result], str]) -> None:
    text = render(replace(sample(), offsets=(), collect=()))
    assert "What to collect next time" not in text
    assert "touch an edge" not in text
    assert "Clock offsets" not in text
    assert "### Clocks" not in text
    assert "Clocks, by what" not in text
