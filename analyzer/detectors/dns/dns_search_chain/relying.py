"""Names that the search list completes, and what lower ndots would do to them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from msgspec import Struct

from analyzer.detectors.dns.dns_search_chain.resolvers import searching
from analyzer.detectors.dns.dns_search_chain.walks import Walks, collected, in_own_namespace
from analyzer.facts.codes import pair

_COLUMNS = ["client", "base", "dots", "lookups", "wasted", "found_under", "first"]


class Relying(Struct, frozen=True, kw_only=True):
    """`names`: client, base, dots, lookups, wasted (queries in vain), found_under (null: as it stands), first (it was
    asked as it stands first already), searches and because (as of the client's resolver); the most lookups first.
    `dotted` are those of a dot or more that no answer came for but under a search domain."""

    names: pl.DataFrame
    dotted: pl.DataFrame

    def of(self, clients: Sequence[str]) -> Relying:
        """The same for those clients only."""
        mine = pl.col("client").is_in(list(clients))
        names, dotted = collected(frame.lazy().filter(mine) for frame in (self.names, self.dotted))
        return Relying(names=names, dotted=dotted)

    @property
    def ndots(self) -> int:
        """The advised value: `payments.shop` must still be searched first."""
        return 2 if self.dotted.height else 1

    def changed(self, ndots: int) -> pl.DataFrame:
        """Those of them that this ndots would have asked as they stand first."""
        return self.dotted.filter(pl.col("dots") >= ndots, ~pl.col("first")) if self.dotted.height else self.dotted

    def at(self, ndots: int) -> pl.Expr:
        """What becomes of each of `names` at that ndots, in words."""
        searches = pl.col("searches")
        same = (pl.col("dots") < ndots) | pl.col("first")
        return (
            pl.when(same)
            .then(pl.lit("as now"))
            .when(pl.col("found_under").is_null())
            .then(pl.lit("found at once"))
            .when(searches)
            .then(pl.lit("one query more"))
            .when(~searches)
            .then(pl.lit("not found"))
            .otherwise(pl.lit("one query more; by musl not found"))
        )


def relying(walks: Walks) -> Relying:
    """Names that were found in the cluster or under a host's own domain. Of names under the client's own namespace it
    cannot be told whether the program wrote them in full; they are counted, which errs on the safe side."""
    inside = pl.col("kind").is_in(["in-cluster-search", "host-search"])
    found = pl.col("found_under").is_not_null() | (pl.col("absolute") > 0)
    searched = (
        walks.chains.filter(inside, found)
        .group_by("client", "base", "dots")
        .agg(
            lookups=pl.col("lookup").n_unique().cast(pl.Int64),
            wasted=pl.col("wasted").sum().cast(pl.Int64),
            found_under=pl.col("found_under").drop_nulls().first(),
            first=pl.col("absolute_first").any(),
        )
    )
    names = (
        pl.concat([searched.select(_COLUMNS), _at_the_first_domain(walks).select(_COLUMNS)])
        .group_by("client", "base", "dots")
        .agg(pl.col("lookups", "wasted").sum(), pl.col("found_under").drop_nulls().first(), pl.col("first").any())
        .sort("lookups", "client", "base", descending=[True, False, False])
    )
    known = searching(walks.of(names["client"].unique().to_list()))
    names = names.join(known, on="client", how="left", maintain_order="left")
    return Relying(names=names, dotted=names.filter(pl.col("found_under").is_not_null(), pl.col("dots") > 0))


def _at_the_first_domain(walks: Walks) -> pl.DataFrame:
    """Dotted names that the first search domain completed, as `db-0.db`: no walk, but they rely on the list."""
    answered = walks.asked.filter(pl.col("rcode") == "NOERROR")
    # Each name is looked at once, however often it was asked.
    names = answered.select(pl.col("name").unique())
    served = names.filter(pl.col("name").cast(pl.String).str.contains(".svc.", literal=True))
    found = (
        answered.filter(pl.col("name").is_in(served["name"].implode()))
        .group_by(pair("client", "name").alias("key"), "qtype")
        .agg(pl.col("client", "name").first().cast(pl.String), lookups=pl.len().cast(pl.Int64))
        .group_by("client", "name")
        .agg(pl.col("lookups").max())
    )
    return (
        in_own_namespace(found, walks, how="inner")
        .with_columns(wasted=pl.lit(0, pl.Int64), first=pl.lit(False))
        .with_columns(dots=pl.col("base").str.count_matches(".", literal=True).cast(pl.Int32))
        .filter(pl.col("dots") > 0)
        .join(walks.autopath.select("client", "base"), on=["client", "base"], how="anti")
    )
