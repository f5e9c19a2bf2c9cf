"""Figures, records and tables of a flood."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analyzer.detectors.apiserver.audit_log_flood.measure import Flood
from analyzer.detectors.apiserver.audit_log_flood.policy import Rule
from analyzer.facts.audit_windows import BIN_SECONDS, records, short
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure

ROWS = 15
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
AROUND = 30
"""Minutes before and after a flood that its series shows."""

DAY = 86_400
GIB = 1 << 30


def per_day(size: int, seconds: float) -> float:
    """GiB a day at the rate of `size` bytes in `seconds`."""
    return size / seconds * DAY / GIB


def impact(flood: Flood, totals: dict[str, int], saved: int) -> tuple[Figure, ...]:
    """The figures of a flood. Without anything before it the rate before is unknown and left out."""
    figures = [
        ("records of the writer", totals["records"], "records"),
        ("bytes of the writer", totals["bytes"], "bytes"),
        ("records per second before", None if flood.before is None else round(flood.before, 3), "records per second"),
        ("records per second during", round(totals["records"] / flood.seconds, 3), "records per second"),
        ("share of the records", round(totals["records"] / totals["all_records"], 6), "fraction"),
        ("bytes saved by the policy", saved, "bytes"),
    ]
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def evidence(
    rows: pl.LazyFrame, minutes: pl.DataFrame, flood: Flood, policy: Sequence[Rule], replay: pl.DataFrame
) -> Evidence:
    """The writer's first, largest and last record with some between; what it wrote; what the policy does."""
    keys = ["written", "source", "number"]
    own = rows.filter(pl.col("user") == flood.user).select(*keys, "event_bytes").sort(keys).collect()
    largest = int(own["event_bytes"].arg_max() or 0)
    return Evidence(
        records=records(own.rename({"written": "time"}), largest),
        tables=(_kinds(rows, flood), _users(rows), _policy(policy, replay)),
        series=(_series(minutes, flood),),
    )


def _kinds(rows: pl.LazyFrame, flood: Flood) -> EvidenceTable:
    keys = ["verb", "resource", "level", "stage"]
    kinds = (
        rows.filter(pl.col("user") == flood.user)
        .group_by(keys)
        .agg(
            pl.len().alias("records"),
            pl.col("event_bytes").sum().alias("bytes"),
            (pl.col("request_body_bytes") + pl.col("response_body_bytes")).sum().alias("bodies"),
            pl.col("truncated").sum(),
        )
        .sort(["bytes", "records", *keys], descending=[True, True, False, False, False, False])
        .head(ROWS)
        .collect()
    )
    return EvidenceTable(
        caption=f"What the log says of {short(flood.user)}",
        columns=(
            *(Column(name=key) for key in keys),
            Column(name="records", unit="records"),
            Column(name="bytes", unit="bytes"),
            Column(name="of which bodies", unit="bytes"),
            Column(name="truncated by the server", unit="records"),
        ),
        rows=tuple(kinds.rows()),
    )


def _users(rows: pl.LazyFrame) -> EvidenceTable:
    size = pl.col("event_bytes")
    users = (
        rows.group_by("user")
        .agg(
            pl.len().alias("records"),
            size.sum().alias("bytes"),
            *(size.filter(pl.col("stage") == stage).sum().alias(stage) for stage in STAGES),
            (pl.col("request_body_bytes") + pl.col("response_body_bytes")).sum().alias("bodies"),
        )
        .sort(["bytes", "user"], descending=[True, False])
        .head(ROWS)
        .collect()
    )
    return EvidenceTable(
        caption="Writers meanwhile, by the bytes that their requests left in the log, and in which stage",
        columns=(
            Column(name="user"),
            Column(name="records", unit="records"),
            Column(name="bytes", unit="bytes"),
            *(Column(name=stage, unit="bytes") for stage in STAGES),
            Column(name="of which bodies", unit="bytes"),
        ),
        rows=tuple((short(user), *counts) for user, *counts in users.rows()),
    )


def _policy(policy: Sequence[Rule], replay: pl.DataFrame) -> EvidenceTable:
    return EvidenceTable(
        caption="The policy, rule by rule, replayed on these records, and what nobody could answer any more",
        columns=(
            Column(name="rule"),
            Column(name="records", unit="records"),
            Column(name="before", unit="bytes"),
            Column(name="after", unit="bytes"),
            Column(name="no longer answerable"),
        ),
        rows=tuple(
            (policy[at].name, count, before, after, policy[at].lost) for at, count, before, after in replay.rows()
        ),
    )


def _series(minutes: pl.DataFrame, flood: Flood) -> EvidenceSeries:
    """Minutes without a record are zero here; whether the log has a gap there is for the coverage to say."""
    low, high = (int(moment.timestamp()) // BIN_SECONDS for moment in (flood.start, flood.end))
    near = minutes.filter(pl.col("bin").is_between(low - AROUND, high + AROUND))
    counts = near.group_by("bin").agg(pl.col("all_records").first(), pl.col("first").min()).sort("bin")
    known = dict(counts.select("bin", "all_records").rows())
    bins = range(min(known), max(known) + 1)
    start = counts["first"].dt.truncate("1m")[0]
    return EvidenceSeries(
        caption="Audit records per minute",
        unit="records",
        start=start,
        step_seconds=BIN_SECONDS,
        values=tuple(float(known.get(at, 0)) for at in bins),
    )
