"""Figures, records and tables of a collapse, how bad it is, how sure, and what would have spared it."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.workload.replica_collapse.collapse import Collapse
from analyzer.detectors.workload.replica_collapse.falls import DEFAULTED, INFERRED, STORED
from analyzer.facts.audit_windows import RECORDS, records, short
from analyzer.model import Column, Confidence, Evidence, EvidenceTable, Figure, Record, Saving, Severity

ROWS = 15

LARGE = 10
"""Replicas before from which a collapse is worse: what remains gets more than ten times the load."""
LONG = 300
"""Seconds without recovery from which it is worse."""
SYNC = 15
"""Seconds between two looks of an autoscaler (flag --horizontal-pod-autoscaler-sync-period). It raises a Deployment to
minReplicas at once, but beyond that doubles it at the most each time (autoscaling/v2, behavior)."""


def impact(collapse: Collapse) -> tuple[Figure, ...]:
    """The figures of a collapse. Without recovery in the evidence there is no time until it."""
    until = (collapse.until - collapse.time).total_seconds() if collapse.until else None
    figures = [
        ("replica-seconds lost", collapse.lost, "seconds"),
        ("pods deleted", collapse.deleted.height, "pods"),
        ("replicas before", collapse.before, "replicas"),
        ("replicas after", DEFAULTED, "replicas"),
        ("seconds until recovery", until, "seconds"),
    ]
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def severity(collapse: Collapse) -> Severity:
    """By how much went, and for how long."""
    long = collapse.until is None or (collapse.until - collapse.time).total_seconds() >= LONG
    if collapse.before >= LARGE and long:
        return Severity.CRITICAL
    return Severity.HIGH if collapse.before >= LARGE or long else Severity.MEDIUM


def confidence(collapse: Collapse) -> tuple[Confidence, str]:
    """The bodies of the write prove it; Events tell that it fell; a sequence only hints at it."""
    if collapse.known == STORED:
        return Confidence.HIGH, "the request names no replicas, and the server stored one"
    if collapse.known == INFERRED:
        return (
            Confidence.LOW,
            "the stored object is not told (policy level): a write, pods deleted and none made, then an autoscaler",
        )
    return Confidence.MEDIUM, "an Event tells of the fall; whether the field was missing is not in the evidence"


def evidence(collapse: Collapse) -> Evidence:
    """The write first, then pods that were deleted; what was given back, and when."""
    write = Record(source=collapse.source, number=collapse.number, time=collapse.time)
    gone = collapse.deleted.sort("time", "source", "number")
    return Evidence(
        records=(write, *records(gone, count=RECORDS - 1)),
        tables=(_later(collapse), *([_deleted(collapse)] if gone.height else [])),
    )


def _later(collapse: Collapse) -> EvidenceTable:
    rows = collapse.later.filter(pl.col("time") <= (collapse.until or collapse.end)).head(ROWS)
    after = (rows["time"] - collapse.time).dt.total_microseconds() / 1e6
    return EvidenceTable(
        caption="Replicas from the write on",
        columns=(Column(name="seconds after", unit="seconds"), Column(name="replicas"), Column(name="by")),
        rows=(
            (0.0, DEFAULTED, short(collapse.actor or "not told")),
            *(
                (round(seconds, 3), replicas, short(actor or ("autoscaler" if scaler else "not told")))
                for seconds, replicas, actor, scaler in zip(
                    after, rows["replicas"], rows["actor"], rows["autoscaler"], strict=True
                )
            ),
        ),
    )


def _deleted(collapse: Collapse) -> EvidenceTable:
    after = (collapse.deleted["time"] - collapse.time).dt.total_microseconds() / 1e6
    return EvidenceTable(
        caption="Pods that were deleted within a minute",
        columns=(Column(name="pod"), Column(name="seconds after", unit="seconds")),
        rows=tuple(
            (short(name), round(seconds, 3)) for name, seconds in zip(collapse.deleted["name"], after, strict=True)
        )[:ROWS],
    )


def savings(collapse: Collapse) -> tuple[Saving, Saving]:
    """The replicas replayed with the field kept, and with an autoscaler whose minimum is half of what was there."""
    floor = max(DEFAULTED, collapse.before // 2)
    return (
        Saving(
            fix="the manifest leaves spec.replicas out and never owned it (server-side apply), or names what runs",
            observed=collapse.lost,
            modelled=0,
            unit="replica-seconds",
            assumption=f"The Deployment would have kept its {collapse.before} replicas.",
            formula="sum over time of replicas before less replicas asked for; none where the field is kept",
        ),
        Saving(
            fix=f"minReplicas: {floor} of its HorizontalPodAutoscaler",
            observed=collapse.lost,
            modelled=collapse.lost_with(floor, SYNC),
            unit="replica-seconds",
            assumption=f"The autoscaler looks every {SYNC} s and raises to its minimum at once.",
            formula=f"the same sum with minReplicas from {SYNC} s on, where fewer were asked for",
        ),
    )
