"""klog's header, put together again from the fields that an agent made of it.

A header is `Lmmdd hh:mm:ss.uuuuuu threadid file:line] ` (k8s.io/klog, klog.go, formatHeader).
"""

from __future__ import annotations

import re

import polars as pl

_LETTERS = {
    **dict.fromkeys(("I", "INFO", "info"), "I"),
    **dict.fromkeys(("W", "WARNING", "WARN", "warning"), "W"),
    **dict.fromkeys(("E", "ERROR", "error"), "E"),
    **dict.fromkeys(("F", "CRITICAL", "FATAL"), "F"),
}
"""Severities of Cloud Logging's LogEntry, to which fluent-plugin-google-cloud translates klog's letters."""

_CALLER = re.compile(r"[^\s:\]/]{1,200}\.go:[0-9]{1,7}", re.ASCII)
_PID = re.compile(r"[0-9]{1,7}", re.ASCII)


def caller(told: object) -> str | None:
    """`file.go:line` of a `sourceLocation`, or of what has a `source`."""
    if isinstance(told, dict):
        told = told["source"] if "source" in told else f"{told.get('file')}:{told.get('line')}"
    return told if isinstance(told, str) and _CALLER.fullmatch(told) else None


def thread(pid: object) -> str | None:
    """The thread of a header, which agents keep as text or as a number."""
    told = str(pid)
    return told if _PID.fullmatch(told) else None


def put_back(rows: pl.DataFrame, caller: pl.Series, pid: pl.Series, severity: pl.Series) -> pl.DataFrame:
    """The rows (`time`, `text`) with the header before the text of those that have all parts of one."""
    letter = severity.replace_strict(_LETTERS, default=None, return_dtype=pl.String)
    clock = pl.col("time").dt.strftime("%m%d %H:%M:%S%.6f")
    parts = (letter, clock, pl.lit(" "), pid.str.pad_start(7), pl.lit(" "), caller, pl.lit("] "), "text")
    bare = ~pl.col("text").str.contains(r"^[IWEF][0-9]{4} ")
    return rows.with_columns(
        pl.when(bare).then(pl.coalesce(pl.concat_str(*parts), "text")).otherwise("text").alias("text")
    )
