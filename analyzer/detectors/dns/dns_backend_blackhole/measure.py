"""Lookups that no try was answered, in windows, and whether it depends on the port that they came from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyzer.detectors.dns.dns_backend_blackhole.ports import Ports
from analyzer.facts.audit_windows import BIN_SECONDS, QUIET_BINS
from analyzer.facts.neighbours import begins, hashed, side_by_side
from analyzer.frames import NO_REPLY, TIME

APART = timedelta(seconds=BIN_SECONDS * QUIET_BINS)
"""Windows of one server with less between them are one."""

KEPT = timedelta(seconds=300)
"""How long IPVS keeps an entry of a UDP socket that has fallen silent, the longest of its kind (ipvsadm, --set)."""

TOGETHER = timedelta(seconds=1)
"""A socket's two queries for one name that begin so close to each other are one lookup [an engineering default]."""

WAIT = 5.0
"""Seconds that a resolver waits for an answer (RES_TIMEOUT of glibc's resolv.h)."""

SOCKET = ["client", "client_port"]
QUERY = [*SOCKET, "dns_id", "name", "qtype"]


I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Hole:
    """One server's window. `failed` has a row per lookup (client, client_port, name): first, last, queries and
    tries (2: asked again). No try of it was answered, and one of them waited in vain for 5 s.

    `lost` are the queries themselves, in the order of time; `cut`: the capture ends before the last could be answered.
    """

    server: str
    start: datetime
    end: datetime
    failed: pl.DataFrame
    lost: pl.DataFrame
    ports: Ports
    cut: bool

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()

    @property
    def waited(self) -> float:
        """Seconds that the lookups waited: up to the last try, and for its answer."""
        spent = (self.failed["last"] - self.failed["first"]).dt.total_microseconds().sum()
        return float(spent) / 1e6 + WAIT * self.failed.height

    @property
    def again(self) -> int:
        """Lookups that were asked again: who does so has got no answer, whatever the capture saw."""
        return self.failed.filter(pl.col("tries") > 1).height

    @property
    def total(self) -> bool:
        """Nothing at all was answered meanwhile."""
        return not self.ports.reused_answered and not self.ports.fresh_answered


def holes(queries: pl.DataFrame, least: int) -> list[Hole]:
    """Every server's windows with so many failed lookups, in order of time.

    `queries` are those of captures (time, source, number, client, client_port, server, dns_id, name, qtype, rcode,
    answered, retry), counted once each, sorted by time.
    """
    found = []
    for (server,), own in queries.partition_by("server", as_dict=True).items():
        asks = _asks(own)
        gone = ~asks.told & asks.given_up
        failed = _failed(own, asks, gone)
        window = (pl.col("first") - pl.col("last").cum_max().shift(1) >= APART).fill_null(False).cum_sum()
        parts = failed.with_columns(window=window).partition_by("window", include_key=False)
        if parts := [part for part in parts if part.height >= least]:
            lost = own.filter(pl.Series(gone[asks.of]))
            answered = _lookups(own, asks, asks.told)
            found += [_hole(str(server), part, answered.row, lost, own) for part in parts]
    return sorted(found, key=lambda hole: (hole.start, hole.server))


@dataclass(frozen=True, slots=True)
class _Asks:
    """Queries with their tries again, in the order of their first ones.

    `of` is the ask of each query, `row` the first query of each ask, `last` when its last was sent.
    """

    of: I64
    row: I64
    last: I64
    told: Flags
    given_up: Flags
    tries: I64
    queries: I64


def _asks(queries: pl.DataFrame) -> _Asks:
    columns = queries.select(
        pl.col("time").to_physical(),
        "retry",
        key=hashed(QUERY),
        told=pl.col("answered").is_not_null(),
        given_up=(pl.col("rcode") == NO_REPLY).fill_null(False),
    )
    time, retry, key, told, given_up = (columns[name].to_numpy() for name in columns.columns)
    order = side_by_side(key)
    # A socket may come to the same id again, long after.
    new = begins(key[order]) | ~retry[order]
    first = np.flatnonzero(new)
    # From the order of keys to that of time.
    turn = np.argsort(order[first], kind="stable")
    of = np.empty(len(order), np.int64)
    of[order] = np.argsort(turn)[np.cumsum(new) - 1]

    def each(values: Flags, reduce: np.ufunc) -> NDArray[Any]:
        whole: NDArray[Any] = reduce.reduceat(values[order], first)[turn]
        return whole

    count = np.diff(np.append(first, len(order)))[turn]
    last = time[order][np.append(first[1:], len(order)) - 1][turn]
    return _Asks(
        of=of,
        row=order[first][turn],
        last=last,
        told=each(told, np.logical_or),
        given_up=each(given_up, np.logical_or),
        tries=each(retry, np.logical_or) + np.int64(1),
        queries=count,
    )


@dataclass(frozen=True, slots=True)
class _Lookups:
    """The first query of each lookup, when its last was sent, 2 where it was asked again, and its queries."""

    row: I64
    last: I64
    tries: I64
    queries: I64


def _lookups(queries: pl.DataFrame, asks: _Asks, which: Flags) -> _Lookups:
    """These asks by lookup: a socket's A and AAAA of a name that begin together are one."""
    rows = asks.row[which]
    key = queries.select(hashed([*SOCKET, "name"])).to_series().to_numpy()[rows]
    order = side_by_side(key)
    time = queries["time"].to_physical().to_numpy()[rows][order]
    later = np.diff(time, prepend=0) > TOGETHER // timedelta(microseconds=1)
    first = np.flatnonzero(begins(key[order]) | later)
    if not len(first):
        return _Lookups(rows, rows, rows, rows)
    last, tries, count = (values[which][order] for values in (asks.last, asks.tries, asks.queries))
    return _Lookups(
        row=rows[order[first]],
        last=np.maximum.reduceat(last, first),
        tries=np.maximum.reduceat(tries, first),
        queries=np.add.reduceat(count, first),
    )


def _failed(queries: pl.DataFrame, asks: _Asks, gone: Flags) -> pl.DataFrame:
    """A row per lookup of these asks, in the order of time."""
    found = _lookups(queries, asks, gone)
    last, tries, counts = (pl.Series(values) for values in (found.last, found.tries, found.queries))
    return (
        queries.select(*SOCKET, "name", first="time")[found.row]
        .with_columns(last=last.cast(TIME), tries=tries, queries=counts)
        .sort("first", *SOCKET, "name")
    )


def _hole(server: str, failed: pl.DataFrame, answered: I64, lost: pl.DataFrame, own: pl.DataFrame) -> Hole:
    """`answered`: the first query of each lookup that was."""
    start: datetime = failed["first"].min()  # type: ignore[assignment]
    end: datetime = failed["last"].max()  # type: ignore[assignment]
    used = own.filter(pl.col("time") < start, pl.col("time") >= start - KEPT).select(SOCKET).unique()
    inside = pl.col("time").is_between(start, end)
    during = np.zeros(own.height, bool)
    during[answered] = True
    meanwhile = own.filter(pl.Series(during), inside)
    reused_failed, reused_answered = (one.join(used, on=SOCKET, how="semi").height for one in (failed, meanwhile))
    ports = Ports(reused_failed, reused_answered, failed.height - reused_failed, meanwhile.height - reused_answered)
    last: datetime = own["time"].max()  # type: ignore[assignment]
    return Hole(server, start, end, failed, lost.filter(inside), ports, last - end < timedelta(seconds=30))
