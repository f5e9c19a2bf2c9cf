"""What a journal, a syslog and a crashed file system leave between the lines."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from analyzer.frames import KLOG_LINES, LOG_SUPPRESSIONS
from analyzer.sources.audit import SOURCE as AUDIT
from analyzer.sources.coredns import SOURCE as COREDNS
from analyzer.sources.klog import SOURCE as KLOG
from analyzer.sources.lines import HOLE
from tests.sources import wrapped
from tests.sources.texts import read_text

FORMATS = {"coredns": (COREDNS, wrapped.coredns), "klog": (KLOG, wrapped.klog), "audit": (AUDIT, wrapped.audit)}
MARKS = [
    "-- Logs begin at Sat 2026-03-14 08:00:00 UTC, end at Sat 2026-03-14 10:00:00 UTC. --",
    "-- Journal begins at Sat 2026-03-14 08:00:00 UTC, ends at Sat 2026-03-14 10:00:00 UTC. --",
    "-- Boot 0123456789abcdef0123456789abcdef --",
    "-- Reboot --",
    "-- No entries --",
]


@pytest.mark.parametrize("name", FORMATS)
def test_markers_of_a_journal_are_no_losses(name: str) -> None:
    source, line = FORMATS[name]
    lines = [wrapped.LINES["journalctl short"](number, line(number)) for number in range(len(MARKS))]
    mixed = [text for pair in zip(MARKS, lines, strict=True) for text in pair]
    reading = read_text(source, mixed, year=2026)
    assert reading.report.used == len(MARKS)
    assert reading.skipped == {"not-a-record": len(MARKS)}
    assert reading.report.incomplete_tail == 0


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_lost_before_us_is_told(name: str) -> None:
    source, line = FORMATS[name]
    lines = [wrapped.LINES["journalctl short"](number, line(number)) for number in range(3)]
    suppressed = "Mar 14 09:00:03 node-1 systemd-journald[1]: Suppressed 4321 messages from kubelet.service"
    folded = "Mar 14 09:00:03 node-1 kubelet[12]: last message repeated 7 times"
    reading = read_text(source, [*lines, suppressed, folded, *lines], year=2026)
    assert reading.report.used == 6
    assert reading.skipped == {"not-a-record": 2}
    assert "4321" in reading.notes.replace(",", "")
    assert "of kubelet were left out by rate limits" in reading.notes
    assert "told 2026-03-14 09:00:03 UTC; counts from this log are lower bounds" in reading.notes
    left_out = [row for row in reading.rows(LOG_SUPPRESSIONS) if row["kind"] == "left out"]
    at = datetime(2026, 3, 14, 9, 0, 3, tzinfo=UTC)
    assert [(row["time"], row["number"], row["component"], row["count"]) for row in left_out] == [
        (at, 4, "kubelet", 4321)
    ]
    assert "folded 7 repeated messages" in reading.notes


def test_a_hole_is_counted_in_bytes_and_costs_no_line() -> None:
    lines = [wrapped.klog(number).encode() + b"\n" for number in range(4)]
    reading = read_text(KLOG, lines[0] + lines[1] + bytes(100_000) + lines[2] + lines[3], year=2026)
    assert reading.column(KLOG_LINES, "number") == [1, 2, 3, 4]
    assert "line 3: 99,999 NUL bytes" in reading.notes
    assert reading.report.skipped == 0


def test_a_hole_larger_than_a_line_may_be_is_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.sources.lines.LINE_LIMIT", 10_000)
    line = wrapped.klog(0).encode() + b"\n"
    reading = read_text(KLOG, line + bytes(200_000) + line, year=2026)
    assert reading.report.used == 2


def test_a_hole_within_a_line_does_not_join_what_it_parts() -> None:
    event = wrapped.audit(0).encode()
    reading = read_text(AUDIT, event + b"\n" + event[:100] + bytes(HOLE * 10) + event[100:] + b"\n")
    assert reading.report.used == 1
    assert reading.report.skipped == 1
