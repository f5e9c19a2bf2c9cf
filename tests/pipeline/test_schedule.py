"""Facts and detectors run as soon as what they rest on is there, the most needed first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import polars as pl
import pytest
from msgspec.structs import replace

from analyzer.facts.contract import Fact
from analyzer.frames import AUDIT_EVENTS, KLOG_LINES, Table
from analyzer.pipeline.schedule import Task, by_use, together
from analyzer.pipeline.store import Store
from tests.build import held, rows


def fact(name: str, *inputs: Table | Fact) -> Fact:
    return Fact(table=replace(KLOG_LINES, name=name), needs_any=(inputs,), derive=lambda frames: pl.LazyFrame())


LINES = fact("lines", KLOG_LINES)
LONG = fact("long", LINES)
EVENTS = fact("events", AUDIT_EVENTS)


def test_what_a_task_rests_on_is_over_before_it_begins() -> None:
    told: list[str] = []

    def work(name: str) -> Callable[[], None]:
        def run() -> None:
            time.sleep(0.01)
            told.append(name)

        return run

    tasks = [Task("c", work("c"), ("b",)), Task("b", work("b"), ("a", "not a task")), Task("a", work("a"))]
    together(tasks, 2)
    assert told == ["a", "b", "c"]


def test_tasks_that_do_not_rest_on_each_other_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)
    done = together([Task("a", both.wait), Task("b", both.wait)], 2)
    assert sorted(future.result() for future in done.values()) == [0, 1]  # type: ignore[type-var]


def test_a_task_that_breaks_keeps_its_error_and_stops_nobody() -> None:
    done = together([Task("a", lambda: 1 // 0), Task("b", lambda: "whole", ("a",))], 2)
    assert done["b"].result() == "whole"
    with pytest.raises(ZeroDivisionError):
        done["a"].result()


def test_the_fact_that_most_rest_on_comes_first() -> None:
    assert by_use([(LONG,), (EVENTS,), (EVENTS,), (KLOG_LINES,)]) == [EVENTS, LINES, LONG]
    assert by_use([(LONG,), (LONG, EVENTS)]) == [LINES, LONG, EVENTS]


def test_a_store_holds_what_can_be_derived_from_its_tables() -> None:
    store = Store({KLOG_LINES: held(rows(KLOG_LINES))})
    assert store.has(LONG)
    assert not store.has(EVENTS)
    assert not store.has(fact("both", LINES, EVENTS))
