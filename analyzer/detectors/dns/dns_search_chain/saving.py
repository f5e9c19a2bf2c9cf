"""What other settings would have cost, computed on the walks that were seen."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.dns.dns_search_chain.node_local import node_local
from analyzer.detectors.dns.dns_search_chain.walks import Walks
from analyzer.facts.codes import pair
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
    cached = node_local(walks, ttl_seconds, cap_seconds)
    return (other, dot, autopath, *((cached,) if cached else ()))


def _sum(chains: pl.DataFrame, column: str) -> int:
    return int(chains[column].sum())
