"""A finding at an edge or a gap of its inputs says that its counts are lower bounds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace

from analyzer.model import Coverage, Evidence, Finding, Gap, InputReport, Record, Run, Status
from analyzer.story.edges import with_limits
from tests.build import at
from tests.pipeline.test_detect import finding

HOUR = 3600


def of(*sources: str, start: float | None = 100, end: float | None = 200) -> Finding:
    records = tuple(Record(source=source, number=1) for source in sources)
    times = {name: None if time is None else at(time) for name, time in (("start", start), ("end", end))}
    return replace(finding("s"), evidence=Evidence(records=records), **times)


def read(path: str, first: float | None = 0, last: float | None = HOUR, kind: str = "audit") -> InputReport:
    begin, end = (None if time is None else at(time) for time in (first, last))
    return InputReport(path=path, kind=kind, sha256="", bytes=1, used=1, first_time=begin, last_time=end)


def limits(made: Finding, *inputs: InputReport, gaps: tuple[Gap, ...] = (), **more: Any) -> list[str]:
    run = Run(detector="d", title="t", status=Status.FIRED, findings=(made,))
    sources = tuple(one.path for one in inputs)
    table = Coverage(table="packets", rows=1, first_time=None, last_time=None, sources=sources, gaps=gaps)
    [out] = with_limits([run], inputs, [table], **more)
    return [limit.partition(":")[0] for limit in out.findings[0].limits]


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        (0, HOUR, []),
        (40, HOUR, ["a begins at 2026-03-14 09"]),
        (39.9, HOUR, []),
        (0, 260, ["a ends at 2026-03-14 09"]),
        (0, 260.1, []),
        (100, 200, ["a begins at 2026-03-14 09", "a ends at 2026-03-14 09"]),
        (None, None, []),
    ],
)
def test_within_a_minute_of_an_edge(first: float | None, last: float | None, told: list[str]) -> None:
    assert limits(of("a"), read("a", first, last)) == told


def test_only_inputs_that_the_finding_rests_on() -> None:
    assert limits(of("a"), read("a"), read("b", 100, 200)) == []


def test_a_rotated_log_goes_on_in_the_next() -> None:
    older, newer = read("audit-1", 0, 150), read("audit", 90, HOUR)
    assert limits(of("audit"), older, newer) == []
    assert limits(of("audit-1"), older, newer) == []
    assert limits(of("audit"), replace(older, kind="kubelet"), newer) == ["audit begins at 2026-03-14 09"]


def test_a_log_of_another_node_that_covers_the_time_is_no_rotation() -> None:
    assert limits(of("n1"), read("n1", 100, 1000), read("n2", 0, HOUR)) == ["n1 begins at 2026-03-14 09"]


def test_a_gap_within_the_window_is_told_once() -> None:
    gap = Gap(start=at(150), end=at(170), reason="r")
    told = limits(of("a"), read("a"), gaps=(gap, gap))
    assert told == ["packets hold nothing from 2026-03-14 09"]
    assert limits(of("a"), read("a"), gaps=(Gap(start=at(261), end=at(900), reason="r"),)) == []
    assert limits(of("b"), read("a"), gaps=(gap,)) == []


def test_what_was_wanted_only_is_an_edge_too() -> None:
    wanted: tuple[datetime, datetime] = (at(90), at(210))
    told = limits(of("a"), read("a"), wanted=wanted)
    assert told == ["Nothing before 2026-03-14 09", "Nothing from 2026-03-14 09"]


def test_a_finding_without_times_touches_nothing() -> None:
    assert limits(of("a", start=None, end=None), read("a", 100, 200)) == []


def test_a_quiet_run_is_left_as_it_is() -> None:
    quiet = Run(detector="d", title="t", status=Status.QUIET)
    assert with_limits([quiet], [], []) == (quiet,)
