"""Figures, records and tables of refused credentials. No credential is in any of them."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.detectors.credentials.imds_credential_refusal.measure import WHO, Refusals
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure, Record

MOST_RECORDS, MOST_ROWS = 8, 10
STEP_SECONDS, MOST_STEPS = 60, 1440


def impact(refusals: Refusals) -> tuple[Figure, ...]:
    figures: tuple[tuple[str, int | float, str], ...] = (
        ("refused requests", refusals.count, "requests"),
        ("pods", len(refusals.pods), "pods"),
        ("seconds blocked", round(refusals.seconds, 6), "seconds"),
        ("granted requests meanwhile", refusals.granted, "requests"),
    )
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures)


def evidence(refusals: Refusals) -> Evidence:
    """The first refusal of some pods, and the last of all; pods with most; refusals per minute."""
    rows = refusals.rows.sort("time", "source", "number")
    firsts = rows.unique(WHO, keep="first", maintain_order=True).head(MOST_RECORDS - 2)
    chosen = pl.concat([rows.head(1), firsts, rows.tail(1)]).unique(["source", "number"]).sort("source", "number")
    records = tuple(
        Record(source=s, number=n, time=t) for s, n, t in chosen.select("source", "number", "end").iter_rows()
    )
    table = (
        rows.group_by(WHO)
        .agg(
            pl.len(),
            pl.col("status").unique().sort().cast(pl.String).str.join(", "),
            pl.col("client").first(),
            pl.col("deleted").first().dt.strftime("%H:%M:%S"),
        )
        .join(refusals.blocked.with_columns(pl.col("seconds").round(3)), on=WHO, how="left")
        .sort("len", WHO, descending=[True, False])
        .head(MOST_ROWS)
        .select(WHO, "client", "len", "status", "seconds", "deleted")
    )
    columns = (
        Column(name="pod"),
        Column(name="address"),
        Column(name="refused", unit="requests"),
        Column(name="answers"),
        Column(name="blocked", unit="seconds"),
        Column(name="deleted at"),
    )
    shown = EvidenceTable(caption=f"Refused requests of {refusals.cause}", columns=columns, rows=tuple(table.rows()))
    return Evidence(records=records, tables=(shown,), series=(_per_minute(refusals),))


def _per_minute(refusals: Refusals) -> EvidenceSeries:
    start = refusals.start.replace(second=0, microsecond=0)
    minutes = int((refusals.end - start) / timedelta(seconds=STEP_SECONDS)) + 1
    step = STEP_SECONDS * -(-minutes // MOST_STEPS)
    at = (pl.col("time") - start).dt.total_seconds() // step
    counts = dict(refusals.rows.group_by(at.alias("at")).len().iter_rows())
    bins = minutes * STEP_SECONDS // step + (step > STEP_SECONDS)
    values = tuple(float(counts.get(i, 0)) for i in range(bins))
    return EvidenceSeries(caption="Refused", unit="requests", start=start, step_seconds=step, values=values)
