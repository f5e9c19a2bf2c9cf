"""What went on around an endpoint that turned: other endpoints, older connections, routers, names and changes."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.network.egress_identity_change.flips import Flip
from analyzer.detectors.network.egress_identity_change.names import names_of
from analyzer.facts.change_ledger import CHANGE_LEDGER
from analyzer.facts.contract import Frames
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.frames import ICMP_ERRORS, PACKETS
from analyzer.frames.contract import empty

PRECEDES = timedelta(minutes=30)
"""How long before it a change may lie."""
STILL = timedelta(seconds=5)
"""After this a server that has turned still sends on older connections."""
TOGETHER = timedelta(seconds=60)
"""Endpoints that turn so close to each other have one reason, mostly."""

WAY_OUT = (
    r"(?i)aws-node|ip-masq|calico|cilium|flannel|kube-proxy|egress|proxy|firewall|networkpolic|gateway"
    r"|(?:^|[^a-z])nat(?:$|[^a-z])"
)
"""Names and resources of what decides how packets leave a cluster."""
CHANGES = 5


class Around(Struct, frozen=True):
    """`others` are attempts to other endpoints meanwhile; `older` connections that began before and got more from the
    server; `errors` ICMP errors about attempts (error, sender, count); `changes` what preceded (change_ledger)."""

    others: pl.DataFrame
    older: int
    errors: pl.DataFrame
    error_places: pl.DataFrame
    changes: pl.DataFrame
    names: tuple[str, ...]
    moved: tuple[str, ...]
    together: tuple[str, ...]
    """Endpoints in other networks that turned at the same time."""
    besides: int
    """Other endpoints that had turned meanwhile, sooner or later."""

    @property
    def nothing_goes_out(self) -> bool:
        """Several endpoints turned, and none was answered meanwhile."""
        return self.besides > 0 and bool(self.others["failed"].all())

    @property
    def others_failed(self) -> float:
        return float(self.others["failed"].cast(pl.Float64).mean() or 0.0)  # type: ignore[arg-type]


def around(flip: Flip, every: list[Flip], outside: pl.DataFrame, frames: Frames) -> Around:
    errors = _errors(flip, frames)
    names, moved = names_of(flip, frames)
    return Around(
        others=_others(flip, every, outside),
        older=_older(flip, frames),
        errors=errors.group_by("error", "src")
        .agg(pl.len())
        .sort("len", "error", "src", descending=[True, False, False]),
        error_places=errors.select("time", "source", "number").sort("time", "source", "number"),
        changes=_changes(flip, frames),
        names=names,
        moved=moved,
        besides=sum(one.start <= flip.end and flip.start <= one.end for one in every) - 1,
        together=tuple(
            sorted(
                one.endpoint for one in every if one.network != flip.network and abs(one.start - flip.start) <= TOGETHER
            )
        ),
    )


def _others(flip: Flip, every: list[Flip], outside: pl.DataFrame) -> pl.DataFrame:
    """Attempts meanwhile, in the captures that show this one, to servers that have ever answered and did not turn."""
    turned = pl.DataFrame({"server": [one.server for one in every], "server_port": [one.port for one in every]})
    seen = outside.filter(pl.col("source").is_in(flip.during["source"].unique().implode()))
    there = (~pl.col("failed")).any().over("server", "server_port")
    return (
        seen.filter(there)
        .filter(pl.col("time").is_between(flip.start, flip.end))
        .join(turned.cast({"server_port": pl.Int32}), on=["server", "server_port"], how="anti", maintain_order="left")
    )


def _older(flip: Flip, frames: Frames) -> int:
    late = flip.start + STILL
    there = (pl.col("server") == flip.server) & (pl.col("server_port") == flip.port) & ~pl.col("covered")
    open_then = (
        frames[TCP_CONNECTIONS]
        .filter(there, pl.col("time") < flip.start, pl.col("end") > late)
        .select("source", "client", "client_port")
        .collect()
    )
    if open_then.is_empty():
        return 0
    sent = frames[PACKETS].filter(
        pl.col("src") == flip.server,
        pl.col("src_port") == flip.port,
        pl.col("payload_bytes") > 0,
        pl.col("time").is_between(late, flip.end),
    )
    heard = sent.select("source", client="dst", client_port="dst_port").unique().collect()
    return open_then.join(heard, on=["source", "client", "client_port"], how="semi").height


def _errors(flip: Flip, frames: Frames) -> pl.DataFrame:
    if ICMP_ERRORS not in frames:
        return empty(ICMP_ERRORS)
    return (
        frames[ICMP_ERRORS]
        .filter(
            pl.col("quoted_dst") == flip.server,
            pl.col("quoted_dst_port") == flip.port,
            ~pl.col("duplicate").fill_null(False),
            pl.col("time").is_between(flip.start, flip.end + STILL),
        )
        .collect()
    )


def _changes(flip: Flip, frames: Frames) -> pl.DataFrame:
    """What somebody wanted, and nodes that came and went, before it turned: the way out first, then the nearest."""
    if CHANGE_LEDGER not in frames:
        return empty(CHANGE_LEDGER.table)
    node = (pl.col("area") == "node") & pl.col("verb").is_in(["create", "delete"])
    way_out = pl.concat_str("resource", "name", separator="/", ignore_nulls=True).str.contains(WAY_OUT) | node
    return (
        frames[CHANGE_LEDGER]
        .filter(
            pl.col("time").is_between(flip.start - PRECEDES, flip.start),
            ~pl.col("routine") | node,
            pl.col("resource") != "pods",
        )
        .with_columns(way_out=way_out)
        .sort("way_out", "time", "source", "number", descending=[True, True, False, False])
        .head(CHANGES)
        .drop("way_out")
        .collect()
    )
