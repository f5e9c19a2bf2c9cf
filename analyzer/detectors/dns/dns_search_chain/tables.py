"""Tables of a finding: what was asked, where, what for, by whom, and what relies on it."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.dns.dns_search_chain.relying import Relying
from analyzer.detectors.dns.dns_search_chain.walks import Walks, collected
from analyzer.model import Column, EvidenceTable

NAMES = 10
CLIENTS = 100

_KINDS = ("external", "in-cluster-search", "host-search", "typo-walk", "open")


def tables(walks: Walks, names: Relying) -> tuple[EvidenceTable, ...]:
    """The costliest first; those that say nothing are left out."""
    asked, domains, kinds = collected([_asked(walks), _domains(walks), _kinds(walks)])
    made = [
        EvidenceTable(caption="Costliest outside names", columns=_NAMES, rows=tuple(asked.rows())),
        EvidenceTable(caption="Search list as the queries show it", columns=_DOMAINS, rows=tuple(domains.rows())),
        EvidenceTable(
            caption="Chains by what they were for; only external ones count as waste",
            columns=_CHAINS,
            rows=tuple(kinds.rows()),
        ),
    ]
    if names.names.height:
        made.append(_relying(walks, names))
    if walks.clients.height > 1:
        made.append(_clients(walks))
    return tuple(made)


_NAMES = (
    Column(name="name"),
    Column(name="lookups", unit="lookups"),
    Column(name="chains", unit="chains"),
    Column(name="wasted", unit="queries"),
    Column(name="wasted bytes", unit="bytes"),
)


def _asked(walks: Walks) -> pl.LazyFrame:
    return (
        walks.external.lazy()
        .group_by("base")
        .agg(pl.col("lookup").n_unique(), pl.len(), pl.col("wasted").sum(), pl.col("wasted_bytes").sum())
        .sort("wasted", "base", descending=[True, False])
        .head(NAMES)
    )


_DOMAINS = (Column(name="place"), Column(name="suffix"), Column(name="kind"), Column(name="tried", unit="names"))


def _domains(walks: Walks) -> pl.LazyFrame:
    return (
        walks.suffixes.lazy()
        .group_by("suffix", "kind")
        .agg(pl.col("position").min(), pl.col("names").sum())
        .sort("position", "suffix")
        .head(NAMES)
        .select(pl.col("position") + 1, "suffix", "kind", "names")
    )


_CHAINS = (
    Column(name="kind"),
    Column(name="asked first"),
    Column(name="complete", unit="chains"),
    Column(name="broken", unit="chains"),
    Column(name="in vain", unit="queries"),
)


def _kinds(walks: Walks) -> pl.LazyFrame:
    """Only the first kind is waste; a chain is broken where a query of it is missing or it was not seen to end."""
    order = pl.col("kind").replace_strict(_KINDS, range(len(_KINDS)), return_dtype=pl.Int32)
    first = pl.when("absolute_first").then(pl.lit("the name as it stands")).otherwise(pl.lit("the search list"))
    return (
        walks.chains.lazy()
        .group_by("kind", "absolute_first")
        .agg(pl.col("complete").sum(), broken=(~pl.col("complete")).sum(), wasted=pl.col("wasted").sum())
        .sort(order, "absolute_first")
        .select("kind", first, "complete", "broken", "wasted")
    )


def _relying(walks: Walks, names: Relying) -> EvidenceTable:
    several = walks.clients.height > 1
    shown = ["client"] if several else []
    rows = names.names.head(NAMES).select(
        *shown,
        "base",
        "dots",
        "lookups",
        "wasted",
        pl.col("found_under").fill_null("as it stands"),
        names.at(1).alias("one"),
        names.at(2).alias("two"),
    )
    columns = (
        Column(name="name"),
        Column(name="dots"),
        Column(name="lookups", unit="lookups"),
        Column(name="in vain", unit="queries"),
        Column(name="found under"),
        Column(name="with ndots:1"),
        Column(name="with ndots:2"),
    )
    caption = "Names of the cluster and of its hosts, whose searches are no waste, and what lower ndots does to them"
    first = (Column(name="client"),) if several else ()
    return EvidenceTable(caption=caption, columns=(*first, *columns), rows=tuple(rows.rows()))


def _clients(walks: Walks) -> EvidenceTable:
    rows = walks.clients.select("client", "lookups", "wasted", "queries").head(CLIENTS)
    columns = (
        Column(name="client"),
        Column(name="lookups", unit="lookups"),
        Column(name="wasted", unit="queries"),
        Column(name="asked", unit="queries"),
    )
    return EvidenceTable(caption="Clients", columns=columns, rows=tuple(rows.rows()))
