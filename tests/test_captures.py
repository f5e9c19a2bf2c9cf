"""Each committed case: what the recording script counted is what the tool finds, and the committed report shows it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from msgspec.structs import replace

from analyzer.model import Finding, Result, State, Status
from analyzer.story.causes import RULES
from analyzer.story.compare import compare
from tests.cases import CAPTURES, CASES, REPORTS, as_html, as_json, committed, result_of
from tests.facts.test_shell import unguarded

EVERY_CASE = pytest.mark.parametrize("case", CASES)

SECONDS = 0.002
"""Relative tolerance of times: what a script adds up in nanoseconds is read back in microseconds."""


HARM = {
    "admission-denial-loop": {"denials", "owners stuck", "replicas missing"},
    "apiserver-overload": {"5xx answers", "504 answers", "panics", "slow requests", "restarts of the server"},
    "apiserver-throttle-storm": {"rejected requests", "rejected requests of others"},
    "audit-log-flood": {"records of the writer", "bytes of the writer"},
    "cpu-throttle-hint": {"throttled periods", "throttled seconds", "answers held up", "seconds held up"},
    "cryptominer-traffic": {"connections", "shares submitted", "seconds connected", "queries for names of pools"},
    "discovery-burst": {"GETs", "GETs per run"},
    "dns-backend-blackhole": {"unanswered queries", "failed lookups"},
    "dns-client-timeout": {"pairs with exactly one answer", "added seconds"},
    "dns-query-flood": {"queries of the client"},
    "dns-search-chain": {"lookups walked", "wasted queries"},
    "dns-upstream-throttle": {"failed queries", "seconds waited"},
    "egress-identity-change": {"failed attempts", "attempts without answer"},
    "exec-probe-timeout": {"timeouts"},
    "exposed-admin-service": {
        "anonymous requests allowed",
        "connections from public addresses",
        "commands run by its account",
        "seconds open",
    },
    "image-pull-stampede": {"attempts", "repeated attempts"},
    "imds-credential-refusal": {"refused requests", "seconds blocked"},
    "imds-credential-storm": {"refreshes", "metadata requests"},
    "imds-hop-limit": {"token requests without an answer", "seconds waited for tokens"},
    "kernel-audit-flood": {"records by serial"},
    "kubelet-status-lag": {"pods over the threshold", "median lag"},
    "log-silence": {"seconds silent", "lines expected meanwhile", "packets expected meanwhile"},
    "node-crash-cascade": {"nodes", "pods moved"},
    "replica-collapse": {"replica-seconds lost", "pods deleted"},
    "runtime-stall": {"seconds stalled", "stop deadlines", "sandbox deadlines", "hung tasks"},
    "slow-pod-start": {"seconds above the fleet median", "median", "95th percentile", "longest"},
    "snat-retransmission": {"external share", "external retransmissions"},
    "stateful-simultaneous-restart": {"replicas restarted together", "replica-seconds down"},
    "terminating-endpoint-traffic": {"refused new connections", "unanswered new connections"},
    "termination-sigkill": {"pods killed inside their grace period", "pods killed at the end of their grace period"},
    "unschedulable-backlog": {"pods pending", "pod-seconds pending"},
    "watch-list-amplification": {"lists"},
}
"""By detector what grows with what is wrong; all other figures tell of the load, of before or of elsewhere."""

AMOUNTS = ((0.5, 1, State.BETTER), (0.5, 2, State.BETTER), (2, 1, State.WORSE), (2, 0.5, State.WORSE))
"""How much of the harm there is, how much of all else, and what a comparison must say of it."""


def truth(case: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((CAPTURES / case / "truth.json").read_text())
    return told


@EVERY_CASE
def test_finds_exactly_what_is_true(case: str) -> None:
    assert {finding.key for finding in result_of(case).findings} == set(truth(case)["findings"])


@EVERY_CASE
def test_every_figure_is_what_the_script_counted(case: str) -> None:
    for finding in result_of(case).findings:
        for name, counted in truth(case)["findings"][finding.key].items():
            value = finding.figure(name)
            if isinstance(counted, float):
                assert value == pytest.approx(counted, rel=SECONDS), f"{finding.key}: {name}"
            else:
                assert value == counted, f"{finding.key}: {name}"


@EVERY_CASE
def test_every_record_is_read_and_every_detector_answers(case: str) -> None:
    result = result_of(case)
    assert [run.detector for run in result.runs if run.status is Status.FAILED] == []
    for report in result.inputs:
        assert report.records == report.used + report.skipped + report.incomplete_tail
        lost = [reason.reason for reason in report.skipped_reasons if reason.reason != "not-a-record"]
        assert lost == [], report.path


@EVERY_CASE
def test_every_command_is_one_that_a_shell_reads_and_takes_names_for_names(case: str) -> None:
    findings = result_of(case).findings
    commands = [command for finding in findings for command in finding.verify]
    commands += [record.command for finding in findings for record in finding.evidence.records]
    assert [word for command in commands for word in unguarded(command)] == []
    done = subprocess.run(["sh", "-n"], input="\n".join(commands).encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@EVERY_CASE
def test_the_committed_result_is_what_the_tool_says_today(case: str) -> None:
    like = committed(case)
    assert as_json(result_of(case), like) == (REPORTS / f"{case}.json").read_text()
    assert as_html(result_of(case), like) == (REPORTS / f"{case}.html").read_text()


LINKED = [case for case in CASES if "links" in truth(case)]


def drawn(result: Result) -> list[list[str]]:
    """Links of cause rules: rule, first and second end, a finding by its key."""
    ends = [(one.rule, one.from_, one.to) for one in result.story.causes if one.rule != "c9"]
    return sorted([rule, *(end.id if end.kind == "finding" else end.kind for end in pair)] for rule, *pair in ends)


@pytest.mark.parametrize("case", LINKED)
def test_draws_exactly_the_links_that_are_true(case: str) -> None:
    assert drawn(result_of(case)) == truth(case)["links"]


@pytest.mark.parametrize("rule", sorted({"c9", *(rule.id for rule in RULES)}))
def test_every_cause_rule_has_a_case_that_draws_it(rule: str) -> None:
    told = (case for case in CASES if (REPORTS / f"{case}.json").is_file())
    assert any(one.rule == rule for case in told for one in committed(case).story.causes), rule


def test_there_is_a_case_that_fires_for_every_detector_and_one_that_stays_quiet() -> None:
    fired = {finding.detector for case in CASES for finding in result_of(case).findings}
    every = {run.detector for run in result_of(CASES[0]).runs}
    assert fired == every
    assert not result_of("quiet").findings


def _told(result: Result, finding: Finding, harm: float, rest: float) -> Result:
    """The result with this finding alone, as large as that."""
    wrong = HARM[finding.detector]
    impact = tuple(replace(f, value=f.value * (harm if f.name in wrong else rest)) for f in finding.impact)
    runs = (replace(run, findings=(replace(finding, impact=impact),)) for run in result.runs)
    return replace(result, runs=tuple(run for run in runs if run.detector == finding.detector))


@pytest.mark.parametrize("detector", sorted(HARM))
def test_half_the_incident_is_better_and_twice_the_incident_is_worse(detector: str) -> None:
    met = [(result_of(case), f) for case in CASES for f in result_of(case).findings if f.detector == detector]
    assert met
    for result, finding in met:
        whole = _told(result, finding, 1, 1)
        for harm, rest, state in AMOUNTS:
            [row] = compare(whole, _told(result, finding, harm, rest)).findings
            assert row.state is state, f"{finding.key}: {row.reason}"


def test_every_detector_says_what_it_measures_harm_by() -> None:
    assert set(HARM) == {run.detector for run in result_of(CASES[0]).runs}
