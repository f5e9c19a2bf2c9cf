"""What a cache on the node would have answered, computed on the walks that were seen."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.dns.dns_search_chain.walks import Walks
from analyzer.facts.codes import CODE, pair
from analyzer.model import Saving


def node_local(walks: Walks, ttl_seconds: float, cap_seconds: float) -> Saving | None:
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
