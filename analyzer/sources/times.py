"""Times as logs write them, made UTC: with a zone, without a zone, and without a year."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from analyzer.errors import UsageError
from analyzer.frames.contract import TIME

MICROS_LIMIT = 253_402_300_800_000_000
"""The first microsecond of the year 10000."""

_UNITS = ((10**11, 1_000_000.0), (10**14, 1_000.0), (10**17, 1.0))
"""Numbers below the first are seconds since 1970, below the second milliseconds, then micro-, else nanoseconds."""


def parse_rfc3339(text: pl.Series) -> pl.Series:
    """RFC 3339 text with any number of decimals and any zone as UTC; null where it is none."""
    day = text.str.head(19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    rest = text.str.slice(19)
    decimals = rest.str.strip_suffix("Z").str.head(7)
    micros = decimals.str.slice(1).str.pad_end(6, "0").cast(pl.Int64, strict=False)
    told = decimals.str.starts_with(".") & ~decimals.str.contains_any(["+", "-"])
    plain = rest.str.ends_with("Z") & ((rest == "Z") | (told & micros.is_not_null()))
    fast = (day.cast(pl.Int64) + micros.fill_null(0)).cast(TIME)
    odd = (~plain & day.is_not_null()).fill_null(False)
    if not odd.any():
        return fast
    slow = text.filter(odd).str.replace(",", ".", literal=True)
    parsed = slow.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", strict=False).cast(TIME)
    return fast.scatter(odd.arg_true(), parsed)


def zone(name: str) -> ZoneInfo:
    """The zone of that name. Raises UsageError for names that the tz database does not have."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f"no time zone is called {name!r}: give a name such as UTC or Europe/Vienna to --tz"
        ) from error


def localise(naive: pl.Series, tz: str, folded: pl.Series | None = None) -> pl.Series:
    """Local times of a zone as UTC.

    A time that occurs twice is the first one, where `folded` is true the second. A time that the change to summer
    time leaves out is taken as if the clock had not been changed, as Python's zoneinfo does.
    """
    if tz == "UTC":
        return naive.dt.replace_time_zone("UTC")
    where = zone(tz)
    first = naive.dt.replace_time_zone(tz, ambiguous="earliest", non_existent="null").cast(TIME)
    if folded is not None and folded.any():
        second = naive.dt.replace_time_zone(tz, ambiguous="latest", non_existent="null").cast(TIME)
        first = pl.select(pl.when(folded).then(second).otherwise(first).alias(naive.name)).to_series()
    gap = first.is_null() & naive.is_not_null()
    if gap.any():
        moved = [moment.replace(tzinfo=where).astimezone(UTC) for moment in naive.filter(gap).to_list()]
        first = first.scatter(gap.arg_true(), pl.Series(moved, dtype=TIME))
    return first


def offsets(tz: str) -> set[float]:
    """Hours that a zone is ahead of UTC in the months of a year of today's rules, without 0."""
    where = zone(tz)
    moments = (datetime(2026, month, 15, tzinfo=where).utcoffset() for month in range(1, 13))
    return {offset.total_seconds() / 3600 for offset in moments if offset}


def ambiguous(naive: pl.Series, tz: str) -> pl.Series:
    """True for local times that occur twice in that zone."""
    if tz == "UTC":
        return pl.Series([False], dtype=pl.Boolean).new_from_index(0, naive.len())
    first = naive.dt.replace_time_zone(tz, ambiguous="earliest", non_existent="null")
    second = naive.dt.replace_time_zone(tz, ambiguous="latest", non_existent="null")
    return (first != second).fill_null(False)


def missing(naive: pl.Series, tz: str) -> pl.Series:
    """True for local times that do not exist in that zone."""
    if tz == "UTC":
        return pl.Series([False], dtype=pl.Boolean).new_from_index(0, naive.len())
    return naive.is_not_null() & naive.dt.replace_time_zone(tz, ambiguous="earliest", non_existent="null").is_null()


def utc(moment: datetime) -> datetime:
    """The moment in UTC; one without a zone is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def since_1970(values: Sequence[Any]) -> pl.Series:
    """Numbers since 1970 as times, by their size in seconds, milli-, micro- or nanoseconds; else null."""
    if values.count(None) == len(values):
        return pl.Series("time", [None], dtype=TIME).new_from_index(0, len(values))
    micros = [_micros(value) for value in values]
    return pl.Series("time", micros, dtype=pl.Int64).cast(TIME)


def _micros(value: object) -> int | None:
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) <= 19):
            return None
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1 << 63:
        return None
    for limit, unit in _UNITS:
        if value < limit:
            found = round(value * unit) if unit != 1.0 else int(value)
            return found if found < MICROS_LIMIT else None
    found = int(value) // 1000
    return found if found < MICROS_LIMIT else None
