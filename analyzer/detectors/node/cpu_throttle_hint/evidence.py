"""Figures, records and tables of throttled containers and of servers that answer at the period's beat."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from analyzer.detectors.node.cpu_throttle_hint.counters import Throttled
from analyzer.detectors.node.cpu_throttle_hint.stalls import Stalls
from analyzer.facts.audit_windows import records
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure, Record

MOST_ROWS, MOST_STEPS, BARS = 12, 1440, 20


def figures_of_counters(found: Throttled) -> tuple[Figure, ...]:
    usage = found.rows["usage_seconds"].drop_nulls()
    told = found.probes.height
    figures: list[tuple[str, int | float | None, str]] = [
        ("throttled periods", found.throttled, "periods"),
        ("periods", found.periods, "periods"),
        ("share throttled", round(found.share, 6), "fraction"),
        ("throttled seconds", None if found.seconds is None else round(found.seconds, 6), "seconds"),
        ("CPU seconds used", round(float(usage.sum()), 6) if usage.len() else None, "seconds"),
        ("probes of the pod that took too long", told or None, "probes"),
    ]
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def figures_of_stalls(found: Stalls) -> tuple[Figure, ...]:
    figures: list[tuple[str, int | float | None, str]] = [
        ("answers held up", found.rows.height, "answers"),
        ("answers", found.answers, "answers"),
        ("seconds held up", round(found.seconds, 6), "seconds"),
        ("median of the other answers", round(found.quick, 6), "seconds"),
        ("beat of the held-up answers", round(found.beat, 3), "fraction"),
        ("beat of the other answers", round(found.quick_beat, 3), "fraction"),
        ("share held up at its peers", None if found.peers is None else round(found.peers, 3), "fraction"),
    ]
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def evidence_of_counters(found: Throttled) -> Evidence:
    """The snapshots between which most was throttled, the first and the last, and the latest probes."""
    worst = found.rows.sort("throttled_periods", "source", "number", descending=[True, False, False]).head(3)
    chosen = pl.concat([found.rows.head(1), worst, found.rows.tail(1)])
    places: dict[tuple[str, int], datetime | None] = {}
    columns = ("since_source", "since_number", "since", "source", "number", "time")
    for other, earlier, since, source, number, time in chosen.select(columns).iter_rows():
        if earlier is not None:
            places[(other, earlier)] = since
        places[(source, number)] = time
    for source, number, time in found.probes.select("source", "number", "time").tail(2).iter_rows():
        places[(source, number)] = time
    shown = found.rows.sort("throttled_periods", "source", "number", descending=[True, False, False]).head(MOST_ROWS)
    rows = shown.sort("time", "source", "number").select(
        pl.col("since").dt.strftime("%H:%M:%S"),
        pl.col("time").dt.strftime("%H:%M:%S"),
        "periods",
        "throttled_periods",
        pl.col("throttled_seconds").round(3),
    )
    names = (Column(name="from"), Column(name="to"), Column(name="periods"), Column(name="throttled periods"))
    table = EvidenceTable(
        caption="Between snapshots", columns=(*names, Column(name="held back", unit="seconds")), rows=tuple(rows.rows())
    )
    told = tuple(Record(source=s, number=n, time=t) for (s, n), t in sorted(places.items(), key=lambda one: one[0]))
    return Evidence(records=told, tables=(table,), series=_shares(found))


def _shares(found: Throttled) -> tuple[EvidenceSeries, ...]:
    """The share of throttled periods of each minute, where snapshots have times."""
    rows = found.rows.filter(pl.col("time").is_not_null(), pl.col("since").is_not_null())
    if rows.height < 2:
        return ()
    start: datetime = rows["since"][0]
    seconds = max(1, round((rows["time"] - rows["since"]).dt.total_seconds().median() or 1))  # type: ignore[arg-type]
    spread = max(1, int((rows["time"][-1] - start) / timedelta(seconds=1)))
    step = max(seconds, -(-spread // MOST_STEPS))
    at = ((pl.col("time") - start).dt.total_seconds() - 1).clip(0) // step
    sums = rows.group_by(at.alias("at")).agg(share=pl.col("throttled_periods").sum() / pl.col("periods").sum().clip(1))
    values = dict(sums.select("at", "share").iter_rows())
    bins = -(-spread // step)
    told = tuple(round(float(values.get(i, 0.0)), 3) for i in range(bins))
    return (EvidenceSeries(caption="Throttled", unit="share of periods", start=start, step_seconds=step, values=told),)


def evidence_of_stalls(found: Stalls, period: float) -> Evidence:
    """Held-up requests spread over the time, and how their answers lie within the period."""
    place = found.rows.select("time", "source", "number")
    answered = found.rows.select(time="answered", source="source", number="answer_number")
    told = (*records(place, count=6), *records(answered, count=6))
    ordered = {(one.source, one.number): one for one in told}
    micros = round(period * 1e6)
    phase = (pl.col("answered").dt.epoch("us") % micros) * 10 // micros
    times = (pl.col("duration_seconds") / period).floor().cast(pl.Int64)
    long = found.rows.group_by(times.alias("at")).len().sort("at").head(BARS)
    beats = found.rows.group_by(phase.alias("at")).len().sort("at")
    tables = (
        EvidenceTable(
            caption="Held-up answers by the tenth of the period in which they left",
            columns=(Column(name="tenth of the period"), Column(name="answers")),
            rows=tuple(beats.rows()),
        ),
        EvidenceTable(
            caption="Held-up answers by whole periods that they took",
            columns=(Column(name="periods"), Column(name="answers")),
            rows=tuple(long.rows()),
        ),
    )
    return Evidence(records=tuple(ordered[key] for key in sorted(ordered)), tables=tables)
