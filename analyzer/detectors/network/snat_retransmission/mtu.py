"""Connections whose large segments never arrive, while small ones do: the path takes less than the sender believes."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Frames
from analyzer.frames import ICMP_ERRORS

LARGE = 1300
"""Octets of payload: what fits a link of 1,500 octets, or the device of a pod, and not the tunnels and VPNs that take
less. Pods behind VXLAN send 1,398 (1,450 less the headers of IPv4 and TCP with timestamps), behind WireGuard 1,368."""
TRIES = 3
"""Retransmissions of one large segment from which it never arrives [an engineering default]: at a loss of one in
twenty, three in a row befall one segment in ten thousand."""
MOSTLY = 0.5
"""Part of what a side sent again that such a segment must be, unless its sender tries smaller ones in the end."""

TOO_BIG = ("fragmentation needed", "packet too big")

SIDE = ["source", "connection", "from_client"]


def black_holes(lost: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """`source` and `connection` of the retransmissions that are of such a connection: one side sent large segments
    only again, one of them over and over; or a router said that its packets are too big.

    Large is what was so when it was sent first: a sender that is told, or that finds out by itself (RFC 4821,
    net.ipv4.tcp_mtu_probing), sends the same octets again in smaller segments.
    """
    large = pl.max_horizontal("payload_bytes", "first_bytes") >= LARGE
    smaller = (pl.col("payload_bytes") < LARGE).any() & (pl.len() > TRIES)
    sides = lost.group_by(*SIDE, "seq").agg(
        pl.len().alias("tries"), large.all().alias("large"), smaller.alias("smaller")
    )
    stuck = sides.group_by(SIDE).agg(
        pl.col("large").all(),
        pl.col("smaller").any(),
        pl.col("tries").max().alias("tries"),
        pl.col("tries").sum().alias("all"),
    )
    most = pl.col("tries") >= MOSTLY * pl.col("all")
    shape = stuck.filter("large", pl.col("tries") >= TRIES, most | pl.col("smaller"))
    parts = [shape.select("source", "connection")]
    if ICMP_ERRORS in frames:
        told = frames[ICMP_ERRORS].filter(pl.col("error").is_in(TOO_BIG)).collect()
        quoted = told.select(
            "source",
            src="quoted_src",
            src_port="quoted_src_port",
            dst="quoted_dst",
            dst_port="quoted_dst_port",
        ).unique()
        mine = pl.col("from_client")
        sent = lost.filter(large).select(
            *("source", "connection"),
            src=pl.when(mine).then("client").otherwise("server"),
            src_port=pl.when(mine).then("client_port").otherwise("server_port"),
            dst=pl.when(mine).then("server").otherwise("client"),
            dst_port=pl.when(mine).then("server_port").otherwise("client_port"),
        )
        parts.append(
            sent.join(quoted, on=["source", "src", "src_port", "dst", "dst_port"], how="semi").select(
                "source", "connection"
            )
        )
    return pl.concat(parts).unique()
