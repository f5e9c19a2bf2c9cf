"""The charts of a report: rates per second by code, agent or severity, drawn from the tables.

A value is the busiest second of its step, so that a spike of one second is as high on the page as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.facts.contract import Fact
from analyzer.frames import AUDIT_EVENTS, COREDNS_QUERIES, DNS_MESSAGES, HTTP_MESSAGES, KLOG_LINES, Table
from analyzer.model import Coverage, Gap, Lane, Series

Get = Callable[[Table | Fact], pl.LazyFrame | None]

STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
"""Seconds per value; the least that gives at most MOST_STEPS values is taken."""

MOST_STEPS = 900
"""About one value per pixel of a chart."""

MOST_LANES = 6
"""Lanes per chart; the rest is summed as `other`."""


class _Chart(Struct, frozen=True, kw_only=True):
    """How one series is counted from a table."""

    id: str
    title: str
    unit: str
    table: Table
    lane: pl.Expr
    weight: pl.Expr
    where: pl.Expr


def _code_class() -> pl.Expr:
    code = pl.col("code")
    return (
        pl.when(code == 429)
        .then(pl.lit("429"))
        .when(code >= 500)
        .then(pl.lit("5xx"))
        .when(code >= 400)
        .then(pl.lit("4xx"))
        .otherwise(pl.lit("2xx, 3xx"))
    )


_ONE = pl.lit(1, dtype=pl.Int64)
_DONE = pl.col("stage").is_in(["ResponseComplete", "Panic"])

CHARTS = (
    _Chart(
        id="dns-capture",
        title="DNS answers by code, from captures",
        unit="answers per second",
        table=DNS_MESSAGES,
        lane=pl.col("rcode"),
        weight=_ONE,
        where=pl.col("response") & (pl.col("protocol") == "dns") & ~pl.col("duplicate").fill_null(False),
    ),
    _Chart(
        id="dns-log",
        title="DNS answers by code, from CoreDNS",
        unit="answers per second",
        table=COREDNS_QUERIES,
        lane=pl.col("rcode"),
        weight=_ONE,
        where=pl.lit(True),
    ),
    _Chart(
        id="metadata-requests",
        title="Instance metadata requests by client",
        unit="requests per second",
        table=HTTP_MESSAGES,
        lane=pl.col("src"),
        weight=_ONE,
        where=pl.col("metadata") & ~pl.col("response") & ~pl.col("duplicate").fill_null(False),
    ),
    _Chart(
        id="api-answers",
        title="API server answers by code",
        unit="requests per second",
        table=AUDIT_EVENTS,
        lane=_code_class(),
        weight=_ONE,
        where=_DONE,
    ),
    _Chart(
        id="api-throttled",
        title="429 answers by user agent",
        unit="requests per second",
        table=AUDIT_EVENTS,
        lane=pl.col("agent").fill_null("(none)"),
        weight=_ONE,
        where=_DONE & (pl.col("code") == 429) & pl.col("decision").is_null(),
    ),
    _Chart(
        id="audit-bytes",
        title="Audit log volume by writer",
        unit="bytes per second",
        table=AUDIT_EVENTS,
        lane=pl.col("user").fill_null("(none)"),
        weight=pl.col("event_bytes"),
        where=pl.lit(True),
    ),
    _Chart(
        id="kubelet-lines",
        title="Warnings and errors in component logs",
        unit="lines per second",
        table=KLOG_LINES,
        lane=pl.col("severity").replace({"W": "warning", "E": "error", "F": "fatal"}),
        weight=_ONE,
        where=pl.col("severity").is_in(["W", "E", "F"]),
    ),
)


def charts(get: Get, coverage: tuple[Coverage, ...]) -> tuple[Series, ...]:
    """One series per chart that has data, all on the axis that the inputs cover together."""
    span = _span(coverage)
    if span is None:
        return ()
    gaps = {entry.table: entry.gaps for entry in coverage}
    drawn = [_draw(chart, get(chart.table), span, gaps.get(chart.table.name, ())) for chart in CHARTS]
    return tuple(series for series in drawn if series is not None)


def _span(coverage: tuple[Coverage, ...]) -> tuple[datetime, datetime] | None:
    firsts = [entry.first_time for entry in coverage if entry.first_time is not None]
    lasts = [entry.last_time for entry in coverage if entry.last_time is not None]
    return (min(firsts), max(lasts)) if firsts and lasts else None


def _draw(
    chart: _Chart, frame: pl.LazyFrame | None, span: tuple[datetime, datetime], gaps: tuple[Gap, ...]
) -> Series | None:
    if frame is None:
        return None
    seconds = (
        frame.filter(chart.where, pl.col("time").is_not_null())
        .group_by(lane=chart.lane, second=pl.col("time").dt.epoch("s"))
        .agg(value=chart.weight.sum() if chart.weight is not _ONE else pl.len().cast(pl.Int64))
        .filter(pl.col("lane").is_not_null())
        .collect()
    )
    if seconds.is_empty():
        return None
    start = int(span[0].timestamp())
    step = next((s for s in STEPS if (int(span[1].timestamp()) - start) // s < MOST_STEPS), STEPS[-1])
    start -= start % step
    count = (int(span[1].timestamp()) - start) // step + 1
    seconds = _fold(seconds)
    peaks = (
        seconds.with_columns(step=(pl.col("second") - start) // step)
        .filter(pl.col("step").is_between(0, count - 1))
        .group_by("lane", "step")
        .agg(pl.col("value").max())
        .sort("lane", "step")
    )
    return Series(
        id=chart.id,
        title=chart.title,
        unit=chart.unit,
        start=datetime.fromtimestamp(start, tz=span[0].tzinfo),
        step_seconds=step,
        lanes=tuple(Lane(name=name, values=_dense(peaks, name, count)) for name in _ordered(seconds)),
        gaps=gaps,
    )


def _ordered(seconds: pl.DataFrame) -> list[str]:
    totals = seconds.group_by("lane").agg(pl.col("value").sum()).sort(["value", "lane"], descending=[True, False])
    names: list[str] = totals["lane"].to_list()
    return [name for name in names if name != "other"] + (["other"] if "other" in names else [])


def _fold(seconds: pl.DataFrame) -> pl.DataFrame:
    names = _ordered(seconds)
    if len(names) <= MOST_LANES:
        return seconds
    kept = pl.col("lane").is_in(names[: MOST_LANES - 1])
    folded = seconds.with_columns(lane=pl.when(kept).then("lane").otherwise(pl.lit("other")))
    return folded.group_by("lane", "second").agg(pl.col("value").sum())


def _dense(peaks: pl.DataFrame, name: str, count: int) -> tuple[float, ...]:
    values = [0] * count
    for step, value in peaks.filter(pl.col("lane") == name).select("step", "value").iter_rows():
        values[step] = value
    return tuple(values)
