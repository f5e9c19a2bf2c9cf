"""Findings as SARIF 2.1.0 (OASIS), for the places that already list those of other tools.

A detector is a rule, a finding is a result, a quoted record is a location. Addresses of inputs are relative and
percent-encoded; a line is told where the input has lines, a frame in the message of its location.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from analyzer.model import Comparison, Finding, InputReport, Record, Result, Run, Severity, State, Status
from analyzer.model.stories import published
from analyzer.render.escape import shown
from analyzer.render.format import clock

VERSION = "2.1.0"
SCHEMA_URI = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

LEVELS = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}

BASELINE_STATES = {
    State.NEW: "new",
    State.SAME: "unchanged",
    State.WORSE: "updated",
    State.BETTER: "updated",
}

FINGERPRINT = "findingKey/v1"
"""Under this name a viewer recognises a finding in the next run (SARIF 2.1.0, section 3.27.17)."""

_Json = dict[str, Any]


def render_sarif(result: Result) -> str:
    """One SARIF log with one run, two-space indent, ending in a newline. The same result gives the same text."""
    plain = {"$schema": SCHEMA_URI, "version": VERSION, "runs": [_run(result)]}
    return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode() + "\n"


def _run(result: Result) -> _Json:
    at = {run.detector: index for index, run in enumerate(result.runs)}
    places = {report.path: index for index, report in enumerate(result.inputs)}
    kinds = {report.path: report.kind for report in result.inputs}
    since = _since(result.comparison)
    labels = {_text(one.name): _text(one.value) for one in result.labels}
    return {
        "tool": {
            "driver": {
                "name": _text(result.tool.name),
                "version": _text(result.tool.version),
                "rules": [_rule(run) for run in result.runs],
            }
        },
        "invocations": [_invocation(result)],
        "artifacts": [_artifact(report) for report in result.inputs],
        "results": [
            _result(finding, at[finding.detector], places, kinds) | since.get(finding.key, {})
            for finding in result.findings
        ],
        "columnKind": "unicodeCodePoints",
    } | ({"properties": {"labels": labels}} if labels else {})


def _rule(run: Run) -> _Json:
    """A rule; with what was published of the pattern where it was met (section 3.49.13)."""
    made: _Json = {"id": _text(run.detector), "shortDescription": {"text": _text(run.title or run.detector)}}
    met = published(dict.fromkeys(number for finding in run.findings for number in finding.stories))
    told = [f"{story.text}: {story.where} {story.url}" for story in met if story.where]
    return made | ({"help": {"text": "Published stories of the same pattern:\n" + "\n".join(told)}} if told else {})


def _invocation(result: Result) -> _Json:
    """Detectors that could not look, and inputs that could not be read: their silence is no good news."""
    silent = [run for run in result.runs if run.status in (Status.SKIPPED, Status.FAILED)]
    notes = [
        {
            "level": "error" if run.status is Status.FAILED else "note",
            "message": {"text": _text(f"{run.detector} could not look: {run.reason}")},
            "associatedRule": {"id": _text(run.detector)},
        }
        for run in silent
    ]
    notes += [
        {"level": "warning", "message": {"text": _text(f"{report.path}: {report.error}")}}
        for report in result.inputs
        if report.error
    ]
    made: _Json = {"executionSuccessful": all(run.status is not Status.FAILED for run in result.runs)}
    if result.command:
        made["commandLine"] = _text(result.command)
    return made | ({"toolExecutionNotifications": notes} if notes else {})


def _artifact(report: InputReport) -> _Json:
    made: _Json = {"location": {"uri": _uri(report.path)}, "length": report.bytes}
    return made | ({"hashes": {"sha-256": _text(report.sha256)}} if report.sha256 else {})


def _result(finding: Finding, rule: int, places: dict[str, int], kinds: dict[str, str]) -> _Json:
    records = finding.evidence.records
    figures = {_text(figure.name): {"value": figure.value, "unit": _text(figure.unit)} for figure in finding.impact}
    return {
        "ruleId": _text(finding.detector),
        "ruleIndex": rule,
        "level": LEVELS[finding.severity],
        "message": {"text": _text(finding.summary)},
        "locations": [_location(record, places, kinds) for record in records[:1]],
        "relatedLocations": [_location(record, places, kinds) for record in records[1:]],
        "partialFingerprints": {FINGERPRINT: _text(finding.key)},
        "properties": {
            "subject": _text(finding.subject),
            "severity": finding.severity.value,
            "confidence": finding.confidence.value,
            "start": clock(finding.start) if finding.start else None,
            "end": clock(finding.end) if finding.end else None,
            "impact": figures,
            "remedies": [_text(remedy.text) for remedy in finding.remedies],
        },
    }


def _since(comparison: Comparison | None) -> dict[str, _Json]:
    """How findings stand to the baseline, by key (section 3.27.24); none where that could not be seen."""
    every = comparison.findings if comparison else ()
    return {one.key: {"baselineState": BASELINE_STATES[one.state]} for one in every if one.state in BASELINE_STATES}


def _location(record: Record, places: dict[str, int], kinds: dict[str, str]) -> _Json:
    artifact: _Json = {"uri": _uri(record.source)}
    if record.source in places:
        artifact["index"] = places[record.source]
    place: _Json = {"artifactLocation": artifact}
    framed = kinds.get(record.source) == "pcap"
    if not framed and record.number > 0:
        place["region"] = {"startLine": record.number}
    where = f"{'frame' if framed else 'line'} {record.number}, {clock(record.time)}"
    return {"physicalLocation": place, "message": {"text": _text(f"{where}: {record.text}" if record.text else where)}}


def _uri(path: str) -> str:
    """A relative reference (RFC 3986): what could be read as a scheme or leave the folder is encoded away."""
    return quote(_text(path).lstrip("/"), safe="/!~-._").replace("../", "%2E%2E/")


def _text(text: str) -> str:
    return shown(text, keep="\n\t")
