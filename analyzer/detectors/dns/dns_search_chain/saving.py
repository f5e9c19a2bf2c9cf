"""What other settings would have cost, computed on the walks that were seen."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.dns.dns_search_chain.measure import Walks
from analyzer.facts.codes import CODE, pair
from analyzer.model import Saving

BOTH = (
    "glibc falls back to the search list after a failed first try; musl does not, so dotted in-cluster names fail there"
)


def relying(walks: Walks) -> pl.DataFrame:
    """Names of at least one dot that only the search list completes: base, dots, walks. Under the client's own
    namespace a full name looks the same; it is counted too, which errs on the safe side."""
    searched = (
        walks.chains.filter(pl.col("kind").is_in(["in-cluster-search", "host-search"]), pl.col("absolute") == 0)
        .group_by("base", "dots")
        .agg(walks=pl.len().cast(pl.Int64))
    )
    own = walks.suffixes.filter(pl.col("kind") == "namespace").select(
        "client", tail=pl.concat_str(pl.lit("."), "suffix")
    )
    tail = pl.col("tail")
    first = (
        walks.asked.filter(pl.col("rcode") == "NOERROR")
        .group_by(pair("client", "name").alias("key"))
        .agg(pl.col("client", "name").first().cast(pl.String), walks=pl.len().cast(pl.Int64))
        .join(own, on="client")
        .filter(pl.col("name").str.ends_with(tail))
        .select(base=pl.col("name").str.strip_suffix(tail), walks="walks")
        .with_columns(dots=pl.col("base").str.count_matches(".", literal=True).cast(pl.Int32))
        .filter(pl.col("dots") > 0)
    )
    return (
        pl.concat([searched, first.select(searched.columns)])
        .group_by("base", "dots")
        .agg(pl.col("walks").sum())
        .sort("walks", "base", descending=[True, False])
    )


def ndots_saving(walks: Walks, names: pl.DataFrame) -> tuple[int, Saving]:
    """The advised ndots, and what it would have saved: 2 where names like `svc.ns` rely on the list, else 1."""
    ndots = 2 if names.filter(pl.col("dots") >= 1).height else 1
    return ndots, _with_ndots(walks, ndots)


def _with_ndots(walks: Walks, ndots: int) -> Saving:
    external = walks.external
    asked = _sum(external, "wasted") + _sum(external, "absolute")
    spared = _sum(external.filter(pl.col("dots") >= ndots), "wasted")
    inside = walks.chains.filter(
        pl.col("kind").is_in(["in-cluster-search", "host-search"]), pl.col("absolute") == 0, pl.col("dots") >= ndots
    )
    return Saving(
        fix=f"ndots:{ndots}",
        observed=asked,
        modelled=asked - spared + inside.height,
        unit="queries",
        assumption=(
            f"names of at least {ndots} dots are asked as they stand first; {inside.height} walks of in-cluster names "
            f"would gain one query; {BOTH}"
        ),
        formula=(
            f"sum over walks of outside names: 1 where dots >= {ndots}, else domains + 1; "
            "plus 1 per walk of an in-cluster name of so many dots"
        ),
    )


def alternatives(walks: Walks, ndots: int, ttl_seconds: float, cap_seconds: float) -> tuple[Saving, ...]:
    """Every other way out, each with how it was reckoned."""
    external = walks.external
    wasted, absolute = _sum(external, "wasted"), _sum(external, "absolute")
    dot = Saving(
        fix="final dot",
        observed=wasted + absolute,
        modelled=absolute,
        unit="queries",
        assumption="every outside name is written with a final dot",
        formula="one query per walk instead of domains + 1",
    )
    autopath = Saving(
        fix="autopath",
        observed=wasted + absolute,
        modelled=external.height,
        unit="queries",
        assumption="CoreDNS answers the first query of each walk; what it asks upstream stays the same",
        formula="one query per walk seen by the client",
    )
    other = _with_ndots(walks, 2 if ndots == 1 else 1)
    cached = _node_local(walks, ttl_seconds, cap_seconds)
    return (other, dot, autopath, *((cached,) if cached else ()))


def _node_local(walks: Walks, ttl_seconds: float, cap_seconds: float) -> Saving | None:
    """Denials that a cache on the node would have answered: repeats of a name and type within a denial's life.

    Counted per client in windows of that life from the first query on, which never counts more hits than a cache has.
    """
    domains = walks.suffixes.select(pl.col("client").cast(CODE), "suffix")
    names = (
        walks.external.select(pl.col("client", "base").cast(CODE))
        .filter(pair("client", "base").is_first_distinct())
        .join(domains, on="client")
        .with_columns(name=pl.format("{}.{}", pl.col("base").cast(pl.String), "suffix").cast(CODE))
        .select(pair=pair("client", "name"))
        .unique()
        .with_row_index("place")
    )
    qtype = pl.col("qtype").to_physical()
    asked = (
        walks.asked.filter(pl.col("rcode").is_in(["NXDOMAIN", "NOERROR"]), pl.col("time").is_not_null())
        .select("time", "qtype", "negative_ttl", pair=pair("client", "name"))
        .join(names, on="pair")
        .select(
            "time",
            life=pl.col("negative_ttl").cast(pl.Float64).fill_null(ttl_seconds),
            key=pl.col("place").cast(pl.UInt64) * (1 << 32) + qtype,
        )
    )
    if not asked.height:
        return None
    # Most are asked once. Minima first, windows after: a formula inside each of many groups costs far more.
    again = asked.filter(pl.col("key").is_duplicated())
    first = again.group_by("key").agg(since=pl.col("time").min(), life=pl.col("life").min().clip(0.001, cap_seconds))
    elapsed = (pl.col("time") - pl.col("since")).dt.total_microseconds() / 1e6
    windows = (
        again.drop("life")
        .join(first, on="key")
        .select("key", window=(elapsed / pl.col("life")).floor().cast(pl.Int64))
        .n_unique()
    )
    return Saving(
        fix="NodeLocal DNSCache",
        observed=asked.height,
        modelled=asked.height - again.height + windows,
        unit="queries under search domains that reach CoreDNS",
        assumption=(
            f"denials are cached for their own life, at most {cap_seconds:g} s, or {ttl_seconds:g} s where it is not "
            "known; clients of one node share more"
        ),
        formula="one query per client, name, type and window of that life in which it was asked",
    )


def _sum(chains: pl.DataFrame, column: str) -> int:
    return int(chains[column].sum())
