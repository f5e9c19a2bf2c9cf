"""Lookups whose A and AAAA queries left together and of which only one was answered, and what the resolver did then."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.detectors.dns.dns_client_timeout.halves import KEY, asked_again, lost_halves, pairs_of
from analyzer.facts.neighbours import hashed
from analyzer.frames import NO_REPLY


class Losses(Struct, frozen=True):
    """What one client lost. `pairs` has a row per lookup of which exactly one half was answered:

    time, source, number, first (when the lookup began), name, qtype (the lost one), client_port, dns_id, resolver,
    again and again_number (when and in which frame it asked again), answered (when that was answered).
    """

    client: str
    pairs: pl.DataFrame
    lookups: int
    paired: int
    both_lost: int
    alone: int
    alone_lost: int
    rtt: float

    @property
    def share(self) -> float:
        return self.pairs.height / self.lookups

    @property
    def start(self) -> datetime:
        moment: datetime = self.pairs["first"].min()  # type: ignore[assignment]
        return moment

    @property
    def end(self) -> datetime:
        moment: datetime = self.pairs["answered"].max()  # type: ignore[assignment]
        return moment

    @property
    def added(self) -> float:
        """Seconds from the first query of each lookup to the answer that it was waiting for."""
        waited = (self.pairs["answered"] - self.pairs["first"]).dt.total_microseconds().sum()
        return float(waited) / 1e6


def losses(queries: pl.DataFrame) -> list[Losses]:
    """One entry per client that lost a half, in the order of clients.

    `queries` are those of captures (time, source, number, client, client_port, server, dns_id, name, qtype, rcode,
    answered, retry), counted once each, sorted by time.
    """
    halves = asked_again(lost_halves(pairs_of(_beside_lost(queries))), queries)
    clients = sorted(halves["client"].unique().to_list())
    # All that follows is told of each client by itself.
    queries = queries.filter(pl.col("client").is_in(clients))
    socket = hashed(["source", "client", "client_port", "dns_id", "name", "qtype"])
    queries = queries.with_columns(asked_before=~socket.is_first_distinct())
    pairs = pairs_of(queries.filter(~pl.col("retry")))
    paired = pl.concat([pairs["row"], pairs["row_other"]])
    lost = pl.col("rcode") == NO_REPLY
    alone = queries.filter(~pl.col("row").is_in(paired.implode()))
    found = []
    for client in clients:
        mine = pl.col("client") == client
        own, lost_here, rest = pairs.filter(mine), halves.filter(mine), alone.filter(mine)
        # glibc asks the answered half again too, with the same id; Go asks the lost one with another.
        fresh_alone = rest.filter(~pl.col("retry"), ~pl.col("asked_before")).filter(
            ~pl.col("row").is_in(lost_here["again_row"].implode())
        )
        both = own.filter(lost, pl.col("rcode_other") == NO_REPLY).height
        took = queries.filter(mine).select((pl.col("answered") - pl.col("time")).median()).item()
        found.append(
            Losses(
                client=client,
                pairs=lost_here.sort("time", "source", "number"),
                lookups=own.height + fresh_alone.height,
                paired=own.height,
                both_lost=both,
                alone=rest.height,
                alone_lost=rest.filter(lost).height,
                rtt=took.total_seconds() if took is not None else 0.0,
            )
        )
    return found


def _beside_lost(queries: pl.DataFrame) -> pl.DataFrame:
    """The first tries that may be in a pair with a lost half: of a client and name of which one was lost. They are few,
    and pairing them all takes most of the time."""
    key = hashed(KEY)
    lost = queries.filter(~pl.col("retry"), pl.col("rcode") == NO_REPLY)
    near = queries.filter(~pl.col("retry"), pl.col("name").is_in(lost["name"].unique().implode()))
    return near.filter(key.is_in(lost.select(key).to_series().implode()))
