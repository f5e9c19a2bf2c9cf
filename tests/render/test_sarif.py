"""The SARIF log: valid, with every finding, and with places that a viewer can open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from msgspec.structs import replace

from analyzer.model import Record, Result
from analyzer.render.sarif import FINGERPRINT, render_sarif
from tests.cases import CASES, committed
from tests.render.reading import changed
from tests.render.sample import empty, sample
from tests.render.sample_findings import HOSTILE, search_chain

PARTS = json.loads((Path(__file__).parent / "sarif_parts.json").read_text())


def log_of(result: Result) -> dict[str, Any]:
    """The run of the log, which is held to the specification's parts before."""
    log: dict[str, Any] = json.loads(render_sarif(result))
    Draft202012Validator(PARTS, format_checker=FormatChecker()).validate(log)
    [run] = log["runs"]
    told: dict[str, Any] = run
    return told


@pytest.mark.parametrize("case", CASES)
def test_the_log_of_every_case_is_valid_and_has_every_finding(case: str) -> None:
    result = committed(case)
    keys = [one["partialFingerprints"][FINGERPRINT] for one in log_of(result)["results"]]
    assert keys == [finding.key for finding in result.findings]


def test_a_finding_is_a_result_of_its_rule() -> None:
    run = log_of(sample())
    for one, finding in zip(run["results"], sample().findings, strict=True):
        assert run["tool"]["driver"]["rules"][one["ruleIndex"]]["id"] == one["ruleId"] == finding.detector
        assert one["message"]["text"] == finding.summary
    assert [one["level"] for one in run["results"]] == ["error", "error", "warning", "note"]


def test_a_frame_is_told_in_words_and_a_line_as_a_region() -> None:
    records = tuple(Record(source=source, number=7) for source in ("node3.pcap", "coredns.log"))
    finding = replace(search_chain(), evidence=replace(search_chain().evidence, records=records))
    run = log_of(replace(sample(), runs=(replace(sample().runs[0], findings=(finding,)),)))
    [one] = run["results"]
    [frame], [line] = one["locations"], one["relatedLocations"]
    assert "region" not in frame["physicalLocation"]
    assert frame["message"]["text"].startswith("frame 7, ")
    assert line["physicalLocation"]["region"] == {"startLine": 7}
    place = frame["physicalLocation"]["artifactLocation"]
    assert run["artifacts"][place["index"]]["location"]["uri"] == place["uri"] == "node3.pcap"


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("node 3/a.log", "node%203/a.log"),
        ("http://evil", "http%3A//evil"),
        ("../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("bundle.tar!dir/audit.log", "bundle.tar!dir/audit.log"),
        ("naïve?#.log", "na%C3%AFve%3F%23.log"),
        ("\ud800.log", "%5Cud800.log"),
    ],
)
def test_a_place_is_a_relative_address_whatever_the_file_is_called(path: str, uri: str) -> None:
    run = log_of(replace(sample(), inputs=(replace(sample().inputs[0], path=path),)))
    assert run["artifacts"][0]["location"]["uri"] == uri


def test_what_could_not_look_is_a_notification() -> None:
    notes = log_of(sample())["invocations"][0]["toolExecutionNotifications"]
    assert any(note["associatedRule"]["id"] == "exec-probe-timeout" for note in notes if "associatedRule" in note)


@pytest.mark.parametrize("payload", HOSTILE)
def test_hostile_text_in_any_field_leaves_the_log_valid_and_visible(payload: str) -> None:
    text = render_sarif(changed(sample(), lambda words: payload + words))
    assert json.loads(text)["runs"]
    assert all(char.isprintable() or char == "\n" for char in text)


def test_an_empty_result_is_a_valid_log() -> None:
    assert log_of(empty())["results"] == []
