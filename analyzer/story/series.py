"""The charts of a report: rates per second by code, agent or severity, drawn from tables and facts.

A value is the busiest second of its step, so that a spike of one second is as high on the page as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from analyzer.facts.contract import Fact
from analyzer.facts.image_pulls import IMAGE_PULLS
from analyzer.facts.tcp_retransmissions import TCP_RETRANSMISSIONS
from analyzer.frames import (
    AUDIT_ANNOTATIONS,
    AUDIT_EVENTS,
    AUDIT_OBJECTS,
    COREDNS_QUERIES,
    DNS_ANSWERS,
    DNS_MESSAGES,
    HTTP_MESSAGES,
    KLOG_LINES,
    Table,
)
from analyzer.model import Coverage, Gap, Lane, Series
from analyzer.story.signals import SIGNALS, per_second

Get = Callable[[Table | Fact], pl.LazyFrame | None]

STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
"""Seconds per value; the least that gives at most MOST_STEPS values is taken."""

MOST_STEPS = 900
"""About one value per pixel of a chart."""

MOST_LANES = 6
"""Lanes per chart; the rest is summed as `other`."""


class _Chart(Struct, frozen=True, kw_only=True):
    """How one series is counted from a table or a fact. Of several witnesses, a lane is told by that of most."""

    id: str
    title: str
    unit: str
    table: Table | Fact
    lane: pl.Expr
    weight: pl.Expr
    where: pl.Expr
    witness: pl.Expr | None = None


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


def _operation() -> pl.Expr:
    """`patch pods/status`; of a request without a resource, as for /readyz, the verb alone."""
    kind = pl.concat_str([pl.lit(" "), pl.col("resource"), pl.concat_str(pl.lit("/"), "subresource").fill_null("")])
    return pl.concat_str([pl.col("verb").fill_null("(none)"), kind.fill_null(" (no resource)")])


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
        id="audit-operations",
        title="Audit records by verb and resource",
        unit="records per second",
        table=AUDIT_EVENTS,
        lane=_operation(),
        weight=_ONE,
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
    _Chart(
        id="image-pulls",
        title="Image pulls by outcome",
        unit="pulls per second",
        table=IMAGE_PULLS,
        lane=pl.col("what").replace({"attempt": "begun", "present": "already present"}),
        weight=_ONE,
        where=pl.col("what") != "restarting",
        witness=pl.col("channel"),
    ),
    _Chart(
        id="tcp-retransmissions",
        title="TCP segments sent again, by kind",
        unit="segments per second",
        table=TCP_RETRANSMISSIONS,
        lane=pl.when(pl.col("copy").fill_null(False)).then(pl.lit("captured twice")).otherwise("kind"),
        weight=_ONE,
        where=pl.lit(True),
    ),
)


FAILURES = "failure-signals"
"""Id of the series with one lane per failure signal."""

STEADY = ("packets", "coredns_queries", "audit_events", "klog_lines")
"""Sources that always have something to say: nothing is known before their first record and after their last."""

_EDGE = timedelta(seconds=30)
"""How long such a source may be silent at an end of the axis before that counts as a gap."""


class _Axis(Struct, frozen=True, kw_only=True):
    """The steps that all series share."""

    start: datetime
    step: int
    count: int
    gaps: dict[str, tuple[Gap, ...]]  # by table


def charts(get: Get, coverage: tuple[Coverage, ...]) -> tuple[Series, ...]:
    """One series per chart that has data and one of all failure signals, on the axis that the inputs cover together."""
    axis = _axis(coverage)
    if axis is None:
        return ()
    drawn = [_draw(chart, get, axis) for chart in CHARTS]
    return tuple(series for series in (*drawn, _failures(get, axis)) if series is not None)


def _axis(coverage: tuple[Coverage, ...]) -> _Axis | None:
    firsts = [entry.first_time for entry in coverage if entry.first_time is not None]
    lasts = [entry.last_time for entry in coverage if entry.last_time is not None]
    if not firsts or not lasts:
        return None
    first, last = min(firsts), max(lasts)
    start, end = int(first.timestamp()), int(last.timestamp())
    step = next((s for s in STEPS if (end - start) // s < MOST_STEPS), STEPS[-1])
    start -= start % step
    return _Axis(
        start=datetime.fromtimestamp(start, tz=first.tzinfo),
        step=step,
        count=(end - start) // step + 1,
        gaps={entry.table: (*entry.gaps, *_edges(entry, first, last, step)) for entry in coverage},
    )


def _edges(entry: Coverage, first: datetime, last: datetime, step: int) -> list[Gap]:
    """What of the axis lies before the first record of a steady source, and after its last."""
    if entry.table not in STEADY or entry.first_time is None or entry.last_time is None:
        return []
    least = max(_EDGE, timedelta(seconds=2 * step))
    out = []
    if entry.first_time - first > least:
        out.append(Gap(start=first, end=entry.first_time, reason="before the first record of this source"))
    if last - entry.last_time > least:
        out.append(Gap(start=entry.last_time, end=last, reason="after the last record of this source"))
    return out


def _blind(get: Get, need: Table | Fact, axis: _Axis) -> tuple[Gap, ...]:
    """Where none of the steady sources behind a table or fact tells anything; none where another source may."""
    tables = [table for table in _behind(need) if get(table) is not None]
    names = {_STREAM.get(table.name, table.name) for table in tables}
    if not names or not names <= set(STEADY):
        return ()
    first, *others = (axis.gaps.get(name, ()) for name in sorted(names))
    for other in others:
        first = tuple(
            Gap(start=max(a.start, b.start), end=min(a.end, b.end), reason=a.reason)
            for a in first
            for b in other
            if max(a.start, b.start) < min(a.end, b.end)
        )
    return first


_STREAM = {table.name: "packets" for table in (DNS_MESSAGES, DNS_ANSWERS, HTTP_MESSAGES)} | {
    table.name: "audit_events" for table in (AUDIT_ANNOTATIONS, AUDIT_OBJECTS)
}
"""The table of every record of a source, by tables that hold some of its records."""


def _behind(need: Table | Fact) -> set[Table]:
    """The tables that a fact rests on by itself or through other facts."""
    if isinstance(need, Table):
        return {need}
    return {table for alternative in need.needs_any for one in alternative for table in _behind(one)}


def _draw(chart: _Chart, get: Get, axis: _Axis) -> Series | None:
    frame = get(chart.table)
    if frame is None:
        return None
    keys = [chart.lane.alias("lane"), pl.col("time").dt.epoch("s").alias("second")]
    if chart.witness is not None:
        keys.append(chart.witness.alias("witness"))
    seconds = (
        frame.filter(chart.where, pl.col("time").is_not_null())
        .group_by(keys)
        .agg(value=chart.weight.sum() if chart.weight is not _ONE else pl.len().cast(pl.Int64))
        .filter(pl.col("lane").is_not_null())
        .collect()
    )
    if seconds.is_empty():
        return None
    seconds, names = _fold(seconds if chart.witness is None else _best_told(seconds))
    values = _dense(seconds, names, axis)
    return Series(
        id=chart.id,
        title=chart.title,
        unit=chart.unit,
        start=axis.start,
        step_seconds=axis.step,
        lanes=tuple(Lane(name=name, values=values[name]) for name in names),
        gaps=_gaps(get, chart.table, axis),
    )


def _gaps(get: Get, need: Table | Fact, axis: _Axis) -> tuple[Gap, ...]:
    if isinstance(need, Fact):
        return _blind(get, need, axis)
    return axis.gaps.get(_STREAM.get(need.name, need.name), ())


def _best_told(seconds: pl.DataFrame) -> pl.DataFrame:
    """Of each lane the rows of the witness that tells of most: the same thing may be told by several."""
    totals = seconds.group_by("lane", "witness").agg(total=pl.col("value").sum())
    order = totals.sort("lane", "total", "witness", descending=[False, True, False], nulls_last=True)
    best = order.unique("lane", keep="first", maintain_order=True).select("lane", "witness")
    return seconds.join(best, on=["lane", "witness"], nulls_equal=True).drop("witness")


def _failures(get: Get, axis: _Axis) -> Series | None:
    """Every failure signal that was seen, a lane each, and the names of those that were looked for in vain."""
    lanes, never = [], []
    for signal in SIGNALS:
        frame = get(signal.table)
        if frame is None:
            continue
        seconds = per_second(signal, frame).with_columns(lane=pl.lit(signal.name))
        values = _dense(seconds, [signal.name], axis)[signal.name] if seconds.height else ()
        if not any(values):
            never.append(signal.name)
            continue
        lanes.append(Lane(name=signal.name, values=values, gaps=_blind(get, signal.table, axis)))
    if not lanes:
        return None
    return Series(
        id=FAILURES,
        title="Failure signals",
        unit="per second",
        start=axis.start,
        step_seconds=axis.step,
        lanes=tuple(lanes),
        never=tuple(never),
    )


def _dense(seconds: pl.DataFrame, names: Sequence[str], axis: _Axis) -> dict[str, tuple[float, ...]]:
    """By lane a value per step of the axis: its busiest second."""
    peaks = (
        seconds.group_by("lane", step=(pl.col("second") - int(axis.start.timestamp())) // axis.step)
        .agg(pl.col("value").max())
        .filter(pl.col("step").is_between(0, axis.count - 1))
    )
    values: dict[str, list[float]] = {name: [0] * axis.count for name in names}
    for lane, step, value in peaks.select("lane", "step", "value").iter_rows():
        values[lane][step] = value
    return {name: tuple(each) for name, each in values.items()}


def _fold(seconds: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The rows of the greatest lanes and of `other`, and the lanes in the order of their totals, `other` last."""
    totals = seconds.group_by("lane").agg(pl.col("value").sum()).sort(["value", "lane"], descending=[True, False])
    names: list[str] = totals["lane"].to_list()
    ranked = [name for name in names if name != "other"]
    if len(names) <= MOST_LANES:
        return seconds, ranked + [name for name in names if name == "other"]
    kept = ranked[: MOST_LANES - 1]
    folded = seconds.with_columns(lane=pl.when(pl.col("lane").is_in(kept)).then("lane").otherwise(pl.lit("other")))
    return folded.group_by("lane", "second").agg(pl.col("value").sum()), [*kept, "other"]
