"""Figures, tables and records of what is open to strangers."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.security.exposed_admin_service.catalogue import CONSOLE_EXEC, KUBELET_EXEC
from analyzer.detectors.security.exposed_admin_service.exposed import COMMANDS, Exposed
from analyzer.model import Column, Evidence, EvidenceTable, Figure, Record

ROWS = 10


def impact(one: Exposed) -> tuple[Figure, ...]:
    figures: list[tuple[str, int | float, str]] = [
        ("anonymous requests allowed", one.allowed, "requests"),
        ("exec calls among them", one.execs, "requests"),
    ]
    if one.variant in ("service", "connections"):
        figures.append(("connections from public addresses", one.connections.height, "connections"))
        figures.append(("public addresses", one.strangers, "addresses"))
    if one.account.height:
        figures.append(("commands run by its account", one.account.height, "requests"))
    if one.since is not None and one.until is not None:
        figures.append(("seconds open", round((one.until - one.since).total_seconds(), 6), "seconds"))
    if one.port is not None:  # not the first: by that two results are compared
        figures.append(("port", one.port, "port"))
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures)


def evidence(one: Exposed) -> Evidence:
    """What opened it, who came first and last, commands in containers."""
    ran = one.http.filter(pl.col("path").str.contains(CONSOLE_EXEC))
    commands = one.anonymous.filter("done", pl.col("subresource").is_in(COMMANDS))
    chosen = [one.writes.head(3), one.connections.head(1), one.http.head(1), ran.head(2), one.http.tail(1)]
    chosen += [one.anonymous.head(2), commands.head(2), one.anonymous.tail(1), one.account.head(2)]
    every = pl.concat([frame.select("source", "number", "time") for frame in chosen])
    every = every.unique(["source", "number"], keep="first", maintain_order=True).sort("source", "number")
    records = tuple(Record(source=s, number=n, time=t) for s, n, t in every.iter_rows())
    tables = (
        *(_strangers(one), _asked(one), _requests(one, one.anonymous), _requests(one, one.account)),
        _entered(one),
    )
    return Evidence(records=records, tables=tuple(table for table in tables if table is not None))


def _table(caption: str, names: tuple[str, ...], rows: pl.DataFrame) -> EvidenceTable | None:
    if not rows.height:
        return None
    more = f", the first {ROWS} of {rows.height}" if rows.height > ROWS else ""
    columns = tuple(Column(name=name) for name in names)
    return EvidenceTable(caption=caption + more, columns=columns, rows=tuple(rows.head(ROWS).rows()))


def _strangers(one: Exposed) -> EvidenceTable | None:
    rows = one.connections.group_by("client").agg(
        pl.len().alias("connections"), *(_clock(end).alias(name) for name, end in (("first", "min"), ("last", "max")))
    )
    rows = rows.sort("connections", "client", descending=[True, False])
    return _table("Public addresses that were answered", ("address", "connections", "first", "last"), rows)


def _asked(one: Exposed) -> EvidenceTable | None:
    rows = one.http.group_by("method", "path").agg(pl.len().alias("count"), pl.col("client").n_unique().alias("by"))
    rows = rows.sort("count", "path", "method", descending=[True, False, False])
    return _table("What they asked for", ("method", "path", "requests", "addresses"), rows)


def _requests(one: Exposed, requests: pl.DataFrame) -> EvidenceTable | None:
    if not requests.height:
        return None
    rows = requests.group_by("verb", "uri_class", "source_ip", "agent").agg(pl.len().alias("count"))
    rows = rows.select("verb", "uri_class", "source_ip", "agent", "count")
    rows = rows.sort(
        "count", "uri_class", "verb", "source_ip", "agent", descending=[True, *[False] * 4], nulls_last=True
    )
    who = "Allowed requests without a credential" if requests is one.anonymous else "Commands run by the account"
    return _table(who, ("verb", "request", "from", "agent", "requests"), rows)


def _entered(one: Exposed) -> EvidenceTable | None:
    """The pods in which commands were run: a miner that is found there later came this way."""
    of_api = pl.concat([one.anonymous, one.account], how="diagonal").filter(pl.col("subresource").is_in(COMMANDS))
    of_kubelet = one.http.with_columns(pl.col("path").str.extract_groups(KUBELET_EXEC)).unnest("path")
    parts = [
        frame.filter(pl.col("namespace").is_not_null(), pl.col("name").is_not_null()).select(
            "time", pod=pl.concat_str("namespace", pl.lit("/"), "name")
        )
        for frame in (of_api, of_kubelet)
        if "name" in frame.columns
    ]
    if not parts:
        return None
    rows = pl.concat(parts).group_by("pod").agg(pl.len(), _clock("min").alias("first"), _clock("max").alias("last"))
    columns = ("pod", "commands", "first", "last")
    return _table("Pods in which commands were run", columns, rows.sort("len", "pod", descending=[True, False]))


def _clock(end: str) -> pl.Expr:
    time = pl.col("time")
    return (time.min() if end == "min" else time.max()).dt.strftime("%Y-%m-%d %H:%M:%S UTC")
