"""Messages that are not in a log, or stand in it once only, are counted where the log says so."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, LOG_SUPPRESSIONS
from analyzer.sources.klog import SOURCE
from tests.sources.klog_log import line
from tests.sources.texts import Reading, read_text

AT = "Mar 14 09:00:07 node-1"


def read(*lines: str) -> Reading:
    return read_text(SOURCE, [f"{AT} kubelet[1]: {line('one')}", *(f"{AT} {text}" for text in lines)], year=2026)


DROPS = "begin to drop messages due to rate-limiting"
RATE = "messages lost due to rate-limiting (20000 allowed within 300 seconds)"


@pytest.mark.parametrize(
    ("text", "component", "kind", "count", "repeated"),
    [
        ("kubelet[1]: message repeated 500 times: [ too bad]", "kubelet", "repeated", 500, "too bad"),
        ("kubelet[1]: message repeated 2 times: [ cut at 800", "kubelet", "repeated", 2, "cut at 800"),
        ("kubelet[1]: last message repeated 7 times", "kubelet", "repeated", 7, None),
        ("kernel: last message repeated 9 times", "kernel", "repeated", 9, None),
        ("systemd-journald[5]: Suppressed 12 messages from kubelet.service", "kubelet", "left out", 12, None),
        (
            "systemd-journald[5]: Suppressed 9 messages from /system.slice/kubelet.service",
            "kubelet",
            "left out",
            9,
            None,
        ),
        ("systemd-journald[5]: Missed 3 kernel messages", "kernel", "left out", 3, None),
        (f"rsyslogd: imuxsock[pid: 51, name: /usr/bin/kubelet]: 488 {RATE}", "kubelet", "left out", 488, None),
        (f"rsyslogd: imjournal: 90 {RATE}", None, "left out", 90, None),
        (f"rsyslogd: imjournal from <node-1:kubelet>: 90 {RATE}", "kubelet", "left out", 90, None),
        (f"rsyslogd: imuxsock[pid: 51, name: /usr/bin/kubelet]: {DROPS}", "kubelet", "left out", None, None),
        (f"rsyslogd[9]: imjournal: {DROPS}", None, "left out", None, None),
        ("rsyslogd-2177: imuxsock lost 6 messages from pid 28 due to rate-limiting", None, "left out", 6, None),
    ],
)
def test_what_is_not_there_is_a_row(
    text: str, component: str | None, kind: str, count: int | None, repeated: str | None
) -> None:
    reading = read(text, f"kubelet[1]: {line('two')}")
    row = {
        "time": datetime(2026, 3, 14, 9, 0, 7, tzinfo=UTC),
        "source": "a.log",
        "number": 2,
        "host": "node-1",
        "component": component,
        "kind": kind,
        "count": count,
        "text": repeated,
    }
    assert reading.rows(LOG_SUPPRESSIONS) == [{name: value for name, value in row.items() if value is not None}]
    assert len(reading.rows(KLOG_LINES)) == 2
    assert "not counted" in reading.notes or "lower bounds" in reading.notes
    report = reading.report
    assert report.records == report.used + report.skipped + report.incomplete_tail == 3


@pytest.mark.parametrize(
    "text",
    [
        "kubelet[1]: Suppressed 12 messages from kubelet.service",
        "web[3]: Missed 3 kernel messages",
        "web[3]: imuxsock: 9 messages lost due to rate-limiting",
        "web[3]: imuxsock: begin to drop messages due to rate-limiting",
        "kubelet[1]: message repeated many times: [ x]",
    ],
)
def test_the_words_of_another_are_no_rows(text: str) -> None:
    assert read(text).rows(LOG_SUPPRESSIONS) == []


def test_a_line_of_the_kernel_that_was_repeated_counts_so_often() -> None:
    reading = read(
        "kernel: message repeated 4 times: [ [   12.500000] Out of memory: Killed process 7 (a)]",
        "kernel: message repeated 3 times: [ [   13.000000] net_ratelimit: 5 callbacks suppressed]",
        "kernel: [   14.000000] plain",
    )
    told = [(row["kind"], row["count"], row["monotonic_seconds"]) for row in reading.rows(KERNEL_MESSAGES)]
    assert told == [("oom_kill", 4, 12.5), ("suppressed", 15, 13.0), ("other", 1, 14.0)]
    assert reading.rows(LOG_SUPPRESSIONS) == []


def test_a_claim_without_measure_stays_a_number() -> None:
    text = "message repeated 999999999 times: [ [ 1.000000] x: 999999999999999 callbacks suppressed]"
    reading = read(*[f"kernel: {text}"] * 20)
    assert {row["count"] for row in reading.rows(KERNEL_MESSAGES)} == {999_999_999_000_000}


def test_secrets_in_a_repeated_message_are_masked() -> None:
    [row] = read("kubelet[1]: message repeated 2 times: [ password=hunter2hunter2]").rows(LOG_SUPPRESSIONS)
    assert "hunter2" not in row["text"]


def test_a_log_without_such_lines_has_no_such_table() -> None:
    assert LOG_SUPPRESSIONS not in read().tables


def test_the_journal_of_a_unit_without_prefixes() -> None:
    lines = [
        line("one"),
        "Suppressed 40 messages from kubelet.service",
        line("two"),
        "Suppressed 3 messages from a test",
    ]
    reading = read_text(SOURCE, lines, year=2026)

    assert [(row["number"], row["component"], row["count"]) for row in reading.rows(LOG_SUPPRESSIONS)] == [
        (2, "kubelet", 40)
    ]


def test_notes_name_a_few_programs_and_count_the_others() -> None:
    told = [f"systemd-journald[5]: Suppressed {n} messages from unit-{n}.service" for n in range(1, 8)]
    notes = [note for note in read(*told, *told).report.notes if "left out" in note]

    assert len(notes) == 6
    assert notes[0].startswith("line 8: 14 messages of unit-7 were left out")
    assert notes[-1] == "6 more messages of 2 other programs were left out likewise"
