"""Who looks like a miner and is none, and what is only worth a word."""

from __future__ import annotations

from typing import Protocol

import polars as pl

from analyzer.detectors.security.cryptominer_traffic.signs import ENDS, Signs
from analyzer.facts.beacons import BEACONS, COMMON, FEW_CLIENTS
from analyzer.facts.contract import Frames
from analyzer.facts.public_addresses import is_public
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.frames import TLS_CLIENT_HELLOS, empty

PORTS = (3333, 4444, 5555, 7777, 8888, 9999, 14433, 14444, 45560, 45700)
"""Ports at which pools like to listen; so do many others."""
TOLD = 3
"""Connections that one remark names."""


class Limits(Protocol):
    @property
    def list_names(self) -> int: ...
    @property
    def scanned_servers(self) -> int: ...
    @property
    def lasting_seconds(self) -> float: ...
    @property
    def slow_bytes(self) -> float: ...
    @property
    def beacon_score(self) -> float: ...


def remarks(found: Signs, frames: Frames, limits: Limits) -> tuple[frozenset[str], list[str]]:
    """Clients that only scan, and what is to be said of look-alikes."""
    connected = set(found.connections["client"]) | set(found.hellos["client"])
    told, scanners = [], set()
    heard = found.spoken.group_by("client", maintain_order=True).agg(
        servers=pl.col("server").n_unique(), tells=(~pl.col("asks")).sum(), first=pl.col("server").first()
    )
    outside = is_public(pl.col("client")) & ~is_public(pl.col("first"))
    silent = heard.filter(pl.col("tells") == 0, (pl.col("servers") >= limits.scanned_servers) | outside)
    for client, servers, _, first in silent.iter_rows():
        scanners.add(client)
        where = f"{servers} servers" if servers > 1 else first
        told.append(f"{client} greeted {where} like a miner and was answered by none: a scan, and no mining")
    spoke = set(heard["client"])
    names = found.asked.group_by("client", maintain_order=True).agg(names=pl.col("name").n_unique())
    for client, count in names.filter(pl.col("names") >= limits.list_names).iter_rows():
        if client not in connected | spoke:
            scanners.add(client)
            told.append(f"{client} asked for {count} names of mining pools and connected to none: it resolves a list")
    if found.left_out:
        told.append(f"{found.left_out} messages to pools that the settings name as one's own are left out")
    if weak := _weak(found, frames, limits):
        told.append(weak)
    return frozenset(scanners), told


def _weak(found: Signs, frames: Frames, limits: Limits) -> str:
    """Long, slow and regular connections to ports that pools like: worth a look, and no finding."""
    if TCP_CONNECTIONS not in frames or BEACONS not in frames:
        return ""
    peers = ["client", "server", "server_port"]
    seconds = (pl.col("end") - pl.col("time")).dt.total_microseconds() / 1e6
    slow = (
        frames[TCP_CONNECTIONS]
        .filter(~pl.col("covered"), pl.col("established"), pl.col("server_port").is_in(PORTS))
        .filter(is_public(pl.col("server")), ~is_public(pl.col("client")))
        .with_columns(seconds=seconds)
        .filter(
            pl.col("seconds") >= limits.lasting_seconds,
            pl.col("client_bytes") + pl.col("server_bytes") <= limits.slow_bytes * pl.col("seconds"),
        )
        .select(*ENDS, "seconds")
        .join(found.connections.lazy().select(peers).unique(), on=peers, how="anti")
        .collect()
    )
    if not slow.height:
        return ""
    steady = frames[BEACONS].filter(pl.col("kind") == "pushes", pl.col("score") >= limits.beacon_score)
    own = (pl.col("prevalence") < COMMON) | (pl.col("clients") / pl.col("prevalence") < FEW_CLIENTS)
    hellos = frames[TLS_CLIENT_HELLOS] if TLS_CLIENT_HELLOS in frames else empty(TLS_CLIENT_HELLOS).lazy()
    names = hellos.group_by(ENDS).agg(pl.col("sni").first(), tls=pl.lit(value=True))
    rows = (
        slow.lazy()
        .join(steady.filter(own).select(*peers, "score", "clients"), on=peers)
        .join(names, on=ENDS, how="left")
        .sort("score", *peers, descending=[True, False, False, False])
        .collect()
    )
    words = [
        f"{row['client']} to {row['server']} port {row['server_port']} for {row['seconds']:,.0f} s"
        f"{' in TLS without a name' if row['tls'] and row['sni'] is None else ''} (regularity {row['score']:.2f}, "
        f"clients of that server: {row['clients']})"
        for row in rows.head(TOLD).iter_rows(named=True)
    ]
    if not words:
        return ""
    more = f" and {rows.height - TOLD} more" if rows.height > TOLD else ""
    told = "Long, slow, regular connections to ports that pools like, which alone is no sign of mining: "
    return f"{told}{'; '.join(words)}{more}"
