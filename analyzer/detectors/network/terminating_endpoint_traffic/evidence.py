"""Figures, records, tables and the series of traffic to pods that end, and what a preStop sleep would have saved."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from analyzer.detectors.network.terminating_endpoint_traffic.rollouts import ANSWERED, REFUSED, UNANSWERED, Rollout
from analyzer.facts.audit_windows import records, short
from analyzer.facts.owner_names import label, with_owners
from analyzer.model import Column, Confidence, Evidence, EvidenceSeries, EvidenceTable, Figure, Record, Saving

ROWS = 15
STEPS = 120
OFTEN = 15
"""Seconds of the sleep that many manifests have; where it saves more or less, that is told beside the measured one."""


def impact(rollout: Rollout) -> tuple[Figure, ...]:
    """The figures. Without a write of endpoints there is no gap, without plain HTTP no answers."""
    figures = [
        ("refused new connections", rollout.count(REFUSED), "connections"),
        ("unanswered new connections", rollout.count(UNANSWERED), "connections"),
        ("pods", rollout.failed["ending"].n_unique(), "pods"),
        ("clients", rollout.failed["client"].n_unique(), "clients"),
        ("longest delete-to-endpoint gap", None if rollout.gap is None else round(rollout.gap, 6), "seconds"),
        ("longest time from deletion to a failed connection", round(rollout.window, 6), "seconds"),
        ("successful connections meanwhile", rollout.served, "connections"),
        ("answers 502 to 504 meanwhile", rollout.errors, "answers"),
    ]
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def confidence(rollout: Rollout) -> tuple[Confidence, str]:
    """A reset after a deletion proves it; silence alone may be the network's."""
    if rollout.count(REFUSED):
        return Confidence.HIGH, "the capture shows resets after deletions that another source tells of"
    return Confidence.MEDIUM, "nobody answered after the deletions; a network that drops packets looks the same"


def evidence(rollout: Rollout, owners: pl.DataFrame) -> Evidence:
    """The first deletion, then the connections that failed; by pod, by client, over time."""
    first = rollout.pods.sort("deleted", "source", "number").row(0, named=True)
    deletion = Record(source=first["source"], number=first["number"], time=first["deleted"])
    failed = rollout.failed.sort("time", "source", "number")
    worst = int(failed["after"].arg_max() or 0)
    return Evidence(
        records=(deletion, *records(failed, worst, count=18)),
        tables=(_pods(rollout), _clients(rollout, owners)),
        series=_series(rollout),
    )


def _pods(rollout: Rollout) -> EvidenceTable:
    lost = pl.col("who") == "client"
    counts = rollout.tried.group_by("ending").agg(
        *((lost & (pl.col("outcome") == name)).sum().alias(name) for name in (REFUSED, UNANSWERED, ANSWERED)),
        last=pl.col("after").filter(lost & (pl.col("outcome") != ANSWERED)).max().round(3),
    )
    gap = (pl.col("removed") - pl.col("deleted")).dt.total_microseconds().cast(pl.Float64) / 1e6
    rows = (
        rollout.pods.join(counts, on="ending", how="left")
        .with_columns(gap=gap.round(3))
        .sort(["last", "pod"], descending=[True, False], nulls_last=True)
        .head(ROWS)
    )
    return EvidenceTable(
        caption="Deleted pods, and new connections of clients to their addresses after the deletion",
        columns=(
            Column(name="pod"),
            Column(name="address"),
            *(Column(name=name, unit="connections") for name in (REFUSED, UNANSWERED, ANSWERED)),
            Column(name="endpoints written after", unit="seconds"),
            Column(name="last failure after", unit="seconds"),
        ),
        rows=tuple(
            (short(pod), address, refused or 0, unanswered or 0, answered or 0, gap, last)
            for pod, address, refused, unanswered, answered, gap, last in rows.select(
                "pod", "address", REFUSED, UNANSWERED, ANSWERED, "gap", "last"
            ).rows()
        ),
    )


def _clients(rollout: Rollout, owners: pl.DataFrame) -> EvidenceTable:
    rows = (
        rollout.failed.group_by("client")
        .agg(
            pl.len().alias("failed"),
            pl.col("ending").n_unique().alias("pods"),
            pl.col("after").max().round(3),
            pl.col("time").min(),
        )
        .sort(["failed", "client"], descending=[True, False])
        .head(ROWS)
    )
    named = with_owners(rows, owners)
    plain = {column: column.removeprefix("owner_") for column in named.columns if column.startswith("owner_")}
    who = [
        label(row) if row["kind"] else ""
        for row in named.select(pl.col(one).alias(name) for one, name in plain.items()).iter_rows(named=True)
    ]
    return EvidenceTable(
        caption="Who still connected",
        columns=(
            *(Column(name="client"), Column(name="who it is"), Column(name="failed", unit="connections")),
            *(Column(name="pods", unit="pods"), Column(name="last after a deletion", unit="seconds")),
        ),
        rows=tuple(
            (client, short(name) if name else None, failed, pods, after)
            for name, (client, failed, pods, after) in zip(
                who, rows.select("client", "failed", "pods", "after").rows(), strict=True
            )
        ),
    )


def _series(rollout: Rollout) -> tuple[EvidenceSeries, ...]:
    seconds = (rollout.end - rollout.start).total_seconds()
    step = max(1, math.ceil(seconds / STEPS))
    after = (rollout.failed["time"] - rollout.start).dt.total_microseconds().to_numpy() // (step * 1_000_000)
    values = np.bincount(after, minlength=math.floor(seconds / step) + 1)
    return (
        EvidenceSeries(
            caption=f"New connections to deleted pods that failed, per {step} s",
            unit="connections",
            start=rollout.start,
            step_seconds=step,
            values=tuple(float(count) for count in values),
        ),
    )


def savings(rollout: Rollout) -> tuple[Saving, tuple[Saving, ...]]:
    """What a sleep that covers 99 of 100 failures would have left over, and a customary one."""
    lengths = (rollout.sleep, *((OFTEN,) if rollout.left(OFTEN) != rollout.left(rollout.sleep) else ()))
    made = tuple(
        Saving(
            fix=f"a preStop sleep of {seconds} s",
            observed=rollout.failed.height,
            modelled=rollout.left(seconds),
            unit="failed connections",
            assumption="The server goes on accepting while preStop sleeps; the endpoints are written as early as now.",
            formula=f"failed connections later than {seconds} s after the deletion of their pod",
        )
        for seconds in lengths
    )
    return made[0], made[1:]
