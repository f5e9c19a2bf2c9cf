"""Every detector ends up fired, quiet, skipped or failed, and one that breaks costs nothing but its own answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

import polars as pl
import pytest
from msgspec import Struct
from msgspec.structs import replace

from analyzer.detector import Detector, NotObservable, Remark
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.frames import AUDIT_EVENTS, COREDNS_QUERIES, DNS_MESSAGES, KLOG_LINES
from analyzer.model import Confidence, Evidence, Figure, Finding, Record, Severity, Status
from analyzer.pipeline.coverage import coverage_of
from analyzer.pipeline.detect import run_all, run_one
from analyzer.pipeline.store import Store
from tests.build import at, held, rows


class NoSettings(Struct, frozen=True):
    pass


def finding(subject: str) -> Finding:
    return Finding(
        detector="d",
        subject=subject,
        summary="s",
        severity=Severity.LOW,
        confidence=Confidence.LOW,
        confidence_reason="",
        start=at(0),
        end=at(1),
        impact=(),
        evidence=Evidence(records=(Record(source="t", number=1),)),
    )


def detector(*outcome: Finding | Remark | Exception, **changed: Any) -> Detector[NoSettings]:
    def detect(frames: Frames, settings: NoSettings) -> Iterable[Finding | Remark]:
        seen.append({need.name for need, _ in frames.items()})
        for one in outcome:
            if isinstance(one, Exception):
                raise one
            yield one

    seen.clear()
    made: dict[str, Any] = {
        "id": "d", "title": "t", "needs_any": ((KLOG_LINES,),), "settings": NoSettings(), "remedies": ()
    }  # fmt: skip
    return Detector(detect=detect, **(made | changed))


seen: list[set[str]] = []
LINES = Store({KLOG_LINES: held(rows(KLOG_LINES, {"severity": "E"}, {"severity": "W"}))})
NOTHING = Store({})


def test_fired_with_its_findings_and_stable_keys() -> None:
    run = run_one(detector(finding("a"), finding("b"), finding("a")), LINES, ())
    assert run.status is Status.FIRED
    assert [f.key for f in run.findings] == ["d:a", "d:b", "d:a#2"]


def test_quiet_says_what_it_looked_at() -> None:
    run = run_one(detector(), LINES, coverage_of(LINES, ()))
    assert run.status is Status.QUIET
    assert run.reason == (
        "nothing of the kind in 2 rows of klog_lines from 2026-03-14 09:00:00 to 2026-03-14 09:00:01 UTC"
    )


def test_quiet_keeps_its_remarks() -> None:
    assert run_one(detector(Remark("typo")), LINES, ()).remarks == ("typo",)


def test_skipped_names_every_alternative_that_was_missing() -> None:
    run = run_one(detector(needs_any=((KLOG_LINES,), (AUDIT_EVENTS, COREDNS_QUERIES))), NOTHING, ())
    assert run.status is Status.SKIPPED
    assert run.reason == (
        "no input gave klog_lines or audit_events and coredns_queries; "
        "what is missing comes from inputs of kind audit, coredns, kubelet"
    )


def test_skipped_asks_for_the_inputs_that_give_all_of_what_is_missing() -> None:
    run = run_one(detector(needs_any=((DNS_TRANSACTIONS, DNS_MESSAGES),)), NOTHING, ())
    assert run.reason.endswith("what is missing comes from inputs of kind pcap")  # a CoreDNS log has no messages


def test_skipped_as_not_observable_where_the_evidence_cannot_be_held() -> None:
    run = run_one(detector(NotObservable("the policy drops list")), LINES, ())
    assert (run.status, run.reason) == (Status.SKIPPED, "not observable: the policy drops list")


def test_failed_keeps_the_error() -> None:
    run = run_one(detector(finding("a"), ZeroDivisionError("by zero")), LINES, ())
    assert (run.status, run.reason, run.findings) == (Status.FAILED, "ZeroDivisionError: by zero", ())


def test_a_detector_sees_only_what_it_declared() -> None:
    store = Store({KLOG_LINES: held(rows(KLOG_LINES)), AUDIT_EVENTS: held(rows(AUDIT_EVENTS))})
    run_one(detector(), store, ())
    assert seen == [{"klog_lines"}]
    run_one(detector(uses=(AUDIT_EVENTS, COREDNS_QUERIES)), store, ())
    assert seen == [{"klog_lines", "audit_events"}]


def test_a_fact_is_derived_once_for_all() -> None:
    calls = []

    def derive(frames: Frames) -> Any:
        calls.append(1)
        return frames[KLOG_LINES]

    fact = Fact(table=KLOG_LINES, needs_any=((KLOG_LINES,),), derive=derive)
    store = Store({KLOG_LINES: held(rows(KLOG_LINES, {}))})
    for _ in range(2):
        assert run_one(detector(needs_any=((fact,),)), store, ()).status is Status.QUIET
    assert len(calls) == 1


def test_a_fact_that_breaks_its_contract_fails_its_detector_only() -> None:
    fact = Fact(table=AUDIT_EVENTS, needs_any=((KLOG_LINES,),), derive=lambda frames: frames[KLOG_LINES])
    run = run_one(detector(needs_any=((fact,),)), LINES, ())
    assert run.status is Status.FAILED
    assert "audit_events: stage_time: missing" in run.reason


def test_runs_stand_in_the_order_of_detectors_and_a_fact_is_derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.pipeline.detect.SHARED_FROM", 1)
    derived: list[str] = []

    def derive(frames: Frames) -> pl.LazyFrame:
        derived.append("once")
        time.sleep(0.05)
        return frames[KLOG_LINES]

    fact = Fact(table=replace(KLOG_LINES, name="derived"), needs_any=((KLOG_LINES,),), derive=derive)
    several = [detector(finding(name), id=name, needs_any=((fact,),)) for name in ("a", "b", "c", "d")]
    store = Store({KLOG_LINES: held(rows(KLOG_LINES, {"severity": "E"}))})
    runs = run_all([*several, detector(ValueError("x"), id="e")], store, (), jobs=2)
    assert [run.detector for run in runs] == ["a", "b", "c", "d", "e"]
    assert [run.status for run in runs] == [Status.FIRED] * 4 + [Status.FAILED]
    assert derived == ["once"]


def test_what_comes_after_is_prepared_while_the_last_detector_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first detector is at work until all is prepared for what it may find."""
    monkeypatch.setattr("analyzer.pipeline.detect.SHARED_FROM", 1)
    drawn: list[str] = []
    ready = threading.Event()

    def slow(frames: Frames, settings: NoSettings) -> Iterable[Finding]:
        assert ready.wait(timeout=30)
        yield finding("a")

    several = [replace(detector(id="a"), detect=slow), *(detector(finding(name), id=name) for name in ("b", "c"))]
    store = Store({KLOG_LINES: held(rows(KLOG_LINES, {"severity": "E"}))})
    runs = run_all(several, store, (), jobs=2, draw=lambda: drawn.append("once"), ready=ready.set)
    assert drawn == ["once"]
    assert [run.status for run in runs] == [Status.FIRED] * 3


def test_nothing_is_prepared_where_all_detectors_are_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.pipeline.detect.SHARED_FROM", 1)
    store = Store({KLOG_LINES: held(rows(KLOG_LINES, {"severity": "E"}))})

    def late() -> None:
        time.sleep(0.2)  # the only detector is through long before

    prepared: list[str] = []
    several = [detector(finding("a"), id="a")]
    [run] = run_all(several, store, (), jobs=2, draw=late, ready=lambda: prepared.append("for nothing"))
    assert run.status is Status.FIRED
    assert prepared == []


@pytest.mark.parametrize("count", [0, 1])
def test_a_fact_is_derived_only_where_something_that_it_needs_has_rows(count: int) -> None:
    derived: list[str] = []

    def derive(frames: Frames) -> pl.LazyFrame:
        derived.append("once")
        return frames[KLOG_LINES]

    fact = Fact(
        table=replace(KLOG_LINES, name="derived"), needs_any=((KLOG_LINES,),), uses=(AUDIT_EVENTS,), derive=derive
    )
    lines = held(rows(KLOG_LINES, *[{"severity": "E"}] * count))
    store = Store({KLOG_LINES: lines, AUDIT_EVENTS: held(rows(AUDIT_EVENTS, {"verb": "get"}))})
    made = store.get(fact)
    assert made is not None
    assert dict(made.collect_schema()) == dict(KLOG_LINES.schema)
    assert made.collect().height == count
    assert derived == ["once"] * count


def test_a_fact_that_nobody_looks_at_is_not_derived() -> None:
    def derive(frames: Frames) -> pl.LazyFrame:
        raise AssertionError

    fact = Fact(table=replace(KLOG_LINES, name="derived"), needs_any=((KLOG_LINES,),), derive=derive)
    store = Store({KLOG_LINES: held(rows(KLOG_LINES, {"severity": "E"}))})
    seen = store.select([KLOG_LINES, AUDIT_EVENTS, fact])
    assert list(seen) == [KLOG_LINES, fact]
    assert fact in seen
    assert len(seen) == len([KLOG_LINES, fact])
    assert seen.get(AUDIT_EVENTS) is None


def test_a_run_has_no_digits_that_say_nothing() -> None:
    figure = Figure(name="seconds", value=0.1 + 0.2, unit="seconds")
    store = Store({KLOG_LINES: held(rows(KLOG_LINES, {}))})
    run = run_one(detector(replace(finding("a"), impact=(figure,))), store, ())
    assert run.findings[0].impact[0].value == 0.3
