"""Miners that share a pool are one operation: whoever started one started the others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.security.cryptominer_traffic.signs import SHARES, Signs
from analyzer.facts.mining_pools import pool_zone


class Operation(Struct, frozen=True, kw_only=True):
    """What some miners did: each frame as in `Signs`."""

    clients: tuple[str, ...]
    """In the order in which they came."""
    spoken: pl.DataFrame
    names: pl.DataFrame
    hellos: pl.DataFrame
    connections: pl.DataFrame

    @property
    def subject(self) -> str:
        return self.clients[0]

    @property
    def pods(self) -> int:
        return len(self.clients)

    @property
    def asks(self) -> int:
        return self.spoken.filter("asks").height

    @property
    def tells(self) -> int:
        return self.spoken.filter(~pl.col("asks")).height

    @property
    def answered(self) -> bool:
        return self.tells > 0

    @property
    def connected(self) -> bool:
        return self.connections.height > 0 or self.hellos.height > 0

    @property
    def shares(self) -> int:
        return self.spoken.filter(pl.col("asks"), pl.col("method").is_in(SHARES)).height

    @property
    def asked(self) -> int:
        return self.names.height

    @property
    def seconds(self) -> float:
        return sum(open_seconds(part) for part in self.connections.partition_by("client"))

    @property
    def pools(self) -> tuple[str, ...]:
        """Names of the pools; the address and port of those without one."""
        named = [*self.connections["pool"].drop_nulls(), *self.hellos["sni"], *self.names["name"]]
        known = self.connections.filter(pl.col("pool").is_not_null()).select("server").unique()
        bare = pl.concat([frame.select("server", "server_port") for frame in (self.spoken, self.connections)])
        bare = bare.unique().join(known, on="server", how="anti").sort("server", "server_port")
        ends = [f"{server}:{port}" if ":" not in server else f"[{server}]:{port}" for server, port in bare.iter_rows()]
        return (*sorted(set(named)), *ends)

    @property
    def _times(self) -> pl.Series:
        frames = [frame["time"] for frame in (self.spoken, self.names, self.hellos, self.connections)]
        return pl.concat([*frames, self.connections["end"]]).drop_nulls()

    @property
    def start(self) -> datetime | None:
        found = self._times.min()
        return found if isinstance(found, datetime) else None

    @property
    def end(self) -> datetime | None:
        found = self._times.max()
        return found if isinstance(found, datetime) else None


def open_seconds(connections: pl.DataFrame) -> float:
    """Time in which at least one of the connections was open."""
    ordered = connections.drop_nulls(["time", "end"]).sort("time", "end")
    before = pl.col("end").cum_max().shift(1)
    begins = pl.max_horizontal("time", before)
    open_ = (pl.col("end") - begins).clip(timedelta(0)).sum()
    found = ordered.select(open_).item() if ordered.height else None
    return found.total_seconds() if isinstance(found, timedelta) else 0.0


def operations(found: Signs, scanners: frozenset[str]) -> Iterator[Operation]:
    """In the order of their first sign; clients that only scan are left out."""
    if not any(one.height for one in (found.spoken, found.asked, found.hellos, found.connections)):
        return
    zone = pl.coalesce(pool_zone(pl.col("pool")), pl.col("server"))
    links = [
        found.connections.select("client", pool=zone, time="time"),
        found.connections.select("client", pool="server", time="time"),
        found.spoken.select("client", pool="server", time="time"),
        found.hellos.select("client", pool=pool_zone(pl.col("sni")), time="time"),
        found.asked.select("client", pool=pool_zone(pl.col("name")), time="time"),
    ]
    met = pl.concat(links).filter(~pl.col("client").is_in(list(scanners))).sort("time", "client", nulls_last=True)
    group = _joined(met.select("client", "pool").unique(maintain_order=True).rows())
    clients: dict[str, list[str]] = {}
    for client in met["client"].unique(maintain_order=True):
        clients.setdefault(group[client], []).append(client)
    frames = (found.spoken, found.asked, found.hellos, found.connections)
    spoken, names, hellos, connections = (_by_group(frame, group) for frame in frames)
    for first, mine in clients.items():
        yield Operation(
            clients=tuple(mine),
            spoken=spoken.get((first,), found.spoken.clear()),
            names=names.get((first,), found.asked.clear()),
            hellos=hellos.get((first,), found.hellos.clear()),
            connections=connections.get((first,), found.connections.clear()),
        )


def _by_group(frame: pl.DataFrame, group: dict[str, str]) -> dict[tuple[object, ...], pl.DataFrame]:
    first = pl.col("client").replace_strict(group, default=None, return_dtype=pl.String)
    return frame.with_columns(first=first).partition_by("first", as_dict=True, include_key=False)


def _joined(links: list[tuple[str, str]]) -> dict[str, str]:
    """For each client the one that stands for all that are linked by pools; Python runs for distinct pairs only."""
    parent: dict[str, str] = {}

    def top(one: str) -> str:
        while parent.setdefault(one, one) != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for client, pool in links:
        parent[top(f"pool {pool}")] = top(client)
    return {client: top(client) for client, _ in links}
