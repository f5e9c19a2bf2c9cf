"""Which addresses lie within the cluster and its network, and which lie outside."""

from __future__ import annotations

import polars as pl

from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.contract import Frames

WITHIN = (
    r"10\.",  # RFC 1918
    r"172\.(?:1[6-9]|2[0-9]|3[01])\.",
    r"192\.168\.",
    r"100\.(?:6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.",  # shared address space, RFC 6598: pods of EKS and others
    r"34\.118\.(?:22[4-9]|23[0-9])\.",  # 34.118.224.0/20: services of GKE, by its documentation
    r"198\.1[89]\.",  # benchmarks, RFC 2544
    r"127\.",
    r"169\.254\.",  # link-local, RFC 3927: metadata, NodeLocal DNSCache
    r"0\.",
)
_WITHIN_6 = (r"::1?$", r"f[cd][0-9a-f]{2}:", r"fe[89ab][0-9a-f]:")
"""Loopback and unspecified, unique local (RFC 4193), link-local (RFC 4291)."""

_PATTERN = rf"^(?:(?:::ffff:)?(?:{'|'.join(WITHIN)})|{'|'.join(_WITHIN_6)})"

OWN = ("pod", "node")
"""Kinds of owners whose addresses lie within whatever they are; a service may have been given one from outside."""


def is_private(address: pl.Expr) -> pl.Expr:
    """True where the address means something within a network only."""
    return address.str.contains(_PATTERN)


def network(address: pl.Expr) -> pl.Expr:
    """The /24 of an IPv4 address, the /48 of an IPv6 one: what belongs together mostly."""
    parts = address.str.splitn(":", 4).struct
    six = pl.concat_str(parts[0], parts[1], parts[2].fill_null(""), separator=":") + "::/48"
    return pl.when(address.str.contains(":", literal=True)).then(six).otherwise(address.str.replace(r"[0-9]+$", "0/24"))


def with_sides(rows: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """The rows with `client_within` and `server_within`: private addresses, and those that pods and nodes had at some
    time, for clusters with public addresses of their own. Each distinct address is looked at once."""
    distinct = pl.concat([rows["client"], rows["server"]]).unique().to_frame("address")
    known = is_private(pl.col("address"))
    if ADDRESS_OWNERS in frames:
        own = frames[ADDRESS_OWNERS].filter(pl.col("kind").is_in(OWN)).select("address").unique().collect()
        known |= pl.col("address").is_in(own["address"].implode())
    inside = distinct.filter(known)["address"].implode()
    return rows.with_columns(pl.col(side).is_in(inside).alias(f"{side}_within") for side in ("client", "server"))
