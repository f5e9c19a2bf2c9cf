"""Tables of a finding: what was asked, where, what for, by whom, and what relies on it."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.dns.dns_search_chain.relying import Relying
from analyzer.detectors.dns.dns_search_chain.walks import Walks
from analyzer.model import Column, EvidenceTable

NAMES = 10
CLIENTS = 100

_KINDS = ("external", "in-cluster-search", "host-search", "typo-walk", "open")


def tables(walks: Walks, names: Relying) -> tuple[EvidenceTable, ...]:
    """The costliest first; those that say nothing are left out."""
    made = [_names(walks), _domains(walks), _kinds(walks)]
    if names.names.height:
        made.append(_relying(walks, names))
    if walks.clients.height > 1:
        made.append(_clients(walks))
    return tuple(made)


def _names(walks: Walks) -> EvidenceTable:
    rows = (
        walks.external.group_by("base")
        .agg(pl.col("lookup").n_unique(), pl.len(), pl.col("wasted").sum(), pl.col("wasted_bytes").sum())
        .sort("wasted", "base", descending=[True, False])
        .head(NAMES)
    )
    columns = (
        Column(name="name"),
        Column(name="lookups", unit="lookups"),
        Column(name="chains", unit="chains"),
        Column(name="wasted", unit="queries"),
        Column(name="wasted bytes", unit="bytes"),
    )
    return EvidenceTable(caption="Costliest outside names", columns=columns, rows=tuple(rows.rows()))


def _domains(walks: Walks) -> EvidenceTable:
    rows = (
        walks.suffixes.group_by("suffix", "kind")
        .agg(pl.col("position").min(), pl.col("names").sum())
        .sort("position", "suffix")
        .head(NAMES)
        .select(pl.col("position") + 1, "suffix", "kind", "names")
    )
    columns = (Column(name="place"), Column(name="suffix"), Column(name="kind"), Column(name="tried", unit="names"))
    return EvidenceTable(caption="Search list as the queries show it", columns=columns, rows=tuple(rows.rows()))


def _kinds(walks: Walks) -> EvidenceTable:
    """Only the first kind is waste; a chain is broken where a query of it is missing or it was not seen to end."""
    order = pl.col("kind").replace_strict(_KINDS, range(len(_KINDS)), return_dtype=pl.Int32)
    rows = (
        walks.chains.group_by("kind", "absolute_first")
        .agg(pl.col("complete").sum(), broken=(~pl.col("complete")).sum(), wasted=pl.col("wasted").sum())
        .sort(order, "absolute_first")
        .select(
            "kind",
            pl.when("absolute_first").then(pl.lit("the name as it stands")).otherwise(pl.lit("the search list")),
            "complete",
            "broken",
            "wasted",
        )
    )
    columns = (
        Column(name="kind"),
        Column(name="asked first"),
        Column(name="complete", unit="chains"),
        Column(name="broken", unit="chains"),
        Column(name="in vain", unit="queries"),
    )
    caption = "Chains by what they were for; only external ones count as waste"
    return EvidenceTable(caption=caption, columns=columns, rows=tuple(rows.rows()))


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
