"""A finding names the published stories of its pattern by what happened and where it can be read."""

from __future__ import annotations

import json
import re

from msgspec.structs import replace

from analyzer.model import Result, Status
from analyzer.model.stories import published, stories
from analyzer.render.html import render_html
from analyzer.render.markdown import render_markdown
from analyzer.render.sarif import render_sarif
from analyzer.render.text import render_text
from tests.render.reading import Reader
from tests.render.sample import sample
from tests.render.sample_findings import search_chain

[NDOTS] = published([1])
[GREEDY] = published([40])


def told(*numbers: int) -> Result:
    """A result of one finding with these stories."""
    first = sample().runs[0]
    finding = replace(search_chain(), stories=numbers)
    return replace(sample(), runs=(replace(first, status=Status.FIRED, findings=(finding,)),))


def test_every_story_has_a_text_and_a_whole_publication_or_none() -> None:
    for one in stories().values():
        assert one.text
        assert bool(one.title) == bool(one.by) == bool(one.url)
        assert not one.url or re.fullmatch(r"https://[a-z.]+/[\w@./?=-]+", one.url)
    assert [number for number, one in stories().items() if not one.url] == [40, 41]


def test_the_page_tells_the_story_and_its_address_as_text() -> None:
    reader = Reader(render_html(told(1)))
    [listed] = [e.text for e in reader.all("li") if NDOTS.url in e.text]
    assert listed == f"{NDOTS.text}: {NDOTS.where}{NDOTS.url}"
    assert not [e for e in reader.all("a") if not e.attributes["href"].startswith("#")]


def test_markdown_links_to_the_publication() -> None:
    assert f"- Published story of the same pattern: {NDOTS.text}: [“10 Ways" in render_markdown(told(1))
    assert f"]({NDOTS.url})\n" in render_markdown(told(1))


def test_the_text_names_the_story_and_keeps_the_address_whole() -> None:
    text = render_text(told(1, 25))
    assert f"    story   {NDOTS.text}: {NDOTS.by}\n            {NDOTS.url}\n" in text
    assert f"            {published([25])[0].url}\n" in text


def test_the_rule_of_a_pattern_that_was_met_has_its_stories_once() -> None:
    [run] = json.loads(render_sarif(told(1, 1)))["runs"]
    rule = run["tool"]["driver"]["rules"][0]
    told_once = f"Published stories of the same pattern:\n{NDOTS.text}: {NDOTS.where} {NDOTS.url}"
    assert rule["help"]["text"] == told_once


def test_a_story_without_publication_and_one_of_another_version_are_told_without() -> None:
    result = told(40, 9_999)
    reader = Reader(render_html(result))
    assert {GREEDY.text, "no. 9999"} <= {e.text for e in reader.all("li")}
    assert "    story   no. 9999\n" in render_text(result)
    assert f"- Published story of the same pattern: {GREEDY.text}\n" in render_markdown(result)
    assert "help" not in json.loads(render_sarif(result))["runs"][0]["tool"]["driver"]["rules"][0]
