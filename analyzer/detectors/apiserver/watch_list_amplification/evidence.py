"""Figures, records and tables of lists that multiply."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.apiserver.watch_list_amplification.deaths import Deaths
from analyzer.detectors.apiserver.watch_list_amplification.deaths import table as deaths_table
from analyzer.detectors.apiserver.watch_list_amplification.patterns import Pattern
from analyzer.facts.audit_windows import BIN_SECONDS, records, short
from analyzer.facts.contract import Frames
from analyzer.facts.list_watch import LIST_WATCH
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure

ROWS = 15
SERIES_BINS = 400
"""Most bins of the series: a longer one has longer steps."""


def impact(pattern: Pattern, deaths: Deaths) -> tuple[Figure, ...]:
    """The figures; each list once, its further pages not. What the log does not hold is left out."""
    lists = pattern.lists
    items, size = (lists_sum(pattern.rows, name) for name in ("items", "bytes"))
    figures: list[tuple[str, int | float | None, str]] = [
        ("lists", lists.height, "lists"),
        *((f"lists of {one}", count, "lists") for one, count in by_resource(pattern)),
        ("client addresses", lists["source_ip"].n_unique(), "addresses"),
        ("clients", pattern.clients, "clients"),
        ("lists per minute", round(lists.height / pattern.seconds * 60, 3), "lists per minute"),
        ("period", None if pattern.period is None else round(pattern.period, 6), "seconds"),
        ("lists again within the time of a watch", int(lists["again"].sum()), "lists"),
        ("lists without a selector for a node", lists.filter(~pl.col("selected")).height, "lists"),
        ("lists without resourceVersion", lists.filter("quorum").height, "lists"),
        ("lists without a limit", lists.filter("unpaginated").height, "lists"),
        ("rejected lists", lists.filter("throttled").height, "lists"),
        ("seconds spent on them", round(float(pattern.rows["latency_seconds"].sum()), 6), "seconds"),
        ("objects", items, "objects"),
        ("bytes", size, "bytes"),
        ("OOM deaths of the client", deaths.oom, "deaths"),
        ("container deaths of the client", deaths.died, "deaths"),
    ]
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def lists_sum(rows: pl.DataFrame, name: str) -> int | None:
    """The sum over the answers that the log holds; None where it holds none."""
    return int(rows[name].sum()) if rows[name].count() else None


def by_resource(pattern: Pattern) -> list[tuple[str, int]]:
    """Resources and their lists, most first. The group is told where two have one name."""
    counts = pattern.lists.group_by("resource", "api_group").len().sort("len", "resource", descending=[True, False])
    twice = set(counts.filter(pl.col("resource").is_duplicated())["resource"])
    return [
        (f"{name}.{group}" if name in twice and group else name, count)
        for name, group, count in counts.head(ROWS).rows()
    ]


def evidence(frames: Frames, pattern: Pattern, deaths: Deaths) -> Evidence:
    """The first, largest or slowest and last list with some between; what was asked for; who asked; when."""
    lists = pattern.lists
    worst = lists["items"].arg_max() if lists["items"].count() else lists["latency_seconds"].arg_max()
    return Evidence(
        records=records(lists, int(worst or 0)),
        tables=(_asked(frames, pattern), _clients(pattern), *deaths_table(deaths)),
        series=(_series(lists),),
    )


def _asked(frames: Frames, pattern: Pattern) -> EvidenceTable:
    shown = {
        "resource": ("resource", ""),
        "scope": ("scope", ""),
        "clients": ("clients", "clients"),
        "lists": ("lists", "lists"),
        "unselected": ("without a selector for a node", "lists"),
        "quorum_reads": ("without resourceVersion", "lists"),
        "unpaginated": ("without a limit", "lists"),
        "interval_seconds": ("median time between a client's lists", "seconds"),
        "interval_variation": ("its variation", "fraction"),
        "watches": ("watches", "watches"),
        "unselected_watches": ("watches without a selector", "watches"),
        "short_watches": ("of them ended within a second", "watches"),
        "gone": ("answered 410", "requests"),
    }
    rows = (
        frames[LIST_WATCH]
        .filter(pl.col("agent") == pattern.agent)
        .sort(["lists", "watches", "resource", "scope"], descending=[True, True, False, False])
        .select(list(shown))
        .head(ROWS)
        .collect()
    )
    return EvidenceTable(
        caption=f"What {short(pattern.agent)} lists and watches in the whole log",
        columns=tuple(Column(name=name, unit=unit) for name, unit in shown.values()),
        rows=tuple(rows.rows()),
    )


def _clients(pattern: Pattern) -> EvidenceTable:
    keys = ["source_ip", "who_node", "caller_pod"]
    rows = (
        pattern.lists.with_columns(pl.coalesce("selected_node", "client_node").alias("who_node"))
        .group_by(keys)
        .agg(pl.len(), pl.col("again").sum(), pl.col("throttled").sum(), pl.col("interval").median())
        .sort(["len", *keys], descending=[True, False, False, False], nulls_last=True)
    )
    return EvidenceTable(
        caption=f"Who lists: {rows.height:,} clients, the busiest first",
        columns=(
            Column(name="address"),
            Column(name="node"),
            Column(name="pod"),
            Column(name="lists", unit="lists"),
            Column(name="again too soon", unit="lists"),
            Column(name="rejected", unit="lists"),
            Column(name="median time between", unit="seconds"),
        ),
        rows=tuple(rows.head(ROWS).rows()),
    )


def _series(lists: pl.DataFrame) -> EvidenceSeries:
    start = lists["time"][0]
    length = (lists["time"][-1] - start).total_seconds()
    step = BIN_SECONDS * max(1, -int(-length // (BIN_SECONDS * SERIES_BINS)))
    place = (lists["time"] - start).dt.total_seconds() // step
    counts: dict[int, int] = dict(place.value_counts().rows())
    return EvidenceSeries(
        caption=f"Lists per {step} s",
        unit="lists",
        start=start,
        step_seconds=step,
        values=tuple(float(counts.get(at, 0)) for at in range(max(counts) + 1)),
    )
