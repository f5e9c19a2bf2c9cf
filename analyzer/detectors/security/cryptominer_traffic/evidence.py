"""Figures, tables and records of mining. Accounts come masked from the reader; passwords never come."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.detectors.security.cryptominer_traffic.operations import Operation, open_seconds
from analyzer.detectors.security.cryptominer_traffic.signs import SHARES
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure, Record

ROWS = 10
STEPS_MOST = 1440
"""Minutes that the chart shows at most: a day."""


def impact(one: Operation) -> tuple[Figure, ...]:
    figures: list[tuple[str, int | float, str]] = [
        ("connections", one.connections.height, "connections"),
        ("pods", one.pods, "pods"),
        ("shares submitted", one.shares, "shares"),
        ("seconds connected", round(one.seconds, 6), "seconds"),
        ("bytes exchanged", int(one.connections["bytes"].sum()), "bytes"),
        ("messages of miners", one.asks, "messages"),
        ("messages of pools", one.tells, "messages"),
        ("queries for names of pools", one.asked, "queries"),
    ]
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures)


def evidence(one: Operation, ways: pl.DataFrame) -> Evidence:
    """A login, its answer, the first and the last share, a name that was asked for, a hello, the way in."""
    asks, tells = one.spoken.filter("asks"), one.spoken.filter(~pl.col("asks"))
    shares = asks.filter(pl.col("method").is_in(SHARES))
    chosen = [asks.head(2), tells.head(2), shares.head(1), shares.tail(1), one.names.head(1), one.hellos.head(1)]
    if not one.spoken.height:
        chosen += [one.names.tail(1), one.connections.head(2)]
    chosen.append(ways.head(3))
    every = pl.concat([frame.select("source", "number", "time") for frame in chosen])
    every = every.unique(["source", "number"], keep="first", maintain_order=True).sort("source", "number")
    tables = [_miners(one), *([_names(one)] if one.asked else []), *([_ways(ways)] if ways.height else [])]
    records = tuple(Record(source=s, number=n, time=t) for s, n, t in every.iter_rows())
    return Evidence(records=records, tables=tuple(tables), series=_series(one))


def _miners(one: Operation) -> EvidenceTable:
    rows = []
    for client in one.clients[:ROWS]:
        mine = pl.col("client") == client
        said, held = one.spoken.filter(mine), one.connections.filter(mine)
        asks = said.filter("asks")
        ends = pl.concat([frame.select("server", "server_port") for frame in (said, held)]).unique().sort(pl.all())
        where = ", ".join(f"{server} port {port}" for server, port in ends.head(3).iter_rows())
        rows.append(
            (
                *(client, where or None, held.height, round(open_seconds(held), 3)),
                *(asks.filter(pl.col("method").is_in(SHARES)).height, _texts(asks["account"]), _texts(asks["agent"])),
                _texts(said["algorithm"]),
            )
        )
    caption = "Miners" + (f", the first {ROWS} of {one.pods}" if one.pods > ROWS else "")
    columns = (
        *(Column(name="client"), Column(name="pool"), Column(name="connections", unit="connections")),
        *(Column(name="connected", unit="seconds"), Column(name="shares", unit="shares"), Column(name="account")),
        *(Column(name="program"), Column(name="algorithms")),
    )
    return EvidenceTable(caption=caption, columns=columns, rows=tuple(rows))


def _texts(values: pl.Series) -> str | None:
    """Distinct texts, at most two."""
    found = values.drop_nulls().unique(maintain_order=True).to_list()
    return ", ".join(str(one)[:60] for one in found[:2]) or None


def _names(one: Operation) -> EvidenceTable:
    told = one.names.group_by("name").agg(
        pl.len(), pl.col("client").n_unique(), pl.col("rcode").drop_nulls().unique().sort().str.join(", ")
    )
    told = told.sort("len", "name", descending=[True, False]).head(ROWS)
    return EvidenceTable(
        caption="Names of pools that were asked for",
        columns=(
            *(Column(name="name"), Column(name="queries", unit="queries"), Column(name="clients", unit="clients")),
            Column(name="answers"),
        ),
        rows=tuple(told.rows()),
    )


def _ways(ways: pl.DataFrame) -> EvidenceTable:
    rows = ways.select(pl.col("time").dt.strftime("%Y-%m-%d %H:%M:%S UTC"), "pod", "did", "user", "source_ip", "agent")
    names = ("time", "pod", "did", "user", "from", "agent")
    return EvidenceTable(
        caption="Who made the pods, or ran commands in them",
        columns=tuple(Column(name=name) for name in names),
        rows=tuple(rows.rows()),
    )


def _series(one: Operation) -> tuple[EvidenceSeries, ...]:
    """Messages of miners and pools in each minute."""
    times = one.spoken["time"].drop_nulls()
    if times.len() < 2:
        return ()
    minutes = times.dt.truncate("1m").value_counts(sort=False).rows()
    start = min(at for at, _ in minutes)
    places = {int((at - start) / timedelta(minutes=1)): count for at, count in minutes}
    last = min(max(places), STEPS_MOST - 1)
    if last < 2:
        return ()
    values = tuple(float(places.get(place, 0)) for place in range(last + 1))
    return (
        EvidenceSeries(
            caption="Messages between miners and pools", unit="messages", start=start, step_seconds=60, values=values
        ),
    )
