"""klog's header, put together again from the fields that an agent made of it.

A header is `Lmmdd hh:mm:ss.uuuuuu threadid file:line] ` (k8s.io/klog, klog.go, formatHeader).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

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


def callers(locations: Sequence[Any], sources: Sequence[Any], payloads: Sequence[Any]) -> pl.Series | None:
    """`file.go:line` of each record by `sourceLocation`, else `source`, beside the text or in it; None where none has
    it."""
    outside = locations.count(None) + sources.count(None) < 2 * len(locations)
    if not outside and not any(isinstance(payload, dict) and "source" in payload for payload in payloads):
        return None
    made = [_caller(*one) for one in zip(locations, sources, payloads, strict=True)]
    return pl.Series(made, dtype=pl.String) if any(made) else None


def _caller(location: object, source: object, payload: object) -> str | None:
    if isinstance(location, dict):
        told: object = f"{location.get('file')}:{location.get('line')}"
    else:
        told = source if source is not None else payload.get("source") if isinstance(payload, dict) else None
    return told if isinstance(told, str) and _CALLER.fullmatch(told) else None


def pids(own: Sequence[Any], payloads: Sequence[Any]) -> pl.Series:
    """The `pid` of each record, beside the text or in the payload; null where it is no number."""
    inner = [payload.get("pid") if isinstance(payload, dict) else None for payload in payloads]
    told = [str(one if one is not None else other) for one, other in zip(own, inner, strict=True)]
    return pl.Series([one if _PID.fullmatch(one) else None for one in told], dtype=pl.String)


def put_back(rows: pl.DataFrame, caller: pl.Series, pid: pl.Series, severity: pl.Series) -> pl.DataFrame:
    """The rows (`time`, `text`) with the header before the text of those that have all parts of one."""
    letter = severity.replace_strict(_LETTERS, default=None, return_dtype=pl.String)
    clock = pl.col("time").dt.strftime("%m%d %H:%M:%S%.6f")
    parts = (letter, clock, pl.lit(" "), pid.str.pad_start(7), pl.lit(" "), caller, pl.lit("] "), "text")
    bare = ~pl.col("text").str.contains(r"^[IWEF][0-9]{4} ")
    return rows.with_columns(
        pl.when(bare).then(pl.coalesce(pl.concat_str(*parts), "text")).otherwise("text").alias("text")
    )
