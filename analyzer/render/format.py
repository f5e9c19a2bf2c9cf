"""Numbers, quantities and times as a reader meets them. All times are UTC."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH).total_seconds() - 1
_FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH).total_seconds() + 1
_SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB")
_WHOLE = 1e15  # above it a float no longer holds every whole number


def number(value: int | float) -> str:
    """1234567 as `1,234,567`; fractions with at most three places, small ones with three digits."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return "not a number" if math.isnan(value) else "unbounded"
        if value.is_integer() and abs(value) < _WHOLE:
            value = int(value)
        elif abs(value) < 0.01 or abs(value) >= _WHOLE:
            return f"{value:.3g}"
        else:
            return f"{value:,.{1 if abs(value) >= 100 else 3}f}".rstrip("0").rstrip(".")
    return f"{value:,}"


def short(value: int | float) -> str:
    """For an axis: 1500 as `1.5k`."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def size(value: int | float) -> str:
    """Bytes in decimal units: 266240 as `266 kB`."""
    amount, at = float(value), 0
    while abs(amount) >= 999.5 and at < len(_SIZES) - 1:
        amount, at = amount / 1000, at + 1
    return f"{amount:.0f} {_SIZES[at]}" if at == 0 or abs(amount) >= 100 else f"{amount:.3g} {_SIZES[at]}"


def duration(seconds: int | float) -> str:
    """The two greatest units: `850 ms`, `4.2 s`, `19 min`, `1 h 4 min`, `2 d 3 h`."""
    if not math.isfinite(seconds):
        return number(float(seconds))
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms" if seconds else "0 s"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for unit, name, lower, lower_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // lower
            return f"{whole // unit:,} {name}" + (f" {rest} {lower_name}" if rest else "")
    return f"{whole} s"


def amount(value: int | float, unit: str) -> tuple[str, str]:
    """A figure as (number, unit with a reading of it): seconds, bytes and fractions get one that people can say."""
    if unit == "fraction":
        return f"{value * 100:.1f}", "%"
    if unit == "port":
        return str(value), unit
    if unit == "seconds":
        return number(value), f"seconds ({duration(value)})" if abs(value) >= 60 else "seconds"
    if unit == "bytes":
        return number(value), f"bytes ({size(value)})" if abs(value) >= 1000 else "bytes"
    return number(value), one_of(unit) if value == 1 else unit


def quantity(value: int | float, unit: str) -> str:
    """A figure in running text: `83.0 %`, `30 min 34 s`, `12.4 MB`, `1,203 queries`."""
    if unit == "fraction":
        return f"{value * 100:.1f} %"
    if unit == "port":
        return f"port {value}"
    if unit == "seconds":
        return duration(value)
    if unit == "bytes":
        return size(value)
    return f"{number(value)} {one_of(unit) if value == 1 else unit}".rstrip()


def one_of(unit: str) -> str:
    """The singular of a unit, which is written in the plural: `queries` as `query`, `refreshes` as `refresh`."""
    if " of " in unit or unit.endswith(("ss", "us")):
        return unit
    if unit.endswith("ies"):
        return unit[:-3] + "y"
    return unit.removesuffix("es" if unit.endswith(("sses", "shes", "ches", "xes")) else "s")


def seconds_of(time: datetime) -> float:
    """Seconds since 1970; a time without zone is UTC."""
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - EPOCH).total_seconds()


def moment(seconds: float) -> datetime:
    """The time of those seconds since 1970, held within what a calendar can say."""
    return EPOCH + timedelta(seconds=min(max(seconds, _FIRST), _LAST))


def clock(time: datetime | None) -> str:
    """`2026-03-14 09:25:00Z`, with milliseconds where they are not zero; a dash for none."""
    if time is None:
        return "–"
    try:
        at = time.astimezone(UTC) if time.tzinfo else time
    except OverflowError:  # the first or the last hours of the calendar, from beside UTC
        at = time
    text = f"{at.year:04}-{at.month:02}-{at.day:02} {at:%H:%M:%S}"
    return f"{text}.{at.microsecond // 1000:03}Z" if at.microsecond >= 1000 else f"{text}Z"


def window(start: datetime | None, end: datetime | None) -> str:
    """`2026-03-14 09:25:00 to 09:44:00Z (19 min)`; the second date only where it differs."""
    if start is None or end is None:
        one = start or end
        return "time unknown" if one is None else clock(one)
    first, last = clock(start), clock(end)
    if first == last:
        return first
    same_day = first[:10] == last[:10]
    length = duration(seconds_of(end) - seconds_of(start))
    return f"{first[:-1]} to {last[11:] if same_day else last} ({length})"
