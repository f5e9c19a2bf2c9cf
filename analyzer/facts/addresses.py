"""Addresses that mean the same in every cluster."""

from __future__ import annotations

import polars as pl

METADATA_ADDRESSES = (
    "169.254.169.254",  # EC2, GCE, Azure
    "fd00:ec2::254",  # EC2 over IPv6
    "169.254.170.2",  # ECS task credentials
    "169.254.170.23",  # EKS Pod Identity agent
    "fd00:ec2::23",  # EKS Pod Identity agent over IPv6
)
"""Where clouds serve instance metadata and credentials."""

NODE_LOCAL_DNS = "169.254.20.10"
"""Where NodeLocal DNSCache listens and, by its own log, whom it asks for (the address of its documentation)."""


def is_metadata(address: pl.Expr) -> pl.Expr:
    """True where the address serves instance metadata."""
    return address.is_in(METADATA_ADDRESSES)
