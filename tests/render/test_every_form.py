"""What the JSON says of findings, every other form says too; and the JSON is what its schema says."""

from __future__ import annotations

import html
import json

import pytest
from jsonschema import Draft202012Validator

from analyzer.model import Result
from analyzer.model.codec import decode, encode, schema
from analyzer.render.html import render_html
from analyzer.render.markdown import render_markdown
from analyzer.render.sarif import render_sarif
from analyzer.render.text import render_text
from tests.cases import CASES, REPORTS
from tests.render.sample import empty, many_findings, sample

SAMPLES = [sample(), empty(), many_findings(200)]


@pytest.mark.parametrize("case", CASES)
def test_every_committed_result_is_valid(case: str) -> None:
    Draft202012Validator(schema()).validate(json.loads((REPORTS / f"{case}.json").read_text()))


@pytest.mark.parametrize("result", SAMPLES)
def test_every_result_is_valid(result: Result) -> None:
    Draft202012Validator.check_schema(schema())
    Draft202012Validator(schema()).validate(json.loads(encode(result)))


@pytest.mark.parametrize(
    ("path", "value"), [(("schema",), "analyzer-result/2"), (("runs", 0, "status"), "maybe"), (("inputs", 0), {})]
)
def test_what_is_no_result_is_not_valid(path: tuple[str | int, ...], value: object) -> None:
    document = json.loads(encode(sample()))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not Draft202012Validator(schema()).is_valid(document)


@pytest.mark.parametrize("case", CASES)
def test_every_finding_is_in_every_form_of_the_saved_result_alone(case: str) -> None:
    result = decode((REPORTS / f"{case}.json").read_bytes())
    forms = {
        "html": html.unescape(render_html(result)),
        "md": render_markdown(result),
        "sarif": render_sarif(result),
        "text": render_text(result),
    }
    for finding in result.findings:
        missing = [name for name, text in forms.items() if finding.key not in text]
        assert missing == [], finding.key
