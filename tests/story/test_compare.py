"""A result against an earlier one: new, worse, the same, better, gone, and what cannot be said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from analyzer.model import (
    Comparison,
    Confidence,
    Entity,
    Evidence,
    Figure,
    Finding,
    InputReport,
    Record,
    Result,
    Run,
    SettingValue,
    Severity,
    State,
    Status,
    Tool,
)
from analyzer.render.html import render_html
from analyzer.render.markdown import render_markdown
from analyzer.render.text import render_text
from analyzer.story.compare import compare

T0 = datetime(2026, 3, 14, 9, tzinfo=UTC)


def finding(subject: str = "10.0.0.7", value: float = 600, unit: str = "queries", **more: object) -> Finding:
    plain = Finding(
        detector="dns-search-chain",
        subject=subject,
        key=f"dns-search-chain:{subject}",
        summary=f"{value} by {subject}",
        severity=Severity.MEDIUM,
        confidence=Confidence.HIGH,
        confidence_reason="",
        start=T0,
        end=T0,
        impact=(Figure(name="wasted", value=value, unit=unit),),
        evidence=Evidence(records=(Record(source="a.log", number=1),)),
    )
    return replace(plain, **more)


def result(*findings: Finding, status: Status | None = None, hours: float = 1, **more: object) -> Result:
    run = Run(
        detector="dns-search-chain",
        title="t",
        status=status or (Status.FIRED if findings else Status.QUIET),
        reason="no input gave dns" if status is Status.SKIPPED else "",
        findings=findings,
    )
    report = InputReport(
        path="a.log",
        kind="coredns",
        sha256="",
        bytes=1,
        records=1,
        used=1,
        first_time=T0,
        last_time=T0 + timedelta(hours=hours),
    )
    plain = Result(tool=Tool(name="n", version="1", python=""), title="monday", runs=(run,), inputs=(report,))
    return replace(plain, **more)


def states(compared: Comparison) -> dict[str, State]:
    return {row.key: row.state for row in compared.findings}


KEY = finding().key


@pytest.mark.parametrize(
    ("value", "state"),
    [
        (600, State.SAME),
        (660, State.SAME),
        (661, State.WORSE),
        (546, State.SAME),
        (545, State.BETTER),
        (0, State.BETTER),
    ],
)
def test_the_main_figure_decides_where_the_severity_is_equal(value: float, state: State) -> None:
    assert states(compare(result(finding()), result(finding(value=value)))) == {KEY: state}


def test_severity_comes_before_figures() -> None:
    worse = finding(value=1, severity=Severity.HIGH)
    [row] = compare(result(finding()), result(worse)).findings
    assert (row.state, row.reason) == (State.WORSE, "severity was medium, is high")
    assert (row.severity_before, row.severity_after) == (Severity.MEDIUM, Severity.HIGH)
    assert states(compare(result(worse), result(finding(value=9999)))) == {KEY: State.BETTER}


def test_counts_are_compared_per_hour_of_the_evidence() -> None:
    [row] = compare(result(finding(), hours=1), result(finding(value=6000), hours=10)).findings
    assert (row.state, row.reason) == (State.SAME, "wasted per hour of the evidence: 600, now 600")
    [figure] = row.figures
    assert (figure.before, figure.after) == (600, 6000)


def test_a_fraction_is_compared_as_it_is() -> None:
    before, after = (result(finding(value=0.5, unit="fraction"), hours=hours) for hours in (1, 10))
    [row] = compare(before, after).findings
    assert (row.state, row.reason) == (State.SAME, "wasted: 0.5, now 0.5")


def test_what_was_looked_for_and_not_found_is_new_or_gone() -> None:
    assert states(compare(result(), result(finding()))) == {KEY: State.NEW}
    assert states(compare(result(finding()), result())) == {KEY: State.GONE}


@pytest.mark.parametrize("status", [Status.SKIPPED, Status.FAILED])
def test_what_could_not_be_looked_for_is_neither(status: Status) -> None:
    assert states(compare(result(status=status), result(finding()))) == {KEY: State.UNKNOWN}
    assert states(compare(result(finding()), result(status=status))) == {KEY: State.UNKNOWN}


def test_a_detector_that_was_not_run_proves_nothing() -> None:
    [row] = compare(result(finding()), result(runs=())).findings
    assert (row.state, row.reason) == (State.UNKNOWN, "these inputs cannot show it: the detector was not run")


def pod(address: str, workload: str) -> Entity:
    return Entity(kind="address", id=address, label="", known_from="", workload=workload)


def test_the_pods_of_one_workload_are_compared_though_their_addresses_changed() -> None:
    before = result(
        finding("10.0.0.7"), finding("10.0.0.8", 30), entities=tuple(pod(f"10.0.0.{i}", "shop/web") for i in (7, 8))
    )
    after = result(finding("10.0.0.9", 30), entities=(pod("10.0.0.9", "shop/web"),))
    rows = {row.key: row for row in compare(before, after).findings}
    moved = rows["dns-search-chain:10.0.0.9"]
    assert (moved.state, moved.before_key) == (State.BETTER, "dns-search-chain:10.0.0.7")
    assert moved.reason.startswith("another pod of shop/web; ")
    assert rows["dns-search-chain:10.0.0.8"].state is State.GONE


def test_pods_of_different_or_unknown_workloads_are_not_compared() -> None:
    for left, right in (("shop/web", "shop/api"), ("", ""), ("shop/web", "")):
        before = result(finding("10.0.0.7"), entities=(pod("10.0.0.7", left),))
        after = result(finding("10.0.0.9"), entities=(pod("10.0.0.9", right),))
        assert set(states(compare(before, after)).values()) == {State.NEW, State.GONE}


def test_what_differs_beside_the_findings_is_said() -> None:
    setting = SettingValue(detector="d", name="s", value="1", default=True, doc="")
    old = result(settings=(setting,))
    new = result(settings=(replace(setting, value="2"),), inputs=(replace(old.inputs[0], kind="pcap"),))
    assert compare(old, new).caveats == (
        "The baseline had coredns; these inputs have not.",
        "These inputs have pcap; the baseline had not.",
        "Settings differ: d.s.",
    )
    assert compare(old, old).caveats == ()


def test_what_is_worst_stands_first_and_the_verdict_counts() -> None:
    before = result(finding("a"), finding("b"))
    after = result(finding("b", 10), finding("c"), finding("d", severity=Severity.HIGH))
    compared = compare(before, after)
    assert [row.key[-1] for row in compared.findings] == ["d", "c", "b", "a"]
    assert compared.verdict == "Against the baseline: 2 new, 1 better, 1 gone."
    assert compare(result(), result()).verdict == "Neither result has a finding."


def test_every_form_tells_it() -> None:
    after = result(finding("b", 10))
    told = replace(after, comparison=compare(result(finding("a")), after))
    for text in (render_html(told), render_markdown(told), render_text(told)):
        assert "Against the baseline: 1 new, 1 gone." in text
        assert "dns-search-chain:a" in text
