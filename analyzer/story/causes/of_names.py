"""What captures and CoreDNS logs tell of lookups and requests: observations about an address or the resolver."""

from __future__ import annotations

import polars as pl

from analyzer.facts.application import APPLICATION_REQUESTS
from analyzer.facts.dns_hops import DNS_HOPS
from analyzer.facts.resolver_changes import RESOLVER_CHANGES
from analyzer.frames import NO_REPLY
from analyzer.story.causes.signs import keyed, keys
from analyzer.story.causes.witness import Given, Witness, one

RESOLVER_KEY = "resolver:cluster"

_REMOVED = {"pod deleted": "was deleted", "container killed": "was told to end", "scaled": "was scaled"}


def _removed(given: Given) -> pl.LazyFrame:
    """Servers of the resolver that went away. A change of the Deployment that tells of no replicas is none."""
    before, after = pl.col("replicas_before"), pl.col("replicas_after")
    fewer = (after < before).fill_null(value=True)
    rows = given[RESOLVER_CHANGES].filter(pl.col("what").is_in(list(_REMOVED)), fewer)
    return rows.with_columns(
        one(),
        keys(pl.lit(RESOLVER_KEY)),
        who=pl.col("object"),
        what=pl.col("what").replace_strict(_REMOVED, return_dtype=pl.String),
    )


def _unanswered(given: Given) -> pl.LazyFrame:
    """Queries that the server passed on, by packets, and for which its upstream sent nothing."""
    rows = given[DNS_HOPS].filter(
        pl.col("forwarded"), pl.col("upstream").is_not_null(), pl.col("upstream_rcode") == NO_REPLY
    )
    return rows.select(
        keys(keyed("address", pl.col("upstream"))),
        time="forwarded_at",
        source=pl.coalesce("upstream_source", "source"),
        number=pl.coalesce("upstream_number", "number"),
        who=pl.format("upstream {}", "upstream"),
        what=pl.lit("left queries of CoreDNS unanswered"),
        count=pl.col("upstream_queries").fill_null(1).cast(pl.Int64),
    )


def _requests(given: Given) -> pl.LazyFrame:
    return given[APPLICATION_REQUESTS].with_columns(
        one(),
        keys(keyed("address", pl.col("client"))),
        who=pl.col("client"),
        what=pl.lit("sent requests of its own to other servers"),
    )


WITNESSES = (
    Witness(kind="resolver-removed", where="audit or kubelet log", needs=(RESOLVER_CHANGES,), told=_removed),
    Witness(kind="upstream-unanswered", where="capture", needs=(DNS_HOPS,), told=_unanswered),
    Witness(kind="application-requests", where="capture", needs=(APPLICATION_REQUESTS,), told=_requests),
)
