"""Figures, records and tables of a loop, how bad it is and how sure."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from analyzer.detectors.workload.admission_denial_loop.measure import Loop
from analyzer.detectors.workload.admission_denial_loop.saving import SYSTEM, Quota
from analyzer.facts.audit_windows import BIN_SECONDS, records, short
from analyzer.model import Column, Confidence, Evidence, EvidenceSeries, EvidenceTable, Figure, Severity

ROWS = 15
MESSAGES = 5
BINS = 240

MANY = 3
"""Namespaces with stuck owners from which a loop is critical."""

BRIEF = 60
"""Seconds up to which a loop that ended by itself is low: controllers ask again within them."""


def impact(loop: Loop) -> tuple[Figure, ...]:
    """The figures of a loop; each denial once, by the source that tells of most."""
    figures = [
        ("denials", loop.denials, "denials"),
        ("owners stuck", len(loop.owners), "owners"),
        ("owners stuck at the end", len(loop.stuck), "owners"),
        ("replicas missing", sum(owner.missing for owner in loop.owners), "replicas"),
        ("seconds since the first denial", loop.seconds, "seconds"),
    ]
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def severity(loop: Loop) -> Severity:
    """Critical where the system's own pods or many namespaces are stuck, high where anybody still is."""
    if loop.stuck:
        namespaces = {owner.namespace for owner in loop.stuck}
        return Severity.CRITICAL if SYSTEM in namespaces or len(namespaces) >= MANY else Severity.HIGH
    return Severity.LOW if loop.seconds is not None and loop.seconds < BRIEF else Severity.MEDIUM


def confidence(loop: Loop) -> tuple[Confidence, str]:
    """The server's own answers, or two sources that agree, leave no doubt."""
    channels = {channel for owner in loop.owners for channel in owner.channels}
    if loop.start is None:
        return Confidence.LOW, "the records have no time, so nobody can say whether it lasts"
    if "audit" in channels:
        more = " and " + " and ".join(sorted(channels - {"audit"})) if len(channels) > 1 else ""
        return Confidence.HIGH, f"the server's answers name the check (audit{more})"
    if len(channels) > 1:
        return Confidence.HIGH, "Events and the controller's log agree"
    source = "Events, which expire and are thinned out" if "event" in channels else "the controller's log"
    return Confidence.MEDIUM, f"one source: {source}"


def evidence(loop: Loop, quotas: tuple[Quota, ...]) -> Evidence:
    """The first, the last and some denials between; whose they were; what was answered; of a quota what it lacks."""
    return Evidence(
        records=records(_told(loop)),
        tables=(_owners(loop), _messages(loop), *([_quotas(quotas)] if quotas else [])),
        series=_series(loop),
    )


def _told(loop: Loop) -> pl.DataFrame:
    """The denials as one channel tells of them: the audit log before Events before logs."""
    return loop.rows.filter(pl.col("channel") == loop.rows["channel"].min())


def _owners(loop: Loop) -> EvidenceTable:
    def into(moment: datetime | None) -> float | None:
        return round((moment - loop.start).total_seconds(), 3) if moment and loop.start else None

    return EvidenceTable(
        caption="Owners whose objects were denied",
        columns=(
            Column(name="owner"),
            Column(name="kind"),
            Column(name="denials", unit="denials"),
            Column(name="first", unit="seconds"),
            Column(name="last", unit="seconds"),
            Column(name="replicas missing", unit="replicas"),
            Column(name="in the end"),
        ),
        rows=tuple(
            (
                short(owner.label),
                owner.kind or None,
                owner.denials,
                into(owner.first),
                into(owner.last),
                owner.missing,
                owner.cure or "stuck",
            )
            for owner in loop.owners[:ROWS]
        ),
    )


def _messages(loop: Loop) -> EvidenceTable:
    counts = (
        _told(loop)
        .group_by("message")
        .agg(pl.col("count").sum())
        .sort(["count", "message"], descending=[True, False])
        .head(MESSAGES)
    )
    return EvidenceTable(
        caption="What was answered",
        columns=(Column(name="message"), Column(name="records", unit="records")),
        rows=tuple((short(message, 400), count) for message, count in counts.rows()),
    )


def _quotas(quotas: tuple[Quota, ...]) -> EvidenceTable:
    return EvidenceTable(
        caption="The quota by the last denial, in whole units (cores, bytes, objects)",
        columns=tuple(Column(name=name) for name in ("resource", "a pod asks for", "used", "limit", "would be needed")),
        rows=tuple(
            (quota.resource, float(quota.asked), float(quota.used), float(quota.limit), float(quota.needed))
            for quota in quotas
        ),
    )


def _series(loop: Loop) -> tuple[EvidenceSeries, ...]:
    times = _told(loop)["time"].drop_nulls()
    if loop.start is None or not times.len():
        return ()
    begin = times.min()
    place = (times - begin).dt.total_seconds() // BIN_SECONDS
    counts: dict[int, int] = dict(place.value_counts().rows())
    return (
        EvidenceSeries(
            caption="Denials recorded per minute",
            unit="records",
            start=begin,  # type: ignore[arg-type]  # untyped by polars
            step_seconds=BIN_SECONDS,
            values=tuple(float(counts.get(at, 0)) for at in range(min(max(counts) + 1, BINS))),
        ),
    )
