"""Takes off what syslog and journalctl put before a line. Every function keeps the rows."""

from __future__ import annotations

import polars as pl

from analyzer.frames.contract import TIME
from analyzer.sources.shapes import ELEMENTS, FULL, ISO, MONOTONIC, PRI, SHORT, UNIX, Kind
from analyzer.sources.striptext import where_fits
from analyzer.sources.times import parse_rfc3339

ZONES = {
    **dict.fromkeys(("UTC", "GMT", "Z", "WET"), "+0000"),
    "CET": "+0100",
    "MET": "+0100",
    "CEST": "+0200",
    "EET": "+0200",
    "EEST": "+0300",
    "MSK": "+0300",
    "EST": "-0500",
    "EDT": "-0400",
    "CDT": "-0500",
    "MST": "-0700",
    "MDT": "-0600",
    "PDT": "-0700",
    "JST": "+0900",
    "KST": "+0900",
    "AEST": "+1000",
    "AEDT": "+1100",
    "NZST": "+1200",
    "NZDT": "+1300",
}
"""Zones by the abbreviations of the tz database that mean one offset only; CST, IST, BST and PST mean several."""

_LEADS = {
    Kind.SYSLOG_ISO: ISO,
    Kind.SYSLOG: SHORT,
    Kind.JOURNAL_FULL: FULL,
    Kind.JOURNAL_MONOTONIC: MONOTONIC,
    Kind.JOURNAL_UNIX: UNIX,
}
_NIL = "-"


def syslog(lines: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """`TIME HOST PROGRAM[PID]: TEXT`, with or without the priority of RFC 3164 before it."""
    text = lines["text"]
    if text.str.starts_with("<").any():
        text = text.str.replace(rf"^{PRI}", "")
    stamp = _stamp(text, kind)
    rest = text.str.slice(stamp.str.len_chars() + 1)
    cut = rest.str.splitn(" ", 3).struct.unnest()
    program = cut["field_1"].str.extract(r"^([^ \[\]:{}\"]+)(?:\[[0-9]+\])?:$", 1)
    time, told = _time(stamp, kind)
    return lines.with_columns(
        time.alias("time"),
        (stamp if kind is Kind.SYSLOG else pl.lit(None, pl.String)).alias("stamp"),
        cut["field_0"].alias("host"),
        program.str.strip_suffix(".service").alias("component"),
        cut["field_2"].fill_null("").alias("inner"),
        (told & program.is_not_null()).fill_null(False).alias("fits"),
    ).select(
        pl.exclude("text", "inner", "time", "stamp", "host", "component", "fits"),
        *where_fits("time", "stamp", "host", "component"),
        pl.when("fits").then("inner").otherwise("text").alias("text"),
    )


def _stamp(text: pl.Series, kind: Kind) -> pl.Series:
    if kind in (Kind.SYSLOG_ISO, Kind.JOURNAL_UNIX):
        return text.str.splitn(" ", 2).struct.field("field_0")
    if kind is Kind.SYSLOG:
        decimals = text.str.slice(15, 7).str.extract(r"^(\.[0-9]{1,6})(?: |$)", 1).str.len_bytes().fill_null(0)
        return text.str.slice(0, decimals + 15)
    return text.str.extract(rf"^({_LEADS[kind]}) ", 1)


def _time(stamp: pl.Series, kind: Kind) -> tuple[pl.Series, pl.Series]:
    """UTC where the stamp tells it, and whether it is one."""
    none = pl.Series("time", [None], dtype=TIME).new_from_index(0, stamp.len())
    if kind is Kind.SYSLOG_ISO:
        time = parse_rfc3339(stamp)
        return time, time.is_not_null()
    if kind is Kind.SYSLOG:
        return none, stamp.str.contains(rf"^{SHORT}$")
    if kind is Kind.JOURNAL_MONOTONIC:
        return none, stamp.is_not_null()
    if kind is Kind.JOURNAL_UNIX:
        micros = (stamp.cast(pl.Float64, strict=False) * 1e6).round(0).cast(pl.Int64, strict=False)
        return micros.cast(TIME), stamp.str.contains(rf"^{UNIX}$")
    cut = stamp.str.extract_groups(r"^[A-Za-z]{3} ([0-9-]{10}) ([0-9:.]+) (.+)$").struct.unnest()
    zone = cut["3"].replace(ZONES)
    zone = zone.set(~zone.str.contains(r"^[+-][0-9]{2,4}$"), None)
    return parse_rfc3339(cut["1"] + "T" + cut["2"] + zone.str.pad_end(5, "0")), stamp.is_not_null()


def rfc5424(lines: pl.DataFrame) -> pl.DataFrame:
    """`<PRI>1 TIME HOST PROGRAM PID ID ELEMENTS TEXT`; the text may begin with a byte order mark."""
    found = lines["text"].str.extract_groups(
        rf"(?s)^{PRI}[1-9][0-9]? (-|{ISO}) ([^ ]+) ([^ ]+) [^ ]+ [^ ]+ {ELEMENTS}(?: (.*))?$"
    )
    time, host, program, text = found.struct.unnest().get_columns()
    fits = host.is_not_null()
    return lines.with_columns(
        pl.when(fits).then(text.fill_null("").str.strip_prefix("\ufeff")).otherwise(pl.col("text")).alias("text"),
        parse_rfc3339(time).alias("time"),
        host.set(host == _NIL, None).alias("host"),
        program.set(program == _NIL, None).alias("component"),
    )
