"""Whether a client's resolver still searches for a name once it has asked for it as it stands.

It decides whether ndots can be lowered where names rely on the search list: glibc and Go search after a denial (see
facts/search_steps.py), musl never does for a name of at least ndots dots (`name_from_dns_search`, lookup_name.c). What
the client was seen to do counts first, then which library its queries are like (`dns_resolvers`).
"""

from __future__ import annotations

import polars as pl

from analyzer.detectors.dns.dns_search_chain.walks import Walks, in_own_namespace
from analyzer.facts.codes import pair

KUBELET_NDOTS = 5
"""`options ndots:5`, which the kubelet writes (pkg/kubelet/network/dns/dns.go). What has so many dots is asked as it
stands first."""

ENOUGH = 3
"""Names, and pairs of ports, from which a habit is believed; an engineering default."""

PORTS_APART = 0.9
"""Share of lookups whose A and AAAA leave from two ports; an engineering default: lookups that overlap mix some up."""

_SEARCHES = {"glibc": True, "go": True, "musl": False}
"""Libraries that `dns_resolvers` tells apart, and whether they search after a denial."""

_GLIBC = "names were asked as they stand and then searched, as glibc and Go do"
_GO = "A and AAAA leave from a port each, as Go sends them and glibc with single-request-reopen; both search afterwards"
_MUSL = "names of five dots and more that were denied were never searched, as musl does"
_UNKNOWN = "what its resolver does then was not seen"


def searching(walks: Walks) -> pl.DataFrame:
    """One row per client: client, searches (null if unknown), because."""
    known = walks.clients.select("client")
    after, apart, never = pl.col("after"), pl.col("apart"), pl.col("never")
    like = pl.format("it asks as {} does: {}", "behaviour", "reasons")
    because = (
        *(pl.when(after).then(pl.lit(_GLIBC)), pl.when(pl.col("library").is_not_null()).then(like)),
        *(pl.when(apart).then(pl.lit(_GO)), pl.when(never).then(pl.lit(_MUSL)), pl.lit(_UNKNOWN)),
    )
    return (
        known.join(_turned(walks.chains), on="client", how="left")
        .join(_ports(walks.chains), on="client", how="left")
        .join(_unsearched(walks), on="client", how="left")
        .join(_libraries(walks.resolvers), on="client", how="left")
        .with_columns(pl.col("after", "apart", "never").fill_null(False))
        .select(
            "client",
            searches=pl.when(after)
            .then(True)
            .when(pl.col("library").is_not_null())
            .then("library")
            .when(apart)
            .then(True)
            .when(never)
            .then(False),
            because=pl.coalesce(*because),
        )
        .sort("client")
    )


def _libraries(resolvers: pl.DataFrame) -> pl.DataFrame:
    """Clients whose queries are like those of a library, and whether that library searches (`library`)."""
    searches = pl.col("behaviour").replace_strict(_SEARCHES, default=None, return_dtype=pl.Boolean)
    return resolvers.select("client", "behaviour", "reasons", library=searches).filter(pl.col("library").is_not_null())


def _turned(chains: pl.DataFrame) -> pl.DataFrame:
    """Clients that searched after the name as it stands, for names of more dots than they search first."""
    turned = pl.col("absolute_first")
    least = pl.col("dots").filter(~turned).max().fill_null(0)
    return chains.group_by("client").agg(after=(turned & (pl.col("dots") > least)).any())


def _ports(chains: pl.DataFrame) -> pl.DataFrame:
    """Clients whose A and AAAA of one lookup come from two ports."""
    both = (
        chains.filter(pl.col("qtype").is_in(["A", "AAAA"]))
        .group_by("client", "lookup")
        .agg(pl.len(), ports=pl.col("client_port").n_unique())
        .filter(pl.col("len") == 2)
    )
    return both.group_by("client").agg(apart=(pl.len() >= ENOUGH) & ((pl.col("ports") == 2).mean() >= PORTS_APART))


def _unsearched(walks: Walks) -> pl.DataFrame:
    """Clients that left it at the denial of names of five dots and more; a final dot in all of them looks the same."""
    dots = pl.col("name").str.count_matches(".", literal=True)
    denied = (
        walks.asked.filter(pl.col("rcode") == "NXDOMAIN", pl.col("qtype").is_in(["A", "AAAA"]))
        .filter(pair("client", "name").is_first_distinct())
        .select(pl.col("client", "name").cast(pl.String))
        .filter(dots >= KUBELET_NDOTS)
    )
    bases = walks.chains.select("client", "base").unique()
    steps = bases.join(walks.suffixes.select("client", "suffix"), on="client")
    searched = pl.concat(
        [bases.select("client", name="base"), steps.select("client", name=pl.format("{}.{}", "base", "suffix"))]
    )
    left = in_own_namespace(denied.join(searched, on=["client", "name"], how="anti"), walks, how="anti")
    return left.group_by("client").agg(never=pl.len() >= ENOUGH)
