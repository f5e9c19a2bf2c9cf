"""The Markdown postmortem: complete, editable by people, and free of markup that came from the evidence."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from msgspec.structs import replace

from analyzer.model import Result, Status
from analyzer.model.stories import stories
from analyzer.render.escape import shown
from analyzer.render.markdown import FOR_PEOPLE, MOST_BYTES, render_markdown
from analyzer.render.mdtext import code, fence, inline, table
from tests.render.reading import changed
from tests.render.sample import empty, many_findings, sample
from tests.render.sample_findings import HOSTILE, search_chain

OURS = {
    *("h1", "h2", "h3", "p", "ul", "li", "blockquote", "strong", "code", "pre", "details", "summary"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
MARKUP = ("*bold*", "_it_", "`code`", "[l](http://x)", "<b>x</b>", "# head", "- item", "1. one", "> quote", "| a | b |")
MORE = (
    *MARKUP,
    "~~gone~~",
    "&lt;",
    "![i](x)",
    "\\",
    "```\n# out",
    "a\\|b",
    "$x$",
    "<!-- ",
    "</details>",
    "https://evil",
)


def as_html(text: str) -> str:
    """What a reader sees of it, by another implementation of CommonMark with GitHub's tables."""
    page: str = MarkdownIt("commonmark").enable("table").enable("strikethrough").render(text)
    return page


PUBLISHED = {one.url for one in stories().values()}


class Seen(HTMLParser):
    """The elements and the text of a page; links to published stories are our own."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not (tag == "a" and dict(attrs).keys() == {"href"} and dict(attrs)["href"] in PUBLISHED):
            self.elements.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_finding_is_told_in_the_order_of_its_rank() -> None:
    text = render_markdown(sample())
    places = [text.index(f"- Key: {code(finding.key)}") for finding in sample().findings]
    assert places == sorted(places)


def test_none_of_many_findings_is_left_out_when_the_text_is_cut_to_its_greatest_size() -> None:
    result = many_findings(2_000)
    text = render_markdown(result)
    assert len(text.encode()) <= MOST_BYTES
    assert all(code(finding.key) in text for finding in result.findings)


def test_a_finding_has_its_figures_its_fix_and_its_commands() -> None:
    text = render_markdown(sample())
    assert "| wasted queries | 4,812 | queries |" in text
    assert '        - {name: ndots, value: "1"}\n' in text
    assert search_chain().verify[0] in text
    assert "| `node3.pcap:48211` | 2026-03-14 09:25:00Z |" in text


def test_people_find_their_headings_and_a_list_of_things_to_do() -> None:
    text = render_markdown(sample())
    assert all(f"\n## {head}\n" in text for head, _ in FOR_PEOPLE)
    assert re.search(r"^- \[ \] mitigate: .+ \(F1\)\. Effort: \. Owner: \. Due: \.$", text, re.MULTILINE)


def test_what_was_not_seen_is_told() -> None:
    text = render_markdown(sample())
    for run in sample().runs:
        assert f"| `{run.detector}` | {run.status.value} |" in text
    assert [run for run in sample().runs if run.status is Status.SKIPPED]
    assert "nothing known" in text


def test_an_empty_result_is_a_short_text() -> None:
    text = render_markdown(empty())
    assert text.startswith("# Postmortem evidence\n")
    assert "## Timeline" not in text


@pytest.mark.parametrize("payload", [*HOSTILE, *MORE, "\n# head\n", "\r", "\u202e"])
def test_hostile_text_in_any_field_starts_no_markup(payload: str) -> None:
    text = render_markdown(changed(sample(), lambda words: payload + words))
    plain = Seen(as_html(render_markdown(sample())))
    seen = Seen(as_html(text))
    assert seen.elements <= OURS
    assert plain.elements <= OURS
    assert all(char.isprintable() or char == "\n" for char in text)


def elements_of(text: str) -> list[str]:
    return re.findall(r"<(\w+)", as_html(text))


@pytest.mark.parametrize("payload", [*MORE, "www.evil.example", "a`b``c", "`", " x ", "|", ""])
def test_a_text_reads_as_it_is_inline_in_code_and_in_a_cell(payload: str) -> None:
    assert Seen(as_html(inline(payload))).text.strip() == shown(payload).strip()
    assert elements_of(inline(payload)) == ["p"] * bool(payload)
    assert elements_of(code(payload)) == ["p", "code"]
    rows = elements_of("\n".join(table(("a", "b"), [(inline(payload), code(payload))])))
    assert rows.count("td") == 2


@pytest.mark.parametrize("payload", ["```", "````\nx", "~~~", "    x", "a\n\n# b"])
def test_no_line_of_a_snippet_closes_its_block(payload: str) -> None:
    assert elements_of("\n".join(fence(payload))) == ["pre", "code"]


def test_bare_addresses_become_no_links() -> None:
    assert (
        inline("see https://evil.example and www.evil.example") == "see https\\://evil.example and www\\.evil.example"
    )


def test_the_same_result_gives_the_same_text() -> None:
    assert render_markdown(sample()) == render_markdown(sample())


def test_a_changed_setting_is_told() -> None:
    changed_ = replace(sample().settings[0], default=False)
    result: Result = replace(sample(), settings=(changed_,))
    assert f"- Setting changed: `{changed_.detector}.{changed_.name} = {changed_.value}`" in render_markdown(result)
