"""The search list of each client, learned from its own queries.

Which part of a name is the suffix cannot be read off the name: in `api.acme.com.svc.cluster.local`, is `com` a
namespace? It is decided by what else the client asks: of its own namespace `ns`, whatever it asks as
`NAME.ns.svc.DOMAIN` it goes on to ask as `NAME.svc.DOMAIN` or as `NAME`.
"""

from __future__ import annotations

import polars as pl

from analyzer.facts.codes import CODE, pair
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.search_names import DNS_ASKED_NAMES
from analyzer.frames import Col, Table
from analyzer.frames.contract import PLACE, empty

HOST_LABELS = 6
"""Labels of the longest host domain that is looked for, as in us-west-2.compute.internal or a company's own."""

OTHER_NAMESPACE_SHARE = 0.2
"""A further namespace behind one address must walk so many names, as a share of the first one's, and at least two."""

SUFFIXES = Table(
    "dns_search_suffixes",
    "One row per search domain that a client's resolver was seen to try; a shared address has several namespaces.",
    (
        *PLACE,
        Col("client", pl.String(), "Address that asked."),
        Col("suffix", pl.String(), "The search domain."),
        Col("position", pl.Int32(), "Its place in the list, from 0; namespaces behind one address share place 0."),
        Col("kind", pl.String(), "namespace, services, cluster or host."),
        Col("namespace", pl.String(), "Namespace of the client; null in the other rows."),
        Col("cluster_domain", pl.String(), "Cluster domain as cluster.local; null for a host domain."),
        Col("names", pl.Int64(), "Distinct names that were tried under it."),
    ),
)

_KINDS = {"namespace": 0, "services": 1, "cluster": 2, "host": 3}


_OWN = ["client", "namespace", "cluster_domain"]


def walked(asked: pl.LazyFrame, suffixes: pl.DataFrame) -> pl.DataFrame:
    """One row per client and base that was tried under the client's own namespace: walk, client, base."""
    own = suffixes.lazy().filter(pl.col("kind") == "namespace").select(pl.col(_OWN).cast(CODE)).unique()
    return (
        asked.join(own, on=_OWN, how="semi")
        .select("client", "base")
        .filter(pair("client", "base").is_first_distinct())
        .sort("client", "base")
        .with_row_index("walk")
        .collect()
    )


def _namespaces(served: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
    """The namespaces that each client's own search list holds: the one that explains most names, and others that
    come near it, where many pods ask through one address."""
    known = asked["key"].implode()
    goes_on = pair("client", "services").is_in(known) | pair("client", "base").is_in(known)
    score = pl.col("names")
    best = score.max().over("client")
    return (
        served.filter(goes_on)
        .group_by(_OWN)
        .agg(pl.len().cast(pl.Int64).alias("names"), pl.col("ask").min())
        .sort("client", "names", "namespace", "cluster_domain", descending=[False, True, False, False])
        .filter((pl.int_range(pl.len()).over("client") == 0) | ((score >= 2) & (score >= best * OTHER_NAMESPACE_SHARE)))
    )


def _tried(asked: pl.DataFrame, bases: pl.DataFrame, name: str, suffix: pl.Expr) -> pl.DataFrame:
    """How many of the bases (each once per client and cluster domain) were also asked as `name`, under the suffix."""
    return (
        bases.select("client", "cluster_domain", key=pair("client", name))
        .join(asked.select("ask", "key"), on="key")
        .group_by("client", "cluster_domain")
        .agg(pl.len().cast(pl.Int64).alias("names"), pl.col("ask").min())
        .with_columns(suffix=suffix)
    )


def _through(asked: pl.DataFrame, bases: pl.DataFrame) -> pl.DataFrame:
    """Bases (client, base) that no domain of the cluster resolved: only these go on to the host's domains."""
    last = bases.filter(pair("client", "cluster").is_in(asked["key"].implode())).select("client", "base")
    without = bases.join(last, on="client", how="anti").select("client", "base")
    return pl.concat([last, without]).unique()


def _cuts(names: pl.DataFrame, through: pl.DataFrame) -> pl.DataFrame:
    """Every way to read a name as one of the bases and a suffix of few labels: name, base, suffix."""
    bases = through.select(pl.col("base").unique().cast(pl.String))
    left = names.select("name", text=pl.col("name").cast(pl.String)).with_columns(base="text")
    cuts = []
    for _ in range(HOST_LABELS):
        left = left.with_columns(pl.col("base").str.extract(r"^(.+)\.[^.]+$")).filter(pl.col("base").is_not_null())
        cuts.append(left.join(bases, on="base", how="semi"))
    suffix = pl.col("text").str.strip_prefix(pl.concat_str("base", pl.lit(".")))
    return pl.concat(cuts).select("name", pl.col("base").cast(CODE), suffix=suffix)


def _hosts(asked: pl.DataFrame, bases: pl.DataFrame) -> pl.DataFrame:
    """What else was appended to at least half of the names that got through the cluster's own domains."""
    through = _through(asked, bases)
    zones = bases.select("client", "cluster_domain").unique()
    zone = pl.concat_str(pl.lit("."), pl.col("cluster_domain").cast(pl.String))
    names = asked.select("ask", "client", "name").join(through.select("client").unique(), on="client", how="semi")
    within = names.join(zones, on="client").filter(pl.col("name").cast(pl.String).str.ends_with(zone)).select("ask")
    outside = names.join(within, on="ask", how="anti")
    return (
        outside.join(_cuts(outside.select(pl.col("name").unique()), through), on="name")
        .filter(pair("client", "base").is_in(through.select(pair("client", "base")).to_series().implode()))
        .group_by("client", "suffix")
        .agg(pl.col("base").n_unique().cast(pl.Int64).alias("names"), pl.col("ask").min())
        .join(through.group_by("client").len("through"), on="client")
        .filter(pl.col("names") * 2 >= pl.col("through"))
        .drop("through")
    )


def _derive(frames: Frames) -> pl.LazyFrame:
    asked = frames[DNS_ASKED_NAMES].with_row_index("ask").with_columns(key=pair("client", "name")).collect()
    services, cluster = "{}.svc.{}", "{}.{}"
    served = asked.filter(pl.col("base").is_not_null()).with_columns(services=_named(services, "base"))
    own = _namespaces(served, asked)
    if own.is_empty():
        return empty(SUFFIXES).lazy()  # no list is known without a namespace
    bases = (
        served.join(own, on=_OWN, how="semi")
        .unique(["client", "base", "cluster_domain"])
        .select("client", "base", "cluster_domain", "services", cluster=_named(cluster, "base"))
    )
    domain = pl.col("cluster_domain").cast(pl.String)
    parts = {
        "namespace": own.with_columns(suffix=pl.format(services, "namespace", "cluster_domain")),
        "services": _tried(asked, bases, "services", pl.format("svc.{}", domain)),
        "cluster": _tried(asked, bases, "cluster", domain),
        "host": _hosts(asked, bases),
    }
    rank = pl.col("kind").replace_strict(_KINDS, return_dtype=pl.Int32())
    place = pl.when(pl.col("kind") == "host").then(pl.col("ask").cast(pl.Int64) + len(_KINDS)).otherwise(rank)
    return (
        pl.concat([part.with_columns(kind=pl.lit(kind)) for kind, part in parts.items()], how="diagonal")
        .join(asked.select("ask", "time", "source", "number"), on="ask")
        .with_columns(position=place.rank("dense").over("client").cast(pl.Int32) - 1)
        .with_columns(pl.col(_OWN).cast(pl.String))
        .sort("client", "position", "suffix", "cluster_domain")
        .select(list(SUFFIXES.schema))
        .lazy()
    )


def _named(form: str, first: str) -> pl.Expr:
    """The name of that form, of a column and the cluster domain."""
    return pl.format(form, pl.col(first).cast(pl.String), pl.col("cluster_domain").cast(pl.String)).cast(CODE)


SEARCH_SUFFIXES = Fact(table=SUFFIXES, needs_any=((DNS_ASKED_NAMES,),), derive=_derive)
