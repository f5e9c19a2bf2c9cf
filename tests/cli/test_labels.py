"""Labels stand in the head of every form; a job summary of GitHub Actions gets the Markdown, within its size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from analyzer.cli.labels import labels_of
from analyzer.cli.stepsummary import LEFT_OUT, MOST_BYTES, append_summary, cut, summary_file
from analyzer.errors import OutputError, UsageError
from analyzer.model import Label, Result
from analyzer.model.codec import decode, encode
from analyzer.redact import new_map, redacted
from analyzer.render.html import render_html
from analyzer.render.markdown import render_markdown
from analyzer.render.sarif import render_sarif
from analyzer.render.text import render_text
from tests.cli.test_cli import analyze
from tests.render.reading import Reader
from tests.render.sample import sample

LABELS = (Label(name="cluster", value="zürich-7"), Label(name="team", value="payments = all"))


def labelled() -> Result:
    return replace(sample(), labels=LABELS)


def test_labels_are_sorted_by_name_and_a_value_may_hold_anything() -> None:
    assert labels_of(["team=payments = all", "cluster=zürich-7"]) == LABELS
    assert labels_of(["a="]) == (Label(name="a", value=""),)
    assert labels_of(["a=\udcff"]) == (Label(name="a", value="\\xff"),)


@pytest.mark.parametrize("given", [["team"], ["=x"], ["-a=x"], ["a b=x"], ["a=1", "a=2"], ["a=" + "x" * 201]])
def test_what_is_no_label_is_refused(given: list[str]) -> None:
    with pytest.raises(UsageError, match="--label"):
        labels_of(given)


def test_every_form_has_them_in_its_head() -> None:
    page = Reader(render_html(labelled()))
    assert "cluster=zürich-7, team=payments = all" in [e.text for e in page.all("dd")]
    assert "\n- Labels: cluster=zürich-7, team=payments = all\n" in render_markdown(labelled())
    assert "\nlabels    cluster=zürich-7, team=payments = all\n" in render_text(labelled())
    [run] = json.loads(render_sarif(labelled()))["runs"]
    assert run["properties"] == {"labels": {"cluster": "zürich-7", "team": "payments = all"}}
    assert json.loads(encode(labelled()))["labels"] == [{"name": one.name, "value": one.value} for one in LABELS]
    assert decode(encode(labelled())) == labelled()


def test_no_form_speaks_of_labels_where_none_was_given() -> None:
    assert "Labels" not in render_html(sample()) + render_markdown(sample())
    assert "labels  " not in render_text(sample())


def test_a_report_without_names_keeps_the_names_of_labels_alone() -> None:
    made = redacted(labelled(), new_map(), {})
    assert [one.name for one in made.labels] == ["cluster", "team"]
    assert "zürich" not in made.labels[0].value


def test_the_command_line_takes_labels_and_appends_to_the_job_summary(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# Before\n")
    (tmp_path / "coredns.log").write_text(
        '2026-03-14T09:25:00Z [INFO] 10.0.0.7:1 - 2 "A IN a.example.com. udp 40 false 512" NOERROR qr,rd,ra 56 0.001s\n'
    )
    flags = ("--label", "team=payments", "--label", "env=prod", "--github-summary", "-o", "r.json")
    done = analyze("postmortem", "coredns.log", *flags, cwd=tmp_path, GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["labels"] == [{"name": "env", "value": "prod"}, {"name": "team", "value": "payments"}]
    assert result["command"].endswith("--label env=prod --label team=payments")
    text = summary.read_text()
    assert text.startswith("# Before\n# coredns.log\n")
    assert "- Labels: env=prod, team=payments\n" in text
    assert b"to the job summary" in done.stderr


def test_without_the_variable_or_with_an_input_for_it_nothing_is_read(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.touch()
    with pytest.raises(UsageError, match="GITHUB_STEP_SUMMARY is not set"):
        summary_file([log], {})
    for place in (log, tmp_path):
        with pytest.raises(OutputError, match="GITHUB_STEP_SUMMARY: "):
            summary_file([log], {"GITHUB_STEP_SUMMARY": str(place)})
    assert summary_file([log], {"GITHUB_STEP_SUMMARY": str(tmp_path / "new")}) == tmp_path / "new"


# Cutting


def test_what_fits_is_whole() -> None:
    assert cut("a\nb\n", 4) == b"a\nb\n"


def test_what_does_not_fit_ends_at_a_line_with_a_sentence() -> None:
    text = "".join(f"line {at} é\n" for at in range(1_000))
    for most in range(200, 260):
        made = cut(text, most).decode()
        assert len(made.encode()) <= most
        assert made.endswith(LEFT_OUT)
        assert text.startswith(made.removesuffix(LEFT_OUT))
        assert made.removesuffix(LEFT_OUT).endswith("\n")
    assert cut(text, 10) == b""


@pytest.mark.parametrize(
    "block",
    [
        "````sh\n```\nx\n````\n",
        "<details><summary>Evidence</summary>\n\n```\n</details>\n```\nx\n</details>\n",
    ],
)
def test_no_block_is_left_open(block: str) -> None:
    text = "before\n" + block + "after\n" * 100
    for most in range(len("before\n") + len(LEFT_OUT), len("before\n" + block) + len(LEFT_OUT)):
        assert cut(text, most).decode() == "before\n" + LEFT_OUT
    assert cut(text, len("before\n" + block) + len(LEFT_OUT)).decode() == "before\n" + block + LEFT_OUT


def test_what_stands_in_the_summary_already_counts(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_bytes(b"x" * (MOST_BYTES - 3_000))
    append_summary(summary, sample())
    assert MOST_BYTES - 3_000 < summary.stat().st_size <= MOST_BYTES
    assert summary.read_text().endswith(LEFT_OUT)
    append_summary(summary, sample())
    assert summary.stat().st_size <= MOST_BYTES
