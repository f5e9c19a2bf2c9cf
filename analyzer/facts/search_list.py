"""The search list of each client, learned from its own queries.

Which part of a name is the suffix cannot be read off the name: in `api.acme.com.svc.cluster.local`, is `com` a
namespace? It is decided by what else the client asks: of its own namespace `ns`, whatever it asks as
`NAME.ns.svc.DOMAIN` it goes on to ask as `NAME.svc.DOMAIN` or as `NAME`.
"""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.frames import Col, Table
from analyzer.frames.contract import PLACE

SERVICE_NAME = r"^(.+)\.([^.]+)\.svc\.([^.].*)$"
"""NAME, namespace and cluster domain; the domain need not be cluster.local. Of several `svc` the last one counts."""

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


def asked_names(transactions: pl.LazyFrame) -> pl.DataFrame:
    """One row per client and name in the order of the first sighting: ask, client, name, time, source, number."""
    order = ["time", "source", "number"]
    return (
        transactions.filter(pl.col("hop") == "client", ~pl.col("covered"))
        .select("client", "name", *order)
        .sort(*order, nulls_last=True)
        .unique(["client", "name"], keep="first", maintain_order=True)
        .with_row_index("ask")
        .collect()
    )


def walked(asked: pl.DataFrame, suffixes: pl.DataFrame) -> pl.DataFrame:
    """One row per client and base that was tried under the client's own namespace: walk, client, base."""
    own = suffixes.filter(pl.col("kind") == "namespace").select("client", "namespace", "cluster_domain").unique()
    return (
        _service_names(asked)
        .join(own, on=["client", "namespace", "cluster_domain"], how="semi")
        .select("client", "base")
        .unique()
        .sort("client", "base")
        .with_row_index("walk")
    )


def _service_names(asked: pl.DataFrame) -> pl.DataFrame:
    """The names that read as NAME.ns.svc.DOMAIN, with base, namespace and cluster_domain."""
    parts = pl.col("name").str.extract_groups(SERVICE_NAME).struct
    return (
        asked.filter(pl.col("name").str.contains(".svc.", literal=True))
        .with_columns(base=parts["1"], namespace=parts["2"], cluster_domain=parts["3"])
        .filter(pl.col("base").is_not_null())
    )


def _namespaces(asked: pl.DataFrame) -> pl.DataFrame:
    """The namespaces that each client's own search list holds: the one that explains most names, and others that
    come near it, where many pods ask through one address."""
    said = _service_names(asked)
    after = pl.format("{}.svc.{}", "base", "cluster_domain")
    names = asked.select("client", "name")
    goes_on = [
        said.with_columns(name=next_name).join(names, on=["client", "name"], how="semi").select("ask")
        for next_name in (after, pl.col("base"))
    ]
    own = ["client", "namespace", "cluster_domain"]
    score = pl.col("names")
    best = score.max().over("client")
    return (
        said.join(pl.concat(goes_on).unique(), on="ask", how="semi")
        .group_by(own)
        .agg(pl.len().cast(pl.Int64).alias("names"), pl.col("ask").min())
        .sort("client", "names", "namespace", "cluster_domain", descending=[False, True, False, False])
        .filter((pl.int_range(pl.len()).over("client") == 0) | ((score >= 2) & (score >= best * OTHER_NAMESPACE_SHARE)))
    )


def _tried(asked: pl.DataFrame, bases: pl.DataFrame, suffix: pl.Expr) -> pl.DataFrame:
    """How many of the bases (client, base, cluster_domain) were also asked under the suffix."""
    keys = ["client", "name"]
    return (
        bases.with_columns(suffix=suffix, name=pl.concat_str("base", pl.lit("."), suffix))
        .join(asked.select("ask", *keys), on=keys)
        .group_by("client", "suffix", "cluster_domain")
        .agg(pl.col("base").n_unique().cast(pl.Int64).alias("names"), pl.col("ask").min())
    )


def _through(asked: pl.DataFrame, bases: pl.DataFrame) -> pl.DataFrame:
    """Bases (client, base) that no domain of the cluster resolved: only these go on to the host's domains."""
    names = pl.format("{}.{}", "base", "cluster_domain")
    last = bases.with_columns(name=names).join(asked, on=["client", "name"], how="semi").select("client", "base")
    without = bases.join(last, on="client", how="anti").select("client", "base")
    return pl.concat([last, without]).unique()


def _hosts(asked: pl.DataFrame, bases: pl.DataFrame) -> pl.DataFrame:
    """What else was appended to at least half of the names that got through the cluster's own domains."""
    through = _through(asked, bases)
    zones = bases.select("client", zone=pl.concat_str(pl.lit("."), "cluster_domain")).unique()
    within = asked.join(zones, on="client").filter(pl.col("name").str.ends_with(pl.col("zone"))).select("ask")
    outside = asked.join(through.select("client").unique(), on="client", how="semi").join(within, on="ask", how="anti")
    cuts = [
        outside.with_columns(
            base=pl.col("name").str.extract(rf"^(.+?)(?:\.[^.]+){{{labels}}}$"),
            suffix=pl.col("name").str.extract(rf"((?:[^.]+\.){{{labels - 1}}}[^.]+)$"),
        ).join(through, on=["client", "base"], how="semi")
        for labels in range(1, HOST_LABELS + 1)
    ]
    return (
        pl.concat(cuts)
        .group_by("client", "suffix")
        .agg(pl.col("base").n_unique().cast(pl.Int64).alias("names"), pl.col("ask").min())
        .join(through.group_by("client").len("through"), on="client")
        .filter(pl.col("names") * 2 >= pl.col("through"))
        .drop("through")
    )


def _derive(frames: Frames) -> pl.LazyFrame:
    asked = asked_names(frames[DNS_TRANSACTIONS])
    own = _namespaces(asked)
    bases = (
        _service_names(asked)
        .join(own, on=["client", "namespace", "cluster_domain"], how="semi")
        .select("client", "base", "cluster_domain")
        .unique()
    )
    suffix = pl.format("{}.svc.{}", "namespace", "cluster_domain")
    parts = {
        "namespace": own.with_columns(suffix=suffix),
        "services": _tried(asked, bases, pl.format("svc.{}", "cluster_domain")),
        "cluster": _tried(asked, bases, pl.col("cluster_domain")),
        "host": _hosts(asked, bases),
    }
    rank = pl.col("kind").replace_strict(_KINDS, return_dtype=pl.Int32())
    place = pl.when(pl.col("kind") == "host").then(pl.col("ask").cast(pl.Int64) + len(_KINDS)).otherwise(rank)
    return (
        pl.concat([part.with_columns(kind=pl.lit(kind)) for kind, part in parts.items()], how="diagonal")
        .join(asked.select("ask", "time", "source", "number"), on="ask")
        .with_columns(position=place.rank("dense").over("client").cast(pl.Int32) - 1)
        .sort("client", "position", "suffix", "cluster_domain")
        .select(list(SUFFIXES.schema))
        .lazy()
    )


SEARCH_SUFFIXES = Fact(table=SUFFIXES, needs_any=((DNS_TRANSACTIONS,),), derive=_derive)
