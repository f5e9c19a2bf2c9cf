"""What the judgements of audit requests share: bins merged to windows, records spread over one, commands to check."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

import polars as pl

from analyzer.model import Record

BIN_SECONDS = 60
QUIET_BINS = 5
"""Windows of one subject with fewer quiet bins than this between them are one."""

RECORDS = 20
"""Most records that one finding quotes."""


def merged(bins: Iterable[int]) -> list[tuple[int, int]]:
    """First and last bin of each window, in order."""
    windows: list[tuple[int, int]] = []
    for one in sorted(set(bins)):
        if windows and one - windows[-1][1] - 1 < QUIET_BINS:
            windows[-1] = (windows[-1][0], one)
        else:
            windows.append((one, one))
    return windows


def records(rows: pl.DataFrame, worst: int = 0, count: int = RECORDS) -> tuple[Record, ...]:
    """First, worst, last and evenly spread rows of (`time`, `source`, `number`), which must be sorted by them."""
    height = rows.height
    if not height:
        return ()
    step = max(1, height / max(1, count - 3))
    chosen = {0, min(worst, height - 1), height - 1, *(int(at * step) for at in range(count - 3) if at * step < height)}
    kept = rows.select("time", "source", "number")[sorted(chosen)[:count]]
    return tuple(Record(source=source, number=number, time=time) for time, source, number in kept.rows())


def once(events: pl.LazyFrame) -> pl.LazyFrame:
    """The events without the copies that overlapping files hold of them; an event without an id is no copy."""
    named = pl.col("audit_id").is_not_null()
    key = ["audit_id", "stage", "time", "stage_time"]
    first = events.filter(named).unique(key, keep="first", maintain_order=True)
    return pl.concat([first, events.filter(~named)]).sort("time", "source", "number", nulls_last=True)


def piped(source: str) -> str:
    """The start of a shell pipe that prints an input, compressed or not. The name is data: it is quoted. What lies in
    an archive (`archive!path`) must be taken out first: it is known by the end of its path."""
    name = source.rsplit("!", 1)[-1].rsplit("/", 1)[-1] if "!" in source else source
    return f"zcat -f < {shlex.quote(name if name and name.isprintable() else 'audit.log')}"


def short(text: str | None, limit: int = 120) -> str:
    """A name for a sentence: what is missing is said, what is too long is cut."""
    if not text:
        return "(none)"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def listed(names: Sequence[str], limit: int = 3) -> str:
    """Some names of many, for a sentence."""
    more = len(names) - limit
    return ", ".join(short(name, 60) for name in names[:limit]) + (f" and {more} more" if more > 0 else "")


def counted(number: int, noun: str) -> str:
    """A number and its noun: `1 pod`, `1,200 pods`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
