"""Figures, records and tables of an endpoint that turned."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from analyzer.detectors.network.egress_identity_change.around import Around
from analyzer.detectors.network.egress_identity_change.flips import Flip
from analyzer.facts.audit_windows import records, short
from analyzer.facts.connection_attempts import ALERT, REFUSED, RESET, SILENT
from analyzer.facts.time_steps import per_step
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure, Record

ROWS = 10

OUTCOMES = {
    SILENT: "attempts without answer",
    REFUSED: "attempts refused",
    RESET: "attempts reset after the handshake",
    ALERT: "attempts ended by a TLS alert",
}


def impact(flip: Flip, seen: Around) -> tuple[Figure, ...]:
    failed = flip.failed
    counts = dict(failed["outcome"].value_counts().iter_rows())
    figures: list[tuple[str, int | float, str]] = [
        ("failed attempts", failed.height, "attempts"),
        *((name, counts[outcome], "attempts") for outcome, name in OUTCOMES.items() if outcome in counts),
        ("SYN packets", int(failed["syns"].sum()), "SYN packets"),
        ("successes before", flip.successes, "attempts"),
        ("clients", failed["client"].n_unique(), "clients"),
        ("clients that were answered before", flip.turned, "clients"),
        ("attempts answered meanwhile", flip.during.height - failed.height, "attempts"),
        ("seconds from first to last failed attempt", round((flip.end - flip.start).total_seconds(), 6), "seconds"),
        ("seconds waited", round(float(failed["waited_seconds"].sum()), 6), "seconds"),
        ("attempts to other endpoints outside meanwhile", seen.others.height, "attempts"),
        ("of them failed", int(seen.others["failed"].sum()), "attempts"),
        ("older connections that it still served", seen.older, "connections"),
    ]
    if seen.errors.height:
        figures.append(("ICMP errors about it", int(seen.errors["len"].sum()), "messages"))
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures)


def evidence(flip: Flip, seen: Around) -> Evidence:
    """The last answered attempt, failed ones, ICMP errors, the nearest change; clients, other endpoints, changes."""
    place = ["time", "source", "number"]
    good = flip.before.filter(~pl.col("failed")).tail(1).select(place)
    quoted = (*records(good), *records(flip.failed.select(place), count=16), *records(seen.error_places, count=3))
    changes = [
        Record(source=row["source"], number=row["number"], time=row["time"])
        for row in seen.changes.head(2).iter_rows(named=True)
    ]
    tables = [_clients(flip), *_others(seen), *_errors(seen), *_changes(flip, seen)]
    return Evidence(records=(*quoted, *changes), tables=tuple(tables), series=_series(flip))


def _series(flip: Flip) -> tuple[EvidenceSeries, ...]:
    """Attempts that failed and that were answered, from the first one on."""
    rows = pl.concat([flip.before, flip.during])
    start: datetime = rows["time"].item(0)
    found = []
    for what, mine in (("failed", pl.col("failed")), ("were answered", ~pl.col("failed"))):
        step, values = per_step(rows.filter(mine)["time"], start, flip.end)
        caption = f"Attempts to {flip.endpoint} that {what}"
        found.append(EvidenceSeries(caption=caption, unit="attempts", start=start, step_seconds=step, values=values))
    return tuple(found)


def _clients(flip: Flip) -> EvidenceTable:
    parts = (flip.before, False), (flip.during, True)
    both = pl.concat([part.with_columns(late=pl.lit(late)) for part, late in parts])
    ok, late = ~pl.col("failed"), pl.col("late")
    sums = both.group_by("client").agg(
        (ok & ~late).sum().alias("before"), (~ok & late).sum().alias("lost"), (ok & late).sum().alias("kept")
    )
    return EvidenceTable(
        caption=f"Clients of {flip.endpoint}",
        columns=(
            Column(name="client"),
            *(Column(name=name, unit="attempts") for name in ("answered before", "failed", "answered meanwhile")),
        ),
        rows=tuple(sums.sort("lost", "client", descending=[True, False]).head(ROWS).rows()),
    )


def _others(seen: Around) -> tuple[EvidenceTable, ...]:
    if seen.others.is_empty():
        return ()
    sums = seen.others.group_by("server", "server_port").agg(pl.len(), pl.col("failed").sum())
    rows = sums.sort("len", "server", "server_port", descending=[True, False, False]).head(ROWS).rows()
    return (
        EvidenceTable(
            caption="Other endpoints outside meanwhile",
            columns=(
                *(Column(name="server"), Column(name="port")),
                *(Column(name="attempts", unit="attempts"), Column(name="failed", unit="attempts")),
            ),
            rows=tuple(rows),
        ),
    )


def _errors(seen: Around) -> tuple[EvidenceTable, ...]:
    if seen.errors.is_empty():
        return ()
    columns = (Column(name="error"), Column(name="sent by"), Column(name="messages", unit="messages"))
    return (EvidenceTable(caption="ICMP errors", columns=columns, rows=tuple(seen.errors.head(ROWS).rows())),)


def _changes(flip: Flip, seen: Around) -> tuple[EvidenceTable, ...]:
    if seen.changes.is_empty():
        return ()
    rows = []
    for row in seen.changes.iter_rows(named=True):
        lag = round((flip.start - row["time"]).total_seconds(), 3)
        name = "/".join(part for part in (row["resource"], row["namespace"], row["name"]) if part)
        rows.append((lag, short(row["actor"]), row["what"] or row["verb"], short(name)))
    columns = (Column(name="before", unit="seconds"), *(Column(name=name) for name in ("actor", "change", "object")))
    return (EvidenceTable(caption="Changes that preceded it", columns=columns, rows=tuple(rows)),)
