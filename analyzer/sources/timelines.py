"""Lines that hold nothing but a time, as loops around a command write them: RFC 3339, seconds since 1970, or `date`."""

from __future__ import annotations

import polars as pl

from analyzer.frames import TIME
from analyzer.sources.times import parse_rfc3339

_ISO = r"^([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}[0-9.,]* ?(?:Z|UTC|[+-][0-9]{2}:?[0-9]{2}))$"
_EPOCH = r"^([0-9]{10}(?:\.[0-9]{1,9})?)$"
_DATE = r"^[A-Z][a-z]{2} (?P<date>[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}) UTC (?P<year>[0-9]{4})$"


def told_times(text: pl.Series) -> pl.Series:
    """The time that each line consists of, in UTC; null where it is none or names no zone."""
    iso = text.str.extract(_ISO, 1).str.replace(r" ?(?:UTC|Z)$", "Z").str.replace(r"^(\S+) ", "${1}T")
    epoch = text.str.extract(_EPOCH, 1).cast(pl.Float64, strict=False) * 1_000_000
    parts = text.str.extract_groups(_DATE).struct.unnest()
    date = (parts["date"] + " " + parts["year"]).str.to_datetime("%b %e %H:%M:%S %Y", time_unit="us", strict=False)
    told = [
        parse_rfc3339(iso.str.replace(" ", "")),
        epoch.round().cast(pl.Int64, strict=False).cast(TIME),
        date.dt.replace_time_zone("UTC"),
    ]
    return pl.select(pl.coalesce(told).alias("given")).to_series()
