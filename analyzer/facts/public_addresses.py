"""Which addresses lie outside: whoever sends from one of them came over the public network."""

from __future__ import annotations

import polars as pl

_PRIVATE = (
    r"^(?:10\.|127\.|0\.|169\.254\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\."
    r"|22[4-9]\.|23\d\.|2[45]\d\.|::1?$|fe[89ab][0-9a-f]:|f[cd][0-9a-f]{2}:|ff[0-9a-f]{2}:)"
)
"""RFC 1918, RFC 6598 (carrier-grade NAT), RFC 3927, loopback, multicast, reserved; RFC 4193, RFC 4291 for IPv6."""


def is_public(address: pl.Expr) -> pl.Expr:
    """Whether a canonical address is one of the public network. Ranges of documentation (RFC 5737) count as public:
    they stand for such addresses wherever evidence was made anonymous."""
    return ~address.cast(pl.String).str.contains(_PRIVATE)
