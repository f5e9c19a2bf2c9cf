"""One name for a node, however a log names it: what every fact and detector about nodes joins by, and says."""

from __future__ import annotations

import polars as pl

_WITH_DOMAIN = r"^([^.:]+)\.[a-z_].*$"
"""A host and its domain (RFC 1123); an address has no label that begins with a letter, and `node.1` has no domain."""


def short_node(name: pl.Expr) -> pl.Expr:
    """A node's name without its domain, in lower case: a journal writes `ip-10-0-12-36` and the API server
    `ip-10-0-12-36.ec2.internal`, and Kubernetes makes the host name lower case
    (pkg/util/node/node.go, GetHostname). Addresses stay whole."""
    return name.str.to_lowercase().str.strip_chars_end(".").str.replace(_WITH_DOMAIN, "$1")


def node(host: str = "host", source: str = "source") -> pl.Expr:
    """The node that a line is about: the short name of its host; without a host the input."""
    return pl.coalesce(short_node(pl.col(host)), pl.col(source))
