"""Lookups that no try was answered, in windows, and whether it depends on the port that they came from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from analyzer.detectors.dns.dns_backend_blackhole.lookups import I64, SOCKET, asks_of, failed_lookups, lookups
from analyzer.detectors.dns.dns_backend_blackhole.ports import Ports
from analyzer.facts.audit_windows import BIN_SECONDS, QUIET_BINS

APART = timedelta(seconds=BIN_SECONDS * QUIET_BINS)
"""Windows of one server with less between them are one."""

KEPT = timedelta(seconds=300)
"""How long IPVS keeps an entry of a UDP socket that has fallen silent, the longest of its kind (ipvsadm, --set)."""

WAIT = 5.0
"""Seconds that a resolver waits for an answer (RES_TIMEOUT of glibc's resolv.h)."""


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
    # One server is the usual case: nothing is copied then.
    parted = queries["server"].n_unique() > 1
    for own in queries.partition_by("server") if parted else [queries] if queries.height else []:
        server = str(own["server"][0])
        asks = asks_of(own)
        gone = ~asks.told & asks.given_up
        failed = failed_lookups(own, asks, gone)
        window = (pl.col("first") - pl.col("last").cum_max().shift(1) >= APART).fill_null(False).cum_sum()
        parts = failed.with_columns(window=window).partition_by("window", include_key=False)
        if parts := [part for part in parts if part.height >= least]:
            lost = own.filter(pl.Series(gone[asks.of]))
            answered = lookups(own, asks, asks.told)
            found += [_hole(server, part, answered.row, lost, own) for part in parts]
    return sorted(found, key=lambda hole: (hole.start, hole.server))


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
