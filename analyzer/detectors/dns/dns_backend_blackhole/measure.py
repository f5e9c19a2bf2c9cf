"""Lookups that no try was answered, in windows, and whether it depends on the port that they came from."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
from msgspec import Struct

from analyzer.detectors.dns.dns_backend_blackhole.ports import Ports
from analyzer.facts.audit_windows import BIN_SECONDS, QUIET_BINS
from analyzer.facts.neighbours import begins, hashed, side_by_side
from analyzer.frames import NO_REPLY

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


class Hole(Struct, frozen=True):
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
        # Most queries are answered at once: only those that somebody waited for in vain are looked at more closely.
        vain = own.filter(pl.col("rcode") == NO_REPLY).select(QUERY).unique()
        if vain.height < least:
            continue
        # Whole numbers first: few queries have them in common, and text is slow to join.
        near = own.filter(pl.col(name).is_in(vain[name].implode()) for name in ("client_port", "dns_id"))
        asked = near.join(vain, on=QUERY, how="semi", maintain_order="left")
        # A socket may come to the same id again, long after.
        began = asked.with_columns(ask=(~pl.col("retry")).cum_sum().over(QUERY))
        tries = began.with_columns(
            told=pl.col("answered").is_not_null().any().over(*QUERY, "ask"),
            given_up=(pl.col("rcode") == NO_REPLY).any().over(*QUERY, "ask"),
        )
        lost = tries.filter(~pl.col("told"), pl.col("given_up"))
        failed = _lookups(lost)
        window = (pl.col("first") - pl.col("last").cum_max().shift(1) >= APART).fill_null(False).cum_sum()
        parts = failed.with_columns(window=window).partition_by("window", include_key=False)
        found += [_hole(str(own["server"][0]), part, lost, own) for part in parts if part.height >= least]
    return sorted(found, key=lambda hole: (hole.start, hole.server))


def _lookups(queries: pl.DataFrame) -> pl.DataFrame:
    """A row per lookup, in the order of time: a socket's A and AAAA of a name that begin together are one."""
    asks = queries.group_by(*QUERY, "ask").agg(
        pl.col("time").min().alias("first"),
        pl.col("time").max().alias("last"),
        (pl.col("retry").any().cast(pl.Int64) + 1).alias("tries"),
        pl.len().alias("queries"),
    )
    later = pl.col("first") - pl.col("first").shift(1) > TOGETHER
    numbered = asks.sort(*SOCKET, "name", "first").with_columns(
        lookup=later.fill_null(True).cum_sum().over(*SOCKET, "name")
    )
    return (
        numbered.group_by(*SOCKET, "name", "lookup")
        .agg(pl.col("first").min(), pl.col("last").max(), pl.col("tries").max(), pl.col("queries").sum())
        .sort("first", *SOCKET, "name")
        .drop("lookup")
    )


def _hole(server: str, failed: pl.DataFrame, lost: pl.DataFrame, own: pl.DataFrame) -> Hole:
    start: datetime = failed["first"].min()  # type: ignore[assignment]
    end: datetime = failed["last"].max()  # type: ignore[assignment]
    inside = pl.col("time").is_between(start, end)
    used = own.filter(pl.col("time") < start, pl.col("time") >= start - KEPT).select(SOCKET).unique()
    meanwhile = own.filter(inside, pl.col("answered").is_not_null()).select(*SOCKET, "name", "time")
    reused, fresh = _counted(meanwhile, used)
    reused_failed = failed.join(used, on=SOCKET, how="semi").height
    ports = Ports(reused_failed, reused, failed.height - reused_failed, fresh)
    last: datetime = own["time"].max()  # type: ignore[assignment]
    return Hole(server, start, end, failed, lost.filter(inside), ports, last - end < timedelta(seconds=30))


def _counted(answered: pl.DataFrame, used: pl.DataFrame) -> tuple[int, int]:
    """How many lookups these answered queries are, which come in the order of time: from `used` sockets, and others."""
    known = used.drop_nulls().select(hashed(SOCKET)).to_series().implode()
    keys = answered.select("time", lookup=hashed([*SOCKET, "name"]), again=hashed(SOCKET).is_in(known))
    key = keys["lookup"].to_numpy()
    order = side_by_side(key)
    time = keys["time"].to_physical().to_numpy()[order]
    later = np.diff(time, prepend=0) > TOGETHER // timedelta(microseconds=1)
    first, again = begins(key[order]) | later, keys["again"].to_numpy()[order]
    return int((first & again).sum()), int((first & ~again).sum())
