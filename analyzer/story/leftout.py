"""What logs say that they do not hold: messages that a rate limit or an overflow lost before the log was written.

A finding that counts lines of such a log in that time has a lower bound, and says so. Whose messages were lost is known
mostly, and only those of the writers that the finding quotes count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from analyzer.facts.contract import Fact
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, LOG_SUPPRESSIONS, RUNTIME_MESSAGES, TIME, Table
from analyzer.model import Finding

LATE = timedelta(seconds=60)
"""How long after what it lost a limit may tell of it: journald's interval is 30 seconds, the kernel's 5 (systemd,
journald.conf, RateLimitIntervalSec; kernel, DEFAULT_RATELIMIT_INTERVAL), and rsyslog tells when dropping begins too."""

NAMED = 3
"""Inputs or programs that one sentence names."""

FOR_OTHERS = "docker"
"""Docker hands the lines of its containers to journald as its own unit (daemon/logger/journald)."""

Get = Callable[[Table | Fact], pl.LazyFrame | None]

_ROWS = pl.Schema({"source": pl.String(), "time": TIME, "component": pl.String(), "count": pl.Int64()})
_NO_WRITERS = pl.DataFrame(schema={"source": pl.String, "number": pl.Int64, "component": pl.String})


class LeftOut(Struct, frozen=True):
    """`rows`: one per line that says so, with source, time, component (null if not told) and count (null likewise);
    `writers`: who wrote the lines that findings quote, with source, number and component."""

    rows: pl.DataFrame
    writers: pl.DataFrame

    def count(self, sources: Sequence[str]) -> int:
        """Messages that are not in these inputs."""
        if not self.rows.height:
            return 0
        return sum(self.rows.filter(pl.col("source").is_in(sources))["count"].drop_nulls().to_list())

    def told(self, sources: Sequence[str]) -> str:
        """How many of whose messages each of these inputs lacks, and when that was said; empty where none does."""
        if not self.rows.height:
            return ""
        rows = self.rows.filter(pl.col("source").is_in(sources))
        each = [
            f"{name} lacks {_told(part)}" for (name,), part in sorted(rows.group_by("source"), key=lambda one: one[0])
        ]
        more = f" and {len(each) - NAMED} more inputs" if len(each) > NAMED else ""
        return "; ".join(each[:NAMED]) + more

    def beside(self, finding: Finding) -> Iterator[str]:
        """A sentence on what the inputs that a finding quotes lost in its time."""
        if finding.start is None or not self.rows.height:
            return
        own = self._own(finding)
        until = (finding.end or finding.start) + LATE
        near = pl.col("time").is_null() | pl.col("time").is_between(finding.start, until)
        rows = pl.concat([self.rows.clear(), *own]).filter(near)
        for source, part in _by_source(rows)[:1]:
            yield f"{source} lacks {_told(part)}: what is counted in it is a lower bound."

    def _own(self, finding: Finding) -> Iterator[pl.DataFrame]:
        """What was lost of the writers that the finding quotes, input by input."""
        quoted = pl.DataFrame(
            [(record.source, record.number) for record in finding.evidence.records],
            schema={"source": pl.String, "number": pl.Int64},
            orient="row",
        ).unique()
        quoted = quoted.filter(pl.col("source").is_in(self.rows["source"].implode()))
        known = quoted.join(self.writers, on=["source", "number"], how="left")
        for source, part in _by_source(known):
            lost = self.rows.filter(pl.col("source") == source)
            if part["component"].null_count():
                yield lost  # a line whose writer nothing tells may be anybody's
            else:
                of = [*part["component"].unique().to_list(), FOR_OTHERS]
                yield lost.filter(pl.col("component").is_in(of).fill_null(True))


def left_out(get: Get, findings: Sequence[Finding]) -> LeftOut:
    """What the inputs of this case lost."""
    parts = [pl.DataFrame(schema=_ROWS)]
    if (journals := get(LOG_SUPPRESSIONS)) is not None:
        parts.append(journals.filter(pl.col("kind") == "left out").select(_ROWS.names()).collect())
    if (kernel := get(KERNEL_MESSAGES)) is not None:
        told = kernel.filter(pl.col("kind") == "suppressed").with_columns(component=pl.lit("kernel"))
        parts.append(told.select(_ROWS.names()).collect())
    if not any(part.height for part in parts):
        return LeftOut(parts[0], _NO_WRITERS)
    rows = pl.concat(parts).with_columns(pl.col("component").str.strip_suffix(".service"))
    return LeftOut(rows, _writers(get, rows["source"].unique(), findings))


def _writers(get: Get, sources: pl.Series, findings: Sequence[Finding]) -> pl.DataFrame:
    numbers = {record.number for one in findings for record in one.evidence.records if record.source in {*sources}}
    if not numbers:
        return _NO_WRITERS
    made = [_NO_WRITERS]
    for table in (KLOG_LINES, RUNTIME_MESSAGES, KERNEL_MESSAGES):
        if (frame := get(table)) is not None:
            writer = pl.lit("kernel") if table is KERNEL_MESSAGES else pl.col("component")
            quoted = frame.filter(pl.col("source").is_in(sources.implode()), pl.col("number").is_in([*numbers]))
            made.append(quoted.select("source", "number", component=writer.str.strip_suffix(".service")).collect())
    return pl.concat(made).unique(["source", "number"], keep="first", maintain_order=True)


def _by_source(rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return sorted(((str(name), part) for (name,), part in rows.group_by("source")), key=lambda one: one[0])


def _told(rows: pl.DataFrame) -> str:
    """`1,234 messages of kubelet that rate limits left out, told 09:00:05 to 09:01:00 UTC`."""
    counts = rows["count"].drop_nulls().to_list()  # each may claim a large number
    names = rows["component"].drop_nulls().unique().sort().to_list()
    of = f" of {', '.join(names[:NAMED])}" if names and not rows["component"].null_count() else ""
    many = f"{'at least ' if rows['count'].null_count() else ''}{sum(counts):,}" if counts else "an unknown number of"
    return f"{many} messages{of} that rate limits or overflows left out{_span(rows['time'])}"


def _span(times: pl.Series) -> str:
    first, last = times.min(), times.max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return " at a time that is not told"
    if last - first < timedelta(seconds=1):
        return f", told {first:%Y-%m-%d %H:%M:%S} UTC"
    return f", told {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"
