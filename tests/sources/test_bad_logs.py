"""Damaged and hostile logs, where that evidence lies beside the checkout: every outcome is fixed."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from analyzer.errors import InputError
from analyzer.frames import COREDNS_EVENTS, KLOG_LINES
from analyzer.sources.contract import Source
from analyzer.sources.coredns import SOURCE as COREDNS
from analyzer.sources.klog import SOURCE as KLOG
from tests.sources.texts import read_path

BAD = Path(__file__).resolve().parents[2].parent / "shared" / "bad"
TABLE = BAD / "EXPECTED.tsv"

pytestmark = pytest.mark.skipif(not TABLE.exists(), reason="no damaged logs beside the checkout")

NOTED = {
    "coredns/errors_only.log": "errors only",
    "coredns/ok_control.log": "no timestamps in this log",
    "klog/dst_fall_back.log": "clock stepped -3599 s: DST or NTP?",
    "klog/journald_markers.log": "12,345 messages of kubelet were left out",
    "klog/journald_short.log": "the prefix is +1 h",
    "klog/leap_day.log": "Feb 29 implies 2024 or 2028",
    "klog/new_year_rollover.log": "a new year",
    "klog/ok_control.log": "has no year and no zone",
    "klog/syslog_repeated.log": "500 repeated messages",
}


def _rows(folder: str) -> list[dict[str, str]]:
    if not TABLE.exists():
        return []
    with TABLE.open() as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return [row for row in rows if row["file"].startswith(f"{folder}/") and (BAD / row["file"]).exists()]


@pytest.mark.parametrize("row", _rows("coredns") + _rows("klog"), ids=lambda row: row["file"])
def test_logs_give_the_records_that_are_expected(row: dict[str, str]) -> None:
    name = row["file"]
    source: Source = COREDNS if name.startswith("coredns/") else KLOG
    if row["what_is_wrong"] == "zero bytes":
        with pytest.raises(InputError, match="empty file"):
            read_path(source, BAD / name)
        return
    reading = read_path(source, BAD / name)
    report = reading.report
    # the start of CoreDNS is told in a table of its own; the list counts queries and errors
    told = reading.tables[COREDNS_EVENTS].height if source is COREDNS else 0
    assert (report.records, report.used - told) == (int(row["records_total"]), int(row["records_ok"]))
    malformed = {one.reason: one.count for one in report.skipped_reasons}.get("malformed line", 0)
    assert malformed + report.incomplete_tail == int(row["records_bad"])
    if name in NOTED:
        assert any(NOTED[name] in note for note in report.notes)


@pytest.mark.parametrize("row", _rows("coredns") + _rows("klog"), ids=lambda row: row["file"])
def test_logs_are_recognised_as_what_they_are(row: dict[str, str]) -> None:
    head = (BAD / row["file"]).read_bytes()[: 64 << 10]
    sources = {"coredns": COREDNS, "klog": KLOG}
    sure = {name: match.confidence for name, one in sources.items() if (match := one.identify(head))}
    kind = row["file"].split("/")[0]
    assert not head or max(sure, key=lambda name: sure[name]) == kind


def test_the_year_of_a_header_reaches_over_new_year() -> None:
    reading = read_path(KLOG, BAD / "klog/ok_file_header.log")
    assert str(reading.report.first_time).startswith("2026-01-01")


def test_a_rollover_spans_seconds() -> None:
    report = read_path(KLOG, BAD / "klog/new_year_rollover.log", year=2025).report
    assert report.first_time is not None
    assert report.last_time is not None
    assert (report.last_time - report.first_time).total_seconds() < 3


def test_a_quoted_value_does_not_imitate_another_pod() -> None:
    pods = set(read_path(KLOG, BAD / "klog/kv_injection.log").column(KLOG_LINES, "pod"))
    assert pods == {None, "default/a"}


def test_a_gap_in_local_time_is_moved_forward() -> None:
    reading = read_path(KLOG, BAD / "klog/dst_gap_local.log", tz="America/New_York", year=2026)
    assert "does not exist in America/New_York" in reading.notes
    assert reading.report.used == 11
