"""Whether more is lost to the outside than within, and whether several peers share the loss."""

from __future__ import annotations

import polars as pl
from msgspec import Struct

from analyzer.detectors.network.snat_retransmission.captures import network
from analyzer.detectors.network.snat_retransmission.measure import Count, Traffic, count, exceeds
from analyzer.detectors.network.snat_retransmission.sides import Sides
from analyzer.facts.proportions import wilson

NEAR_SECONDS = 1
"""SYNs of two pods to one server so close to each other may be given the same port [an engineering default]."""


class Limits(Struct, frozen=True):
    segments: int
    syns: int
    share: float
    ratio: float
    peers: int


class Clashes(Struct, frozen=True):
    """Attempts to the outside by whether another pod's SYN went to the same server and port within a second."""

    beside: int
    beside_retried: int
    alone: int
    alone_retried: int
    same_port: int
    same_port_retried: int
    """Of those beside another: both came from the same source port, so that translation has to choose another."""

    @property
    def told(self) -> bool:
        """SYNs are surely lost more often beside another."""
        return wilson(self.beside_retried, self.beside)[0] > wilson(self.alone_retried, self.alone)[1]

    @property
    def one_port(self) -> bool:
        """Most of those that were lost came from the same port as the other: translation had to choose another."""
        return 2 * self.same_port_retried > self.beside_retried


class Verdict(Struct, frozen=True, kw_only=True):
    outside: Count
    inside: Count
    segments: bool
    """The share of all segments exceeds; `syns`: that of attempts to connect."""
    syns: bool
    peers: pl.DataFrame
    """A row per server: segments, again, attempts, retried, failed and its `network`, the worst first."""
    shared: bool
    """The loss remains without the worst server, and so many servers have it."""
    networks: bool
    """It remains without the worst network too."""
    clashes: Clashes
    sides: Sides

    @property
    def clash(self) -> bool:
        """SYNs are lost beside another pod's, and no capture behind the node shows that they left it."""
        return self.clashes.told and not self.sides.behind

    @property
    def fires(self) -> bool:
        return (self.segments or self.syns) and self.shared


def judge(traffic: Traffic, limits: Limits) -> Verdict:
    outside, inside = count(traffic.outside), count(traffic.inside)
    peers = by_peer(traffic)
    enough = min(outside.segments, inside.segments) >= limits.segments
    many = min(outside.syns, inside.syns) >= limits.syns
    by_kind = {syn: enough and (many or not syn) and _more(outside, inside, limits, syn=syn) for syn in (False, True)}
    # What stays of each kind of loss without one peer, and without one network.
    kept = {True: [False, False], False: [False, False]}
    for syn, found in by_kind.items():
        if found:
            kept[syn] = [_without_worst(peers, key, inside, limits, syn=syn) for key in ("server", "network")]
    return Verdict(
        outside=outside,
        inside=inside,
        segments=by_kind[False],
        syns=by_kind[True],
        peers=peers,
        shared=any(kept[syn][0] for syn in by_kind),
        networks=any(all(kept[syn]) for syn in by_kind),
        clashes=clashes(traffic.outside),
        sides=traffic.sides,
    )


def _more(outside: Count, inside: Count, limits: Limits, *, syn: bool) -> bool:
    return exceeds(outside.pair(syn=syn), inside.pair(syn=syn), limits.share, limits.ratio)


def by_peer(traffic: Traffic) -> pl.DataFrame:
    return (
        traffic.outside.group_by("server")
        .agg(
            *(pl.col(name).sum() for name in ("segments", "again", "attempt", "retried", "failed")),
            pl.col("source").first(),
        )
        .with_columns(network=network(pl.col("server")))
        .sort(["again", "retried", "server"], descending=[True, True, False])
    )


def _without_worst(peers: pl.DataFrame, key: str, inside: Count, limits: Limits, *, syn: bool) -> bool:
    """Whether the rest still loses so much more than what stays within, and enough of them do."""
    bad = "retried" if syn else "again"
    ranked = peers.group_by(key).agg(pl.col(bad).sum()).sort([bad, key], descending=[True, False])
    affected = peers.filter(pl.col(bad) > 0)["server"].n_unique()
    if affected < limits.peers or ranked.height < 2:
        return False
    rest = count(peers.filter(pl.col(key) != ranked[key][0]))
    return _more(rest, inside, limits, syn=syn)


def clashes(outside: pl.DataFrame) -> Clashes:
    order = ["source", "server", "server_port", "time", "connection"]
    rows = outside.filter("attempt", pl.col("time").is_not_null()).sort(order)
    near, same = [], []
    for step in (-1, 1):
        other = pl.all_horizontal(pl.col(name) == pl.col(name).shift(step) for name in order[:3])
        other &= pl.col("client") != pl.col("client").shift(step)
        soon = (pl.col("time") - pl.col("time").shift(step)).abs() <= pl.duration(seconds=NEAR_SECONDS)
        near.append((other & soon).fill_null(False))
        same.append((other & soon & (pl.col("client_port") == pl.col("client_port").shift(step))).fill_null(False))
    told = rows.select("retried", beside=pl.any_horizontal(near), same_port=pl.any_horizontal(same))
    beside, both = told.filter("beside"), told.filter("same_port")
    retried = int(told["retried"].sum())
    beside_retried = int(beside["retried"].sum())
    return Clashes(
        beside=beside.height,
        beside_retried=beside_retried,
        alone=told.height - beside.height,
        alone_retried=retried - beside_retried,
        same_port=both.height,
        same_port_retried=int(both["retried"].sum()),
    )
