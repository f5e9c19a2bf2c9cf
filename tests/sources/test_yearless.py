"""Which year, which zone: klog and syslog write neither."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from analyzer.frames import KLOG_LINES
from analyzer.sources.coredns import SOURCE as COREDNS
from analyzer.sources.klog import SOURCE
from tests.sources.texts import Reading, read_path, read_text


def entries(*clocks: str) -> list[str]:
    return [f"I{clock}    1234 kubelet.go:1] text" for clock in clocks]


def read(*clocks: str, **options: Any) -> Reading:
    return read_text(SOURCE, entries(*clocks), **{"year": 2026, **options})


def times(reading: Reading) -> list[str]:
    return [f"{time:%Y-%m-%d %H:%M:%S}" for time in reading.tables[KLOG_LINES]["time"]]


DAY = "0314 09:00:00.000000"


def test_the_year_of_the_user_is_taken_and_noted() -> None:
    reading = read(DAY, year=2019)
    assert times(reading) == ["2019-03-14 09:00:00"]
    assert "2019 assumed from --year, zone UTC" in reading.notes


def test_without_any_word_there_is_no_time() -> None:
    reading = read(DAY, year=None)
    assert reading.column(KLOG_LINES, "time") == [None]
    assert "nothing tells it" in reading.notes


@pytest.mark.parametrize(
    ("name", "year"),
    [
        ("kubelet.node-1.root.log.INFO.20190820-202826.1234", 2019),
        ("kubelet.log-20210314", 2021),
        ("logs/2022-03-14/kubelet-2023-03-15.log", 2023),
        ("node-20.log", 2026),
        ("10.20.30.40-202405.log", 2026),
    ],
)
def test_a_date_in_the_file_name_counts_before_the_user(name: str, year: int) -> None:
    day = "0820 20:28:26.000000" if year == 2019 else DAY
    assert times(read(day, name=name))[0].startswith(str(year))


def test_a_header_of_the_log_file_counts_before_all_and_reaches_over_new_year() -> None:
    header = "Log file created at: 2025/12/31 23:59:00"
    reading = read_text(SOURCE, [header, *entries("0101 00:00:01.000000")], year=2019)
    assert times(reading) == ["2026-01-01 00:00:01"]
    assert "the header of the log file" in reading.notes


@pytest.mark.parametrize(
    "header",
    [
        "-- Logs begin at Fri 2017-11-03 13:31:21 UTC, end at Fri 2018-02-03 13:48:19 UTC. --",
        "-- Journal begins at Fri 2017-11-03 13:31:21 UTC, ends at Fri 2018-02-03 13:48:19 UTC. --",
    ],
)
def test_the_header_of_a_journal_gives_the_year_that_lies_in_it(header: str) -> None:
    for clock, year in (("1215 00:00:00.000000", "2017"), ("0115 00:00:00.000000", "2018")):
        lines = [header, *(f"Jan 15 00:00:00 node-1 kubelet[1]: {text}" for text in entries(clock))]
        assert times(read_text(SOURCE, lines))[0].startswith(year)


@pytest.mark.parametrize(("clock", "year"), [("1231 23:00:00.000000", "2024"), ("0101 01:00:00.000000", "2025")])
def test_the_span_of_the_other_inputs_gives_the_year_that_overlaps_it(clock: str, year: str) -> None:
    span = (datetime(2024, 12, 31, 22, tzinfo=UTC), datetime(2025, 1, 1, 2, tzinfo=UTC))
    reading = read(clock, year=None, dated_span=span)
    assert times(reading)[0].startswith(year)
    assert "the span of the other inputs" in reading.notes


@pytest.mark.parametrize(("clock", "year"), [("0101 01:00:00.000000", "2021"), ("1231 23:00:00.000000", "2020")])
def test_the_modification_time_comes_last_and_no_entry_is_later(clock: str, year: str, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("".join(f"{text}\n" for text in entries(clock)))
    stamp = datetime(2021, 1, 1, 12, tzinfo=UTC).timestamp()
    os.utime(path, (stamp, stamp))
    reading = read_path(SOURCE, path)
    assert times(reading)[0].startswith(year)
    assert "the file's modification time" in reading.notes


def test_new_year_is_turned_and_noted() -> None:
    reading = read("1231 23:59:58.000000", "1231 23:59:59.999999", "0101 00:00:00.000001", year=2025)
    assert times(reading) == ["2025-12-31 23:59:58", "2025-12-31 23:59:59", "2026-01-01 00:00:00"]
    assert "line 3: klog falls back 365 days: a new year" in reading.notes


def test_stragglers_around_new_year_keep_their_year() -> None:
    old, new = "1231 23:59:59.{:06d}", "0101 00:00:00.{:06d}"
    clocks = [old.format(at) for at in range(20)] + [new.format(1), old.format(50), new.format(2), new.format(3)]
    clocks += [new.format(at) for at in range(10, 40)]
    found = times(read(*clocks, year=2025))
    assert found[21] == "2025-12-31 23:59:59"
    assert {time[:4] for time in found[22:]} == {"2026"}
    assert {time[:4] for time in found[:20]} == {"2025"}


@pytest.mark.parametrize("stray", ["0101 00:00:00.000000", "1231 23:59:59.000000"])
def test_one_stray_line_turns_no_year(stray: str) -> None:
    clocks = [f"0614 09:00:{second:02d}.000000" for second in range(40)]
    clocks.insert(20, stray)
    found = times(read(*clocks))
    assert {time[:7] for at, time in enumerate(found) if at != 20} == {"2026-06"}


def test_years_are_kept_across_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = [f"12{day:02d} 00:00:00.000000" for day in range(1, 32)]
    clocks += [f"01{day:02d} 00:00:00.000000" for day in range(1, 32)]
    whole = times(read(*clocks, year=2025))
    monkeypatch.setattr("analyzer.sources.lines.windows.__defaults__", (150, 64 << 20))
    assert times(read(*clocks, year=2025)) == whole
    assert whole[0].startswith("2025")
    assert whole[-1].startswith("2026")


def test_disorder_between_threads_is_none() -> None:
    clocks = [f"0314 09:00:0{second}.000000" for second in (0, 2, 1, 3)]
    notes = read(*clocks).notes
    assert "stepped" not in notes
    assert "new year" not in notes


def test_a_stepped_clock_is_noted_and_the_order_of_lines_kept() -> None:
    clocks = [f"1101 01:59:{second:02d}.000000" for second in range(50, 60)]
    clocks += [f"1101 01:00:{second:02d}.000000" for second in range(10)]
    reading = read(*clocks)
    assert "line 11: the clock stepped -3599 s: DST or NTP?" in reading.notes
    assert reading.tables[KLOG_LINES]["number"].to_list() == list(range(1, 21))


def test_the_hour_that_occurs_twice_is_told_by_the_order_of_lines() -> None:
    clocks = [f"1101 01:59:{second:02d}.000000" for second in range(50, 60)]
    clocks += [f"1101 01:00:{second:02d}.000000" for second in range(10)]
    clocks += ["1101 02:00:00.000000"]
    found = times(read(*clocks, tz="America/New_York"))
    assert found[9:11] == ["2026-11-01 05:59:59", "2026-11-01 06:00:00"]
    assert found == sorted(found)
    assert found[-1] == "2026-11-01 07:00:00"


def test_the_second_pass_is_remembered_across_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = [f"1101 01:{minute:02d}:00.000000" for minute in range(0, 60, 2)] * 2
    whole = times(read(*clocks, tz="America/New_York"))
    assert whole == sorted(whole)
    monkeypatch.setattr("analyzer.sources.lines.windows.__defaults__", (200, 64 << 20))
    assert times(read(*clocks, tz="America/New_York")) == whole


def test_a_time_that_the_zone_leaves_out_is_moved_and_noted() -> None:
    reading = read("0308 01:30:00.000000", "0308 02:30:00.000000", "0308 03:30:00.000000", tz="America/New_York")
    assert times(reading) == ["2026-03-08 06:30:00", "2026-03-08 07:30:00", "2026-03-08 07:30:00"]
    assert "does not exist in America/New_York" in reading.notes


def test_a_leap_day_implies_a_leap_year() -> None:
    reading = read("0229 00:00:01.000000", "0301 00:00:02.000000")
    assert times(reading) == ["2024-02-29 00:00:01", "2024-03-01 00:00:02"]
    assert "Feb 29 implies 2024 or 2028" in reading.notes


def test_a_leap_day_in_the_middle_of_another_year_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.sources.lines.windows.__defaults__", (60, 64 << 20))
    reading = read("0228 00:00:01.000000", "0228 00:00:02.000000", "0229 00:00:01.000000", "0301 00:00:02.000000")
    assert reading.column(KLOG_LINES, "time")[2] is None
    assert "no Feb 29 in 2026" in reading.notes
    assert reading.report.used == 4


def test_a_wrapper_gives_year_and_zone_line_by_line() -> None:
    lines = [
        f"2025-12-31T22:59:59.1Z stderr F {entries('1231 23:59:59.000000')[0]}",
        f"2025-12-31T23:00:01.1Z stderr F {entries('0101 00:00:01.000000')[0]}",
    ]
    reading = read_text(SOURCE, lines, year=1999)
    assert times(reading) == ["2025-12-31 22:59:59", "2025-12-31 23:00:01"]
    assert "(+1 h)" in reading.notes


def test_syslog_times_of_a_coredns_log_get_a_year_too() -> None:
    body = '[INFO] 10.0.0.1:1 - 1 "A IN a. udp 40 false 512" NOERROR qr 40 0.5s'
    reading = read_text(COREDNS, [f"Mar 14 09:00:00 node-1 coredns[7]: {body}"], year=2026)
    assert reading.report.first_time == datetime(2026, 3, 14, 9, tzinfo=UTC)
    assert "2026 assumed from --year" in reading.notes


def journal(stamp: str, *clocks: str) -> list[str]:
    return [f"{stamp} speed3 dockerd-current[21270]: {entry}" for entry in entries(*clocks)]


def test_a_prefix_in_the_zone_of_the_user_makes_the_own_time_utc() -> None:
    reading = read_text(SOURCE, journal("Jan 10 09:41:08", "0110 14:41:08.646423"), year=2018, tz="America/New_York")
    assert times(reading) == ["2018-01-10 14:41:08"]
    assert "the prefix is -5 h from klog's own time: it is in America/New_York, the own time in UTC" in reading.notes


def test_prefix_and_own_time_may_both_be_in_the_zone_of_the_user() -> None:
    reading = read_text(SOURCE, journal("Jan 10 09:41:08", "0110 09:41:08.646423"), year=2018, tz="America/New_York")
    assert times(reading) == ["2018-01-10 14:41:08"]


def test_a_prefix_on_the_other_side_of_new_year_is_hours_away_and_no_year() -> None:
    reading = read_text(SOURCE, journal("Dec 31 20:00:00", "0101 01:00:00.000000"), year=2018, tz="America/New_York")
    assert times(reading) == ["2018-01-01 01:00:00"]
    assert "the prefix is -5 h from klog's own time" in reading.notes


def test_summer_time_of_the_prefix_does_not_move_utc() -> None:
    lines = [*journal("Mar  8 01:59:59", "0308 06:59:59.000000"), *journal("Mar  8 03:00:00", "0308 07:00:00.000000")]
    reading = read_text(SOURCE, lines, year=2026, tz="America/New_York")
    assert times(reading) == ["2026-03-08 06:59:59", "2026-03-08 07:00:00"]


def test_a_file_of_klogs_own_name_has_the_year_in_it_and_reaches_over_new_year() -> None:
    name = "kubelet.node-1.root.log.INFO.20231231-235900.1234"
    assert times(read("1231 23:59:59.000000", "0101 00:00:01.000000", name=name, year=2019)) == [
        "2023-12-31 23:59:59",
        "2024-01-01 00:00:01",
    ]
