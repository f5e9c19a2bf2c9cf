"""What speaks for and against a finding stands term by term in each form that people read."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from analyzer.model import Result, Run, Side, Status, Term
from analyzer.render.html import render_html
from analyzer.render.markdown import render_markdown
from analyzer.render.text import render_text
from tests.render.sample import sample
from tests.render.sample_findings import search_chain

TERMS = (
    Term(side=Side.FOR, text="every step was seen", origin="detector"),
    Term(side=Side.FOR, text="the kernel says so too", origin="c12", raised=True),
    Term(side=Side.AGAINST, text="the log has a hole", origin="inputs"),
    Term(side=Side.REFUTES, text="The opposite.", origin="detector"),
)
WEIGHED = replace(search_chain(), terms=TERMS, merged=("dns-search-chain:other",), refuted_by="The opposite.")


def weighed() -> Result:
    run = Run(detector="dns-search-chain", title="Search", status=Status.FIRED, findings=(WEIGHED,))
    return replace(sample(), runs=(run,))


@pytest.mark.parametrize("render", [render_html, render_markdown, render_text])
def test_each_term_is_told_with_its_side(render: Callable[[Result], str]) -> None:
    text = " ".join(render(weighed()).split())
    assert text.count("every step was seen") == 1
    assert "one level surer: the kernel says so too" in text
    assert "the log has a hole" in text
    assert "The opposite." in text


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_findings_that_were_merged_are_named(render: Callable[[Result], str]) -> None:
    assert "dns-search-chain:other" in render(weighed())
