"""Numbers, quantities and times as a reader meets them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from analyzer.render.format import amount, clock, duration, moment, number, quantity, seconds_of, short, size, window

NINE = datetime(2026, 3, 14, 9, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (1234567, "1,234,567"),
        (61.42, "61.42"),
        (0.2840, "0.284"),
        (2.0, "2"),
        (1004.34, "1,004.3"),
        (0.00012, "0.00012"),
        (-3, "-3"),
        (float("nan"), "not a number"),
        (float("inf"), "unbounded"),
        (10**40, f"{10**40:,}"),
    ],
)
def test_numbers_have_thousands_marked_and_few_decimals(value: float, seen: str) -> None:
    assert number(value) == seen


@pytest.mark.parametrize(
    ("seconds", "seen"),
    [
        (0, "0 s"),
        (0.85, "850 ms"),
        (4.2, "4.2 s"),
        (61.4, "1 min 1 s"),
        (1140, "19 min"),
        (3840, "1 h 4 min"),
        (183600, "2 d 3 h"),
        (-90, "-1 min 30 s"),
    ],
)
def test_durations_name_their_two_greatest_units(seconds: float, seen: str) -> None:
    assert duration(seconds) == seen


@pytest.mark.parametrize(
    ("count", "seen"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (981648, "982 kB"), (1830221004, "1.83 GB")]
)
def test_sizes_are_decimal(count: int, seen: str) -> None:
    assert size(count) == seen


EAST, WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12))


def test_figures_are_read_as_people_say_them() -> None:
    assert amount(1834, "seconds") == ("1,834", "seconds (30 min 34 s)")
    assert amount(0.712, "fraction") == ("71.2", "%")
    assert amount(1203, "queries") == ("1,203", "queries")
    assert quantity(960_000_000, "bytes") == "960 MB"
    assert quantity(0.712, "fraction") == "71.2 %"
    assert (amount(15672, "port"), quantity(15672, "port")) == (("15672", "port"), "port 15672")


def test_axis_numbers_are_short() -> None:
    assert [short(v) for v in (0, 0.25, 950, 1500, 2_500_000)] == ["0", "0.25", "950", "1.5k", "2.5M"]


def test_clock_is_utc_whatever_the_zone_of_the_time() -> None:
    there = NINE.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert clock(there) == clock(NINE) == clock(NINE.replace(tzinfo=None)) == "2026-03-14 09:25:00Z"
    assert clock(NINE + timedelta(milliseconds=20)) == "2026-03-14 09:25:00.020Z"
    assert clock(None) == "–"


def test_a_time_at_the_end_of_the_calendar_is_shown_in_any_zone() -> None:
    for time in (datetime.min.replace(tzinfo=EAST), datetime.max.replace(tzinfo=WEST)):
        assert clock(time)[:4] in ("0001", "9999")


def test_a_window_names_its_day_once_and_its_length() -> None:
    assert window(NINE, NINE + timedelta(minutes=19)) == "2026-03-14 09:25:00 to 09:44:00Z (19 min)"
    assert window(NINE, NINE + timedelta(days=1)) == "2026-03-14 09:25:00 to 2026-03-15 09:25:00Z (1 d)"
    assert window(NINE, NINE) == window(NINE, None) == "2026-03-14 09:25:00Z"
    assert window(None, None) == "time unknown"


def test_a_moment_beyond_the_calendar_is_held_at_its_end() -> None:
    assert moment(1e30).year == 9999
    assert moment(-1e30).year == 1
    assert moment(seconds_of(NINE)) == NINE


@pytest.mark.parametrize(
    ("unit", "one"),
    [
        ("requests", "request"),
        ("queries", "query"),
        ("refreshes", "refresh"),
        ("client addresses", "client address"),
        ("suffixes", "suffix"),
        ("leases", "lease"),
        ("share of periods", "share of periods"),
        ("class", "class"),
    ],
)
def test_one_of_a_thing_is_told_in_the_singular(unit: str, one: str) -> None:
    assert quantity(1, unit) == f"1 {one}"
    assert amount(1, unit) == ("1", one)
    assert quantity(2, unit) == f"2 {unit}"
