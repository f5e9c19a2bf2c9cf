"""The account of a run: what preceded an onset, what it did to kubelets, and one sentence for the top."""

from __future__ import annotations

from typing import Any

import polars as pl
from msgspec.structs import replace

from analyzer.facts.contract import Fact
from analyzer.frames import AUDIT_EVENTS, KLOG_LINES, Table
from analyzer.model import Column, Confidence, Coverage, Evidence, EvidenceTable, Finding, Record, Run, Severity, Status
from analyzer.pipeline.store import Store
from analyzer.story import Told, tell
from tests.build import at, held, rows

STORM = Finding(
    detector="apiserver-throttle-storm",
    subject="node-agent",
    summary="1,200 requests were rejected, most of them by node-agent.",
    severity=Severity.HIGH,
    confidence=Confidence.HIGH,
    confidence_reason="",
    start=at(600),
    end=at(900),
    impact=(),
    evidence=Evidence(records=(Record(source="audit.log", number=1),)),
    key="apiserver-throttle-storm:node-agent",
)

WRITE = {
    "time": 300,
    "stage": "ResponseComplete",
    "verb": "create",
    "resource": "daemonsets",
    "namespace": "monitoring",
    "name": "node-agent",
    "user": "ci-deployer",
    "code": 201,
}

COVERED = Coverage(table="audit_events", rows=9, first_time=at(0), last_time=at(3600), sources=("t",))


def told(*findings: Finding, tables: dict[Table, pl.LazyFrame] | None = None) -> Told:
    runs = [Run(detector="apiserver-throttle-storm", title="t", status=Status.FIRED, findings=findings)]
    store = Store({table: held(frame) for table, frame in (tables or {}).items()})
    return tell(store.get, runs, (COVERED,))


def audit(*data: dict[str, Any]) -> dict[Table, pl.LazyFrame]:
    return {AUDIT_EVENTS: rows(AUDIT_EVENTS, *data)}


def test_a_change_before_the_onset_is_said_to_precede_it() -> None:
    [cause] = told(STORM, tables=audit(WRITE)).story.causes
    assert cause.rule == "c9"
    assert cause.from_.kind == "change"
    assert cause.from_.text == "ci-deployer created daemonsets monitoring/node-agent (audit log)"
    assert (cause.to.kind, cause.to.id, cause.lag_seconds) == ("finding", STORM.key, 300.0)
    assert cause.verdict.startswith("The change preceded the onset by 5 min and shares a name with it")


def test_a_change_that_the_finding_begins_with_is_no_change_before_it() -> None:
    made = replace(STORM, evidence=Evidence(records=(Record(source="t", number=1),)))
    account = told(made, tables=audit({**WRITE, "time": 600})).story
    [cause] = account.causes
    assert cause.verdict == "The change is the first sign of the finding itself."
    assert "before it" not in account.verdict
    [other] = told(STORM, tables=audit({**WRITE, "time": 600})).story.causes
    assert other.verdict.startswith("The change preceded the onset by 0 s")


def test_no_link_to_changes_after_the_onset_too_long_before_failed_or_routine() -> None:
    out = [
        {**WRITE, "time": 601},
        {**WRITE, "time": 600 - 1801},
        {**WRITE, "code": 403},
        {**WRITE, "verb": "get"},
        {**WRITE, "user": "system:kube-controller-manager"},
        {**WRITE, "stage": "RequestReceived"},
        {**WRITE, "resource": "leases"},
    ]
    assert told(STORM, tables=audit(*out)).story.causes == ()


def test_a_change_that_shares_no_name_is_linked_only_when_it_is_near() -> None:
    other = {**WRITE, "namespace": "shop", "name": "web"}
    assert told(STORM, tables=audit({**other, "time": 299})).story.causes == ()
    [cause] = told(STORM, tables=audit({**other, "time": 301})).story.causes
    assert "shares a name" not in cause.verdict


def test_like_changes_of_one_account_are_one_link_with_their_count() -> None:
    kinds = ("daemonsets", "configmaps", "services", "roles", "rolebindings")
    out = [{**WRITE, "time": 200 + 60 * i, "resource": kind} for i, kind in enumerate(kinds)]
    other = {**WRITE, "time": 590, "user": "bob", "namespace": "shop", "name": "web"}
    found = told(STORM, tables=audit(*out, other))
    alone, group = sorted(found.story.causes, key=lambda link: link.from_.text)
    assert group.from_.text == (
        "ci-deployer made 5 changes: created rolebindings monitoring/node-agent | created roles "
        "monitoring/node-agent | created services monitoring/node-agent | and 2 more (audit log)"
    )
    assert group.verdict == (
        "The 5 changes preceded the onset by 3 min to 7 min and share a name with it; that does not prove that they "
        "led to it."
    )
    assert alone.from_.text == "bob created daemonsets shop/web (audit log)"
    named = [moment.text for moment in found.story.timeline if moment.kind == "change"]
    assert len(named) == 4  # the timeline tells those that the links name


def test_the_offenders_own_writes_do_not_precede_it() -> None:
    own = replace(STORM, subject="system:serviceaccount:operators:widget-operator")
    assert told(own, tables=audit({**WRITE, "user": own.subject})).story.causes == ()


def test_kubelets_that_could_not_renew_leases_in_the_storm_are_linked_to_it() -> None:
    lines = rows(
        KLOG_LINES,
        {"time": 620, "host": "node-1", "severity": "E", "text": '"Failed to ensure lease exists, will retry"'},
        {"time": 640, "host": "node-1", "severity": "E", "text": '"Failed to update lease"'},
        {"time": 5000, "host": "node-2", "severity": "E", "text": '"Failed to update lease"'},
    )
    refused = {"verb": "update", "resource": "leases", "stage": "ResponseComplete", "code": 429}
    asked = [{**refused, "time": 610, "node": "node-1.internal"}, {**refused, "time": 611, "node": "node-2"}]
    [cause] = told(STORM, tables={KLOG_LINES: lines, **audit(*asked)}).story.causes
    assert (cause.rule, cause.from_.id, cause.to.kind, cause.lag_seconds) == ("c7", STORM.key, "observation", 20.0)
    assert cause.to.text == "node-1 could not renew a node lease: 2 records (component log)"


def test_a_kubelet_that_was_never_rejected_is_not_linked_to_the_storm() -> None:
    line = rows(KLOG_LINES, {"time": 620, "host": "node-1", "severity": "E", "text": '"Failed to update lease"'})
    assert told(STORM, tables={KLOG_LINES: line}).story.causes == ()


def test_a_client_that_says_it_was_told_to_wait_is_linked_without_an_audit_log_of_its_requests() -> None:
    text = "Waited for 1.2s due to server-side throttling"
    [cause] = told(STORM, tables={KLOG_LINES: rows(KLOG_LINES, {"time": 620, "host": "n", "text": text})}).story.causes
    assert cause.to.text == "n was told by the API server to wait (component log)"


def test_the_timeline_is_in_order_and_names_its_records() -> None:
    moments = told(STORM, tables=audit(WRITE)).story.timeline
    assert [moment.kind for moment in moments] == ["change", "finding-start", "finding-end"]
    assert (moments[0].source, moments[0].number) == ("t", 1)


def test_the_verdict_names_the_first_and_the_worst() -> None:
    later = replace(STORM, start=at(700), severity=Severity.CRITICAL, summary="Worse.", key="x:y")
    text = told(STORM, later).story.verdict
    assert text.startswith("2 findings were made. The first sign is at 2026-03-14 09:10:00 UTC: 1,200 requests")
    assert "The most severe, 100 s later: Worse." in text


def test_the_verdict_without_findings_never_says_all_is_well() -> None:
    quiet = Run(detector="a", title="t", status=Status.QUIET)
    blind = Run(detector="b", title="t", status=Status.SKIPPED)
    store = Store({})
    assert tell(store.get, [quiet, blind], (COVERED,)).story.verdict == (
        "No known failure pattern was found by the 1 checks that could run. 1 of 2 checks could not run."
    )
    assert tell(store.get, [blind], (COVERED,)).story.verdict.startswith("No check could run")
    assert tell(store.get, [blind], ()).story.verdict == "Nothing could be read, so nothing can be said."


def test_a_change_made_again_is_one_change_and_a_loop_of_writes_is_none() -> None:
    assert len(told(STORM, tables=audit(*([WRITE] * 5))).changes) == 1
    assert told(STORM, tables=audit(*([WRITE] * 6))).changes == ()


def test_facts_are_reached_through_get_only() -> None:
    asked: list[str] = []

    def get(need: Table | Fact) -> pl.LazyFrame | None:
        asked.append(need.name)
        return None

    tell(get, [], ())
    assert "changes" in asked


def test_a_change_of_the_workload_of_a_findings_pod_is_of_its_object() -> None:
    pods = EvidenceTable(caption="Pods", columns=(Column(name="pod"),), rows=(("shop/web-7d9f8c6b5d-x2x4z",),))
    walk = replace(STORM, subject="10.244.1.7", summary="Many.", evidence=replace(STORM.evidence, tables=(pods,)))
    write = {**WRITE, "resource": "deployments", "namespace": "shop", "name": "web"}
    other = {**write, "name": "api", "time": 590, "user": "somebody"}
    first, second = told(walk, tables=audit(write, other)).story.causes
    assert (first.from_.text, first.lag_seconds) == ("ci-deployer created deployments shop/web (audit log)", 300.0)
    assert "shares a name with it" in first.verdict
    assert "shares" not in second.verdict
