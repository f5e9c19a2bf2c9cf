"""A finding that counts lines of a log that lost some in its time says that its count is a lower bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from msgspec.structs import replace

from analyzer.facts.contract import Fact
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, LOG_SUPPRESSIONS, Table
from analyzer.model import Evidence, Finding, Record, Status
from analyzer.pipeline import RunOptions, investigate
from analyzer.render.html import render_html
from analyzer.story.leftout import left_out
from tests.build import at, rows
from tests.pipeline.test_detect import finding
from tests.sources import wrapped


def of(*records: tuple[str, int], start: float | None = 100, end: float | None = 200) -> Finding:
    times = {name: None if time is None else at(time) for name, time in (("start", start), ("end", end))}
    made = tuple(Record(source=source, number=number) for source, number in records)
    return replace(finding("s"), evidence=Evidence(records=made), **times)


def lost(
    time: float | None, count: int | None = 40, component: str | None = "kubelet", source: str = "a"
) -> dict[str, Any]:
    when = None if time is None else at(time)
    return {"time": when, "source": source, "number": 7, "kind": "left out", "count": count, "component": component}


def told(made: Finding, *suppressed: dict[str, Any], kernel: list[dict[str, Any]] | None = None) -> list[str]:
    klog = [{"time": at(150), "source": "a", "number": number, "component": "kubelet"} for number in (1, 2)]
    tables: dict[Table | Fact, pl.LazyFrame] = {
        LOG_SUPPRESSIONS: rows(LOG_SUPPRESSIONS, *suppressed),
        KLOG_LINES: rows(KLOG_LINES, *klog),
        KERNEL_MESSAGES: rows(KERNEL_MESSAGES, *(kernel or [])),
    }
    return list(left_out(tables.get, [made]).beside(made))


def test_it_names_the_log_the_writer_how_many_and_when() -> None:
    assert told(of(("a", 1)), lost(120), lost(150, 2)) == [
        (
            "a lacks 42 messages of kubelet that rate limits or overflows left out, told 2026-03-14 09:02:00 to "
            "2026-03-14 09:02:30 UTC: what is counted in it is a lower bound."
        )
    ]


@pytest.mark.parametrize(
    ("time", "says"), [(99, False), (100, True), (200, True), (260, True), (260.1, False), (None, True)]
)
def test_within_the_window_or_a_minute_later(time: float | None, says: bool) -> None:
    assert bool(told(of(("a", 1)), lost(time))) is says


@pytest.mark.parametrize(
    ("component", "says"),
    [("kubelet", True), ("kubelet.service", True), (None, True), ("docker", True), ("sshd", False)],
)
def test_only_what_its_own_writers_lost(component: str | None, says: bool) -> None:
    assert bool(told(of(("a", 1)), lost(150, component=component))) is says


def test_a_line_whose_writer_nothing_tells_may_be_anybody_s() -> None:
    assert told(of(("a", 9)), lost(150, component="sshd"))


def test_other_inputs_and_findings_without_a_time() -> None:
    assert told(of(("a", 1)), lost(150, source="b")) == []
    assert told(of(("a", 1), start=None, end=None), lost(150)) == []
    assert told(of(("a", 1))) == []


def test_how_many_may_be_unknown() -> None:
    [one] = told(of(("a", 1)), lost(150, None))
    assert one.startswith("a lacks an unknown number of messages of kubelet")
    [both] = told(of(("a", 1)), lost(150, None), lost(160, 5))
    assert both.startswith("a lacks at least 5 messages of kubelet")


def test_what_the_kernel_suppressed_concerns_its_own_lines() -> None:
    kernel = [
        {"time": at(150), "source": "a", "number": 5, "kind": "suppressed", "count": 34, "text": "x"},
        {"time": at(151), "source": "a", "number": 6, "kind": "oom_kill", "count": 1, "text": "y"},
    ]

    [one] = told(of(("a", 6)), kernel=kernel)
    assert one.startswith("a lacks 34 messages of kernel that rate limits or overflows left out")
    assert told(of(("a", 1)), kernel=kernel) == []


def test_counts_that_no_integer_holds() -> None:
    most = 9_000_000_000_000_000
    assert f"{2_000 * most:,}" in told(of(("a", 1)), *[lost(150, most)] * 2_000)[0]


def test_the_page_tells_what_a_log_lost(tmp_path: Path) -> None:
    journal = tmp_path / "kubelet.log"
    said = "Mar 14 09:00:20 n1 systemd-journald[1]: Suppressed 4321 messages from kubelet.service"
    journal.write_text("".join(f"{wrapped.LINES['journalctl short'](n, wrapped.klog(n))}\n" for n in range(30)) + said)
    result = investigate(RunOptions(inputs=(journal,), year=2026))
    [klog] = [one for one in result.coverage if one.table == "klog_lines"]

    told = (
        "kubelet.log lacks 4,321 messages of kubelet that rate limits or overflows left out, told 2026-03-14 09:00:20"
    )
    assert told in klog.remark
    assert klog.left_out == 4321
    assert "At least 4,321 messages are missing in logs by their own word." in result.story.verdict
    assert told in render_html(result)
    quiet = [run.reason for run in result.runs if run.status is Status.QUIET and "klog_lines" in run.reason]
    assert quiet
    assert all("whose inputs lack 4,321 messages" in reason for reason in quiet)
