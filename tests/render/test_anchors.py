"""A finding's sentence stands once; links name it. Commands say where they are run; limits stand with the finding."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from analyzer.model import Cause, CauseEnd, Cluster, InputReport, Result
from analyzer.render.anchors import AT_THE_INPUTS, Related, numbered_name, numbers, related, short_name, where
from analyzer.render.html import render_html
from analyzer.render.markdown import render_markdown
from analyzer.render.text import render_text
from tests.render.reading import Reader
from tests.render.sample_full import full


def _of(command: str, *paths: str) -> Result:
    inputs = tuple(InputReport(path=path, kind="audit", sha256="", bytes=1) for path in paths)
    return replace(full(), command=command, inputs=inputs)


def test_one_folder_is_named_so_that_relative_paths_mean_something() -> None:
    told = where(_of("analyze postmortem 'the outage' --tz UTC", "audit.log", "node/dmesg"))
    assert told == "Run the commands inside the outage: their paths are relative to it."


@pytest.mark.parametrize(
    "command",
    [
        "analyze postmortem audit.log",
        "analyze postmortem a b",
        "analyze postmortem -",
        "analyze pcap 'never closed",
        "",
    ],
)
def test_files_and_several_folders_are_left_to_the_reader(command: str) -> None:
    assert where(_of(command, "audit.log")) == AT_THE_INPUTS


def test_an_end_that_is_a_finding_with_a_number_is_named_by_its_key() -> None:
    end = CauseEnd(kind="finding", id="dns-search-chain:10.0.0.7", text="a sentence of two lines")
    ids = {end.id: "F3"}
    assert (short_name(end, ids), numbered_name(end, ids)) == (end.id, f"F3 {end.id}")
    assert numbered_name(end, {}) == end.text
    seen = CauseEnd(kind="observation", id="kubelet.log:4", text="node a was told to wait")
    assert numbered_name(seen, ids) == seen.text


def _linked() -> Result:
    made = full()
    first = made.findings[0]
    end = CauseEnd(kind="finding", id=first.key, text=first.summary)
    causes = tuple(replace(cause, to=end) for cause in made.story.causes)
    return replace(made, story=replace(made.story, causes=causes))


def test_links_do_not_say_the_sentence_of_a_finding_again() -> None:
    made = _linked()
    first = made.findings[0]
    (causes,) = Reader(render_html(made)).all("ol", class_="causes")
    assert first.summary not in causes.text
    assert causes.text.count(f"F1 {first.key}") >= len(made.story.causes)
    for text in (render_markdown(made), " ".join(render_text(made).split())):
        assert "What preceded what" in text
        assert first.summary not in text.partition("What preceded what")[2].partition("Checks")[0]


def test_what_could_not_be_seen_stands_at_the_finding_and_leads_to_coverage() -> None:
    made = full()
    run = next(run for run in made.runs if run.findings)
    limit = "audit.log begins at 2026-01-01 09:00:00 UTC: it may have begun earlier, and counts are lower bounds."
    first = replace(run.findings[0], limits=(limit,))
    changed = replace(run, findings=(first, *run.findings[1:]))
    page = Reader(render_html(replace(made, runs=tuple(changed if one is run else one for one in made.runs))))
    (limits,) = page.all("dd", class_="limits")
    assert limit in limits.text
    assert [link.attributes["href"] for link in page.all("a") if link.text == "Coverage and limits"] == [
        "#coverage",
        "#limits",
    ]
    assert page.all("div", id="limits")


def test_findings_that_a_rule_links_stand_with_each_other() -> None:
    made = full()
    first, then = made.findings[:2]
    ends = [CauseEnd(kind="finding", id=one.key, text=one.summary) for one in (first, then)]
    cause = Cause(rule="c7", from_=ends[0], to=ends[1], lag_seconds=90, verdict="v")
    linked = replace(made, story=replace(made.story, causes=(cause, replace(cause, rule="c8"))))
    told = related(linked, numbers(linked))
    assert told[first.key] == (Related("F2", then.key, "began 1 min 30 s after it"),)
    assert told[then.key] == (Related("F1", first.key, "began 1 min 30 s before it"),)
    shown = [one.text for one in Reader(render_html(linked)).all("dd", class_="related")]
    assert [text.split()[0] for text in shown] == ["F2", "F1"]
    assert f"- Related: F2 `{then.key}` began 1 min 30 s after it" in render_markdown(linked)


def test_clusters_are_told_in_every_form_and_the_one_of_an_export_at_the_top() -> None:
    several = (
        Cluster(inputs=("a.log", "k.log"), told_by="nodes n1, n2"),
        Cluster(inputs=("b.log",), told_by="nodes m1"),
    )
    made = replace(full(), clusters=several, inputs=tuple(replace(one, cluster="prod") for one in full().inputs))
    page = Reader(render_html(made))
    assert page.all("h3", id="clusters")
    assert "Cluster" in page.all("header")[0].text
    assert "prod" in page.all("header")[0].text
    for text in (render_markdown(made), render_text(made)):
        assert "nodes n1, n2" in text
