"""Figures, records and tables that prove a storm. No credential is in any of them."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.detectors.credentials.imds_credential_storm.lives import Lives
from analyzer.detectors.credentials.imds_credential_storm.storm import Storm
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure, Record

STEP_SECONDS = 60
MOST_STEPS = 1440
SPREAD = 4


def impact(storm: Storm, lives: Lives | None) -> tuple[Figure, ...]:
    """What the refreshes cost, each once; seconds are from the first request to the last answer of each."""
    median = storm.used["seconds"].median()
    figures: list[tuple[str, int | float, str]] = [
        ("refreshes", storm.refreshes, "refreshes"),
        ("metadata requests", storm.requests, "requests"),
        ("seconds spent", round(storm.seconds, 6), "seconds"),
        ("median refresh seconds", round(float(median), 6) if isinstance(median, float) else 0.0, "seconds"),
        ("application requests", storm.application, "requests"),
        ("refreshes needed", storm.needed, "refreshes"),
    ]
    if storm.per_request is not None:
        added = storm.seconds / storm.application
        figures.append(("refreshes per application request", round(storm.per_request, 3), "refreshes"))
        figures.append(("seconds added per application request", round(added, 6), "seconds"))
    if storm.share is not None:
        figures.append(("share of the request's time", round(storm.share, 6), "fraction"))
    if storm.processes > 1:
        figures.append(("processes at once, at least", storm.processes, "processes"))
    if lives is not None:
        figures += [
            ("bursts", lives.bursts, "bursts"),
            ("seconds of a burst", round(lives.length, 6), "seconds"),
            ("life left at its end", round(lives.left, 6), "seconds"),
        ]
    if lives is not None and lives.period is not None:
        figures.append(("seconds from burst to burst", round(lives.period, 6), "seconds"))
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures)


def evidence(storm: Storm) -> Evidence:
    """The first refresh by its ends, the slowest, the last and some between; programs; refreshes per minute."""
    rows = storm.used.sort("time", "source", "number")
    slowest = rows.sort("seconds", "source", "number", descending=[True, False, False])
    places = [0, rows.height - 1, *(i * rows.height // (SPREAD + 1) for i in range(1, SPREAD + 1))]
    chosen = pl.concat([rows[sorted(set(places))], slowest.head(1)]).unique(["source", "number"])
    found = {(source, number): time for source, number, time in chosen.select("source", "number", "time").iter_rows()}
    first = rows.head(1).select("source", "credential_number", "answer_number").row(0)
    for number in first[1:]:
        if number is not None:
            found.setdefault((first[0], number), None)
    following = rows["application_number"].drop_nulls().head(1).to_list()
    for number in following:
        found.setdefault((first[0], number), None)
    records = tuple(Record(source=s, number=n, time=t) for (s, n), t in sorted(found.items(), key=lambda item: item[0]))
    return Evidence(records=records, tables=(_programs(rows),), series=(_per_minute(storm),))


def _programs(rows: pl.DataFrame) -> EvidenceTable:
    left = pl.col("remaining_seconds")
    table = (
        rows.group_by("user_agent", "provider")
        .agg(
            pl.len(),
            pl.col("requests").sum(),
            pl.col("seconds").sum().round(6),
            left.min().round(1).alias("least"),
            left.max().round(1).alias("most"),
            pl.col("window").first(),
            pl.col("application_number").count().alias("followed"),
        )
        .sort("len", "user_agent", "provider", descending=[True, False, False], nulls_last=True)
    )
    columns = (
        Column(name="program"),
        Column(name="provider"),
        Column(name="refreshes", unit="refreshes"),
        Column(name="requests", unit="requests"),
        Column(name="time", unit="seconds"),
        Column(name="least life left", unit="seconds"),
        Column(name="most life left", unit="seconds"),
        Column(name="refresh window", unit="seconds"),
        Column(name="followed by a request within 100 ms", unit="refreshes"),
    )
    return EvidenceTable(caption="Refreshes by program", columns=columns, rows=tuple(table.head(10).rows()))


def _per_minute(storm: Storm) -> EvidenceSeries:
    """Refreshes per step; the step grows where a long capture would give too many."""
    start = storm.start.replace(second=0, microsecond=0)
    minutes = int((storm.end - start) / timedelta(seconds=STEP_SECONDS)) + 1
    step = STEP_SECONDS * -(-minutes // MOST_STEPS)
    offset = (pl.col("time") - start).dt.total_seconds() // step
    counts = dict(storm.used.group_by(offset.alias("at")).len().iter_rows())
    bins = minutes * STEP_SECONDS // step + 1 if step > STEP_SECONDS else minutes
    values = tuple(float(counts.get(i, 0)) for i in range(bins))
    return EvidenceSeries(caption="Refreshes", unit="refreshes", start=start, step_seconds=step, values=values)
