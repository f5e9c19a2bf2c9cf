"""Figures, records and tables of queries that an upstream did not answer."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.dns.dns_upstream_throttle.look_alikes import domains
from analyzer.detectors.dns.dns_upstream_throttle.seen import READ_TIMEOUT
from analyzer.detectors.dns.dns_upstream_throttle.windows import Window
from analyzer.facts.audit_windows import RECORDS, records
from analyzer.facts.dns_witness import Witness
from analyzer.frames import NO_REPLY
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure, Record

ROWS = 15
QUOTED_ERRORS = 5
QUOTED_FRAMES = 8
STEPS = (1, 10, 60, 600, 3600, 86_400)
SERIES_MOST = 300
"""Seconds per value of the series: the least that gives so few values."""


def waited(window: Window, timeout: float) -> float:
    """Seconds that clients waited for failed queries, each try up to its timeout."""
    tries = window.seen.asked.filter("failed")
    silent = pl.when(pl.col("rcode") == NO_REPLY).then(timeout).otherwise(0.0)
    spent = pl.coalesce("duration_seconds", silent).clip(0, timeout)
    return float(tries.select(spent.sum()).item() or 0)


def impact(window: Window, timeout: float, witness: Witness, rate: float | None) -> tuple[Figure, ...]:
    seen, failed = window.seen, window.failed
    # CoreDNS logs the same for what it refuses itself or cannot send, but sooner.
    soon = (pl.col("duration_seconds") < READ_TIMEOUT).fill_null(False)
    silent = failed.filter("silent", ~soon).height
    answered = seen.cluster.filter(~pl.col("failed"), ~pl.col("retry")).height
    figures: list[tuple[str, int | float, str]] = []
    if failed.height or window.alone:
        figures.append(("failed queries", failed.height + window.alone, "queries"))
    if seen.asked.height:
        figures += [
            ("queries without reply", silent, "queries"),
            ("seconds waited", round(waited(window, timeout), 6), "seconds"),
            ("cluster-zone answers meanwhile", answered, "queries"),
        ]
        if window.share is not None:
            figures.append(("forwarded queries", seen.asked.filter(~pl.col("retry")).height, "queries"))
            figures.append(("failed share of forwarded queries", round(window.share, 6), "fraction"))
    figures.append(("names affected", int(domains(window)["names"].sum()), "names"))
    if seen.errors.height:
        figures.append(("errors logged", int(seen.errors["count"].sum()), "errors"))
    if seen.upstream.height:
        figures.append(("upstream queries", seen.upstream.height, "queries"))
        figures.append(("upstream queries unanswered", int(window.vain["silent"].sum()), "queries"))
        if asked := seen.asked.filter(~pl.col("retry")).height:
            figures.append(("upstream queries per forwarded query", round(seen.upstream.height / asked, 6), "queries"))
    if rate is not None:
        figures.append(("upstream answers at most", round(rate, 3), "queries per second"))
    return (*(Figure(name=name, value=value, unit=unit) for name, value, unit in figures), *witness.figures)


def evidence(window: Window) -> Evidence:
    """CoreDNS's errors, the failed queries, its own; which domains and which errors; failures over time."""
    seen = window.seen
    parts = [records(seen.errors, count=QUOTED_ERRORS), records(window.failed)]
    own = window.vain.sort("time", "source", "number")
    parts.append(records(own, count=QUOTED_FRAMES if window.failed.height else RECORDS))
    quoted = [one for part in parts for one in part]
    by_domain = EvidenceTable(
        caption="Domains whose names failed",
        columns=(
            Column(name="domain"),
            *(Column(name="failed", unit="queries"), Column(name="asked", unit="queries")),
            Column(name="names that failed", unit="names"),
        ),
        rows=tuple(domains(window).filter(pl.col("failed") > 0).head(ROWS).rows()),
    )
    tables = [by_domain]
    if seen.errors.height:
        counts = seen.errors.group_by("kind", pl.col("upstream").fill_null("")).agg(pl.col("count").sum())
        tables.append(
            EvidenceTable(
                caption="What CoreDNS said of it",
                columns=(Column(name="error"), Column(name="upstream"), Column(name="times", unit="errors")),
                rows=tuple(
                    counts.sort(["count", "kind", "upstream"], descending=[True, False, False]).head(ROWS).rows()
                ),
            )
        )
    unique: dict[tuple[str, int], Record] = {(one.source, one.number): one for one in quoted}
    return Evidence(records=tuple(unique.values()), tables=tuple(tables), series=_series(window))


def _series(window: Window) -> tuple[EvidenceSeries, ...]:
    start, end = window.span
    if start is None or end is None:
        return ()
    rows = window.failed if window.failed.height >= window.vain.height else window.vain
    seconds = (end - start).total_seconds()
    step = next((one for one in STEPS if seconds / one <= SERIES_MOST), STEPS[-1])
    since = (rows["time"].drop_nulls() - start).dt.total_microseconds() // (step * 1_000_000)
    counts = dict(since.value_counts().iter_rows())
    if not counts:
        return ()
    return (
        EvidenceSeries(
            caption="Failed queries",
            unit="queries",
            start=start,
            step_seconds=step,
            values=tuple(float(counts.get(one, 0)) for one in range(max(counts) + 1)),
        ),
    )
