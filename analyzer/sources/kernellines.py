"""Lines of the kernel's log: time, priority and text taken apart, in every way that they are printed.

* util-linux dmesg: `[12345.678901] text`, `-T` `[Tue May  7 11:59:43 2024] text` (also with names of another language),
  `--time-format iso` `2024-05-07T11:59:43,123456+02:00 text`, `-d`, `-e`, without time, `-x` `kern  :info  : [...`,
  `-r` `<6>[...` (sys-utils/dmesg.c); with the thread or CPU that printed, `[    T1]` (CONFIG_PRINTK_CALLER)
* /dev/kmsg: `6,1234,5678901,-;text` and lines ` KEY=value` (Documentation/ABI/testing/dev-kmsg)
* talosctl dmesg: `kern:    info: [2024-05-07T11:59:43.123456789Z]: text`
* journald and syslog, whose prefix was taken off before: the identifier is `kernel`
* the audit daemon: `type=AVC msg=audit(1715082.123:456): ...`; journald's own audit transport: `AVC apparmor=...`
"""

from __future__ import annotations

import polars as pl

from analyzer.frames import KERNEL_MESSAGES
from analyzer.sources.journalmarks import REPEATED
from analyzer.sources.kernelkinds import kinds, with_values
from analyzer.sources.secrets import scrub_column, without_command_lines
from analyzer.sources.times import localise, parse_rfc3339

TEXT_LIMIT = 4096
"""Bytes of a message that are kept; printk itself holds about a thousand (LOG_LINE_MAX)."""

COUNT_LIMIT = 10**15
"""The most that one line may claim to stand for, so that sums stay numbers."""

_FACILITIES = ("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp")
_LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")

_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.,][0-9]{1,9}(?:Z|[+-][0-9]{2}:?[0-9]{2})"
_DECODED = rf"(?:{'|'.join(_FACILITIES)}|local[0-7]|res[0-9]+) *: *(?:{'|'.join(_LEVELS)}|warn) *: ?"
_MONOTONIC = r"\[ *[0-9]{1,10}\.[0-9]{1,9}(?: <[^>\]]{1,20}>)?\]"
_OTHER_CLOCK = (
    r"\[[^\[\]]{4,40} [0-9]{2}:[0-9]{2}:[0-9]{2} [0-9]{4}\]|\[[A-Z][a-z]{2} +[0-9]{1,2} [0-9]{2}:[0-9]{2}\]|"
    rf"\[ *\+[0-9]+\.[0-9]+\]|\[< *[0-9.]+>\]|\[{_ISO}\]:"
)
_PRIORITY = rf"<[0-9]{{1,4}}>|{_DECODED}"
STAMPED = rf"^(?:{_PRIORITY})?(?:{_MONOTONIC}|{_OTHER_CLOCK})|^{_DECODED}|^<[0-9]{{1,4}}>"
"""How a line begins that dmesg printed with a time or a priority."""

COMMA_ISO = (
    r"^(?:" + _DECODED + r")?[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{6}[+-][0-9]{2}:[0-9]{2} "
)
"""dmesg's own ISO times: nobody else writes a comma and six decimals."""

KMSG = r"^[0-9]{1,4},[0-9]{1,19},[0-9]{1,19},[^;]{1,80};"
AUDITD = r"^(?:node=\S+ )?type=[A-Z0-9_\[\]]+ msg=audit\([0-9]+\.[0-9]{3}:[0-9]+\):"

JOURNALD = r"^[A-Z][A-Z0-9_]{2,40} "
"""An audit record that journald took from the kernel: its type, and what follows the stamp and the serial, which it
leaves out of the text (systemd, src/journal/journald-audit.c, process_audit_string; `AUDIT1334` for unknown types)."""

_HEAD = (
    rf"^(?P<priority>{_PRIORITY})?(?:(?P<monotonic>{_MONOTONIC})|(?P<clock>{_OTHER_CLOCK})|(?P<iso>{_ISO})(?: |$))?"
    r"(?:\[ *[TC][0-9]+\])? ?"
)
_CTIME = r"\[[A-Z][a-z]{2} ([A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} [0-9]{4})\]"


def take(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Unwrapped lines whose writer is the kernel, or journald for its audit system, and all others."""
    own = (lines["component"] == "kernel").fill_null(False) | _of_journald(lines)
    return lines.filter(own), lines.filter(~own)


def _of_journald(lines: pl.DataFrame) -> pl.Series:
    """Which lines are audit records as journald writes them: named `audit`, they begin with their type."""
    named = (lines["component"] == "audit").fill_null(False)
    return named & lines["text"].str.contains(JOURNALD) if named.any() else named


def rows(lines: pl.DataFrame, tz: str) -> pl.DataFrame:
    """One row of KERNEL_MESSAGES for each unwrapped line, `source` null. A time printed without zone is of `tz`."""
    if not lines.height:
        return pl.DataFrame(schema=KERNEL_MESSAGES.schema)
    lines, times = _unfolded(lines)
    kmsg = lines["text"].str.contains(KMSG)
    parts = [
        head(part, tz) for head, part in ((_printed, lines.filter(~kmsg)), (_kmsg, lines.filter(kmsg))) if part.height
    ]
    frame = pl.concat(parts).sort("number")
    text = bounded(frame["text"])
    audited = lines["number"].filter(_of_journald(lines))
    kind = pl.when(pl.col("number").is_in(audited.implode())).then(pl.lit("audit")).otherwise("kind").alias("kind")
    frame = with_values(frame.with_columns(text, kinds(text)).with_columns(kind))
    if times is not None:
        frame = frame.join(times, on="number", how="left", maintain_order="left")
        each = (pl.col("times") * pl.col("count").clip(upper_bound=COUNT_LIMIT // 10**9)).clip(upper_bound=COUNT_LIMIT)
        frame = frame.with_columns(pl.coalesce(each, "count").alias("count"))
    time = pl.coalesce("time", "audit_time") if (frame["kind"] == "audit").any() else pl.col("time")
    if (audits := (frame["kind"] == "audit").arg_true()).len():
        text = text.clone().scatter(audits, without_command_lines(text.gather(audits)))
    return frame.with_columns(time.alias("time"), scrub_column(text), pl.lit(None, pl.String).alias("source")).select(
        KERNEL_MESSAGES.schema.names()
    )


def _unfolded(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """The lines with the message in place of what rsyslog folds equal ones to, and how often each came."""
    folded = lines["text"].str.starts_with("message repeated ")
    if not folded.any():
        return lines, None
    told = lines.with_columns(pl.col("text").str.extract(REPEATED, 1).cast(pl.Int64).alias("times"))
    text = pl.when(pl.col("times").is_not_null()).then(pl.col("text").str.extract(REPEATED, 2)).otherwise("text")
    return told.with_columns(text.alias("text")).drop("times"), told.select("number", "times").drop_nulls()


def _printed(lines: pl.DataFrame, tz: str) -> pl.DataFrame:
    head = lines["text"].str.extract_groups(_HEAD).struct.unnest()
    text = lines["text"].str.replace(_HEAD, "")
    text = text.str.replace(r"^[^ :\[\]]+ kernel: ", "")  # journalctl -o short-monotonic
    time = lines["time"]
    for told, parse in (("iso", parse_rfc3339), ("clock", lambda clock: _clock(clock, tz))):
        if head[told].null_count() < lines.height:
            time = pl.select(pl.coalesce(time, parse(head[told])).alias("time"))["time"]
    frame = lines.select("number", "host").with_columns(time, text, head["priority"])
    monotonic = head["monotonic"].str.extract(r"([0-9]+\.[0-9]+)", 1).cast(pl.Float64, strict=False)
    facility = level = pl.lit(None, pl.String)
    if head["priority"].null_count() < lines.height:
        number = pl.col("priority").str.extract(r"<([0-9]+)>", 1).cast(pl.Int64, strict=False)
        named = pl.col("priority").str.extract_groups(r"^([a-z0-9]+) *: *([a-z]+)").struct
        facility = pl.coalesce(_facility(number), named.field("1"))
        level = pl.coalesce(_level(number), named.field("2").replace("warn", "warning"))
    return frame.select(
        "number",
        "time",
        monotonic.alias("monotonic_seconds"),
        "host",
        facility.alias("facility"),
        level.alias("level"),
        "text",
    )


def _kmsg(lines: pl.DataFrame, tz: str) -> pl.DataFrame:
    cut = pl.col("text").str.extract_groups(r"^([0-9]+),[0-9]+,([0-9]+),[^;]*;(.*)$").struct
    number = cut.field("1").cast(pl.Int64, strict=False)
    return lines.select(
        "number",
        "time",
        (cut.field("2").cast(pl.Int64, strict=False) / 1_000_000).alias("monotonic_seconds"),
        "host",
        _facility(number).alias("facility"),
        _level(number).alias("level"),
        cut.field("3").alias("text"),
    )


def _clock(clock: pl.Series, tz: str) -> pl.Series:
    """What stands in brackets: talosctl's ISO times, or dmesg -T; null where its names are not English."""
    iso = parse_rfc3339(clock.str.extract(rf"^\[({_ISO})\]:$", 1))
    text = clock.str.extract(_CTIME, 1)
    local = localise(text.str.to_datetime("%b %e %H:%M:%S %Y", time_unit="us", strict=False), tz)
    return pl.select(pl.coalesce(iso, local).alias("time"))["time"]


def _facility(number: pl.Expr) -> pl.Expr:
    """RFC 5424, table 1; the priority is facility * 8 + severity."""
    names = [*_FACILITIES, "ntp", "security", "console", "clock", *(f"local{n}" for n in range(8))]
    return (number // 8).replace_strict(dict(enumerate(names)), default=None, return_dtype=pl.String)


def _level(number: pl.Expr) -> pl.Expr:
    return (number % 8).replace_strict(dict(enumerate(_LEVELS)), default=None, return_dtype=pl.String)


def bounded(text: pl.Series) -> pl.Series:
    """At most TEXT_LIMIT bytes of every text."""
    long = (text.str.len_bytes() > TEXT_LIMIT).fill_null(False)
    if not long.any():
        return text
    cut = [one.encode()[:TEXT_LIMIT].decode("utf-8", "ignore") for one in text.filter(long).to_list()]
    return text.clone().scatter(long.arg_true(), pl.Series(cut, dtype=pl.String))
