"""A result survives being written and read, and says clearly when it is none."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from analyzer.errors import InputError
from analyzer.model import (
    Cause,
    CauseEnd,
    Confidence,
    Evidence,
    Figure,
    Finding,
    Moment,
    Record,
    Result,
    Run,
    Saving,
    Severity,
    Status,
    Story,
    Tool,
)
from analyzer.model.codec import decode, encode

T0 = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)

FINDING = Finding(
    detector="dns-search-chain",
    subject="10.0.0.7",
    summary="90 of 120 queries were wasted.",
    severity=Severity.HIGH,
    confidence=Confidence.HIGH,
    confidence_reason="the chains are complete",
    start=T0,
    end=None,
    impact=(Figure(name="wasted queries", value=90, unit="queries"),),
    saving=Saving(fix="ndots:1", observed=120, modelled=30, unit="queries", assumption="a", formula="f"),
    evidence=Evidence(records=(Record(source="a.pcap", number=3, time=T0, text="\u202eA? x"),)),
    key="dns-search-chain:10.0.0.7",
)

RESULT = Result(
    tool=Tool(name="kube-postmortem", version="1", python="3.11"),
    runs=(Run(detector="dns-search-chain", title="t", status=Status.FIRED, findings=(FINDING,)),),
    story=Story(
        timeline=(Moment(time=T0, text="t", kind="change"),),
        causes=(
            Cause(
                rule="c9",
                from_=CauseEnd(kind="change", id="a:1", text="x"),
                to=CauseEnd(kind="finding", id=FINDING.key, text="y"),
                lag_seconds=1.5,
                verdict="preceded",
            ),
        ),
    ),
)


def test_a_result_read_back_is_the_result_written() -> None:
    assert decode(encode(RESULT)) == RESULT


def test_the_contract_names_of_the_json_object() -> None:
    plain = json.loads(encode(RESULT))
    assert plain["schema"] == "analyzer-result/1"
    assert plain["tool"]["version"] == "1"
    finding = plain["runs"][0]["findings"][0]
    wanted = {"key", "detector", "subject", "summary", "severity", "confidence", "start", "end", "impact", "saving"}
    assert wanted | {"evidence", "remedies", "verify", "stories"} <= finding.keys()
    assert finding["start"] == "2026-03-14T09:00:00Z"
    assert finding["end"] is None
    assert finding["impact"] == [{"name": "wasted queries", "value": 90, "unit": "queries"}]
    assert finding["evidence"]["records"][0].keys() == {"source", "number", "time", "text", "command"}
    assert plain["story"]["causes"][0].keys() == {"rule", "from", "to", "lag_seconds", "verdict"}


def test_the_same_result_gives_the_same_bytes() -> None:
    assert encode(RESULT) == encode(decode(encode(RESULT)))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a result"),
        (b"[]", "schema is None"),
        (b'{"schema": "other/3"}', "schema is 'other/3'"),
        (b'{"schema": "analyzer-result/1", "tool": {}}', "not a whole result"),
        (b"[" * 100_000, "not a result"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(data: bytes, why: str) -> None:
    with pytest.raises(InputError, match=why):
        decode(data)


def test_a_result_that_somebody_put_together_by_hand_is_refused() -> None:
    run = RESULT.runs[0]
    for runs in (
        (run, run),
        (replace(run, findings=(FINDING, FINDING)),),
        (replace(run, detector="dns-query-flood"),),
    ):
        with pytest.raises(InputError, match=r"not a whole result of this tool: .* stands"):
            decode(encode(replace(RESULT, runs=runs)))


def test_a_value_of_any_length_costs_one_short_sentence() -> None:
    data = encode(RESULT).replace(b'"fired"', b'"' + b"x" * 100_000 + b'"')
    with pytest.raises(InputError, match=r"status") as told:
        decode(data)
    assert len(str(told.value)) < 400


def test_what_could_drive_a_terminal_is_written_as_an_escape_and_reads_back() -> None:
    hostile = "\x1b[2J \x7f \x9b31m \u202e \u2028 \u200b \U000e0041 größe 日本"
    result = replace(RESULT, title=hostile)
    data = encode(result)
    assert decode(data) == result
    assert all(char.isprintable() or char == "\n" for char in data.decode())
    assert "größe 日本" in data.decode()


def test_findings_are_ranked_by_severity_then_by_what_a_fix_saves() -> None:
    low = replace(FINDING, severity=Severity.LOW, key="a")
    small = replace(FINDING, key="b", saving=replace(FINDING.saving, modelled=119))  # type: ignore[type-var]
    runs = (replace(RESULT.runs[0], findings=(low, small, FINDING)),)
    assert [f.key for f in replace(RESULT, runs=runs).findings] == [FINDING.key, "b", "a"]
