"""What other settings would have cost, computed on the walks that were seen."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.dns.dns_search_chain.node_local import Caches
from analyzer.detectors.dns.dns_search_chain.relying import Relying
from analyzer.detectors.dns.dns_search_chain.walks import Walks
from analyzer.model import Saving

DOT = "final dot"


NDOTS = (1, 2)
"""Values of ndots that are weighed: with 3 and more, names as `payments.shop.svc` would still be searched first."""


def reckoned(chains: pl.DataFrame) -> pl.DataFrame:
    """What the sums below are made of, a row per client: `absolute` counts queries for outside names as they stand,
    `bare` the same with one where a log leaves it out or the walk broke off; with ndots n, `vain_n` counts the wasted
    queries for outside names that remain, and `gain_n` the walks of other names that gain a query."""
    outside, dots = pl.col("kind") == "external", pl.col("dots")
    gains = (
        pl.col("kind").is_in(["in-cluster-search", "host-search"])
        & pl.col("found_under").is_not_null()
        & ~pl.col("absolute_first")
    )
    each = chains.lazy().select(
        "client",
        absolute=outside * pl.col("absolute").cast(pl.Int64),
        bare=outside * pl.col("absolute").clip(lower_bound=1).cast(pl.Int64),
        **{f"vain_{n}": (outside & (dots < n)) * pl.col("wasted").cast(pl.Int64) for n in NDOTS},
        **{f"gain_{n}": (gains & (dots >= n)).cast(pl.Int64) for n in NDOTS},
    )
    return each.group_by("client").agg(pl.all().sum()).collect()


def ways(walks: Walks, names: Relying, caches: Caches) -> tuple[Saving, ...]:
    """Every way out, each with how it was reckoned; first the advised ndots, or the final dot where it saves nothing.

    Where a server or a cache does a thing already, it saves no more.
    """
    advised, other = (_ndots(walks, names, ndots) for ndots in (names.ndots, 3 - names.ndots))
    dot = _final_dot(walks)
    first = (advised, other, dot) if advised.modelled < advised.observed else (dot, advised, other)
    more = []
    if walks.autopath.is_empty():
        more.append(_autopath(walks))
    if cached := caches.saving(walks):
        more.append(cached)
    return (*first, *more)


def _observed(walks: Walks) -> int:
    return _sum(walks, "wasted") + _sum(walks, "absolute")


def _ndots(walks: Walks, names: Relying, ndots: int) -> Saving:
    gained = _sum(walks, f"gain_{ndots}")
    dotted = f"{ndots} dots" if ndots > 1 else "a dot"
    more = f" {gained:,} walks of names that the search list completes gain one query." if gained else ""
    return Saving(
        fix=f"ndots:{ndots}",
        observed=_observed(walks),
        modelled=_sum(walks, "bare") + _sum(walks, f"vain_{ndots}") + gained,
        unit="queries",
        assumption=f"Names of at least {dotted} are asked as they stand first.{more} {_risk(names.changed(ndots))}",
        formula=(
            f"sum over walks of outside names: 1 where dots >= {ndots}, else domains + 1; "
            "plus 1 per walk of an in-cluster name of so many dots"
        ),
    )


def _risk(changed: pl.DataFrame) -> str:
    """What becomes of the names that would be asked as they stand first, the worst of it."""
    fails = changed.filter(~pl.col("searches").fill_null(True))
    if fails.height:
        count = int(fails["lookups"].sum())
        return (
            f"Lookups of names such as {fails['base'][0]} would fail ({count:,}): their resolver does not search then."
        )
    unknown = changed.filter(pl.col("searches").is_null())
    if unknown.height:
        return (
            "glibc and Go fall back to the search list after a failed first try; musl does not, and lookups of names "
            f"such as {unknown['base'][0]} ({unknown['lookups'].sum():,}) fail there."
        )
    return "No name that was seen would fail."


def _final_dot(walks: Walks) -> Saving:
    return Saving(
        fix=DOT,
        observed=_observed(walks),
        modelled=_sum(walks, "bare"),
        unit="queries",
        assumption="Every outside name is written with a final dot; names of the cluster stay as they are.",
        formula="one query per walk instead of domains + 1",
    )


def _autopath(walks: Walks) -> Saving:
    return Saving(
        fix="autopath",
        observed=_observed(walks),
        modelled=walks.external.height,
        unit="queries",
        assumption="CoreDNS answers the first query of each walk; what it asks upstream stays the same.",
        formula="one query per walk seen by the client",
    )


def _sum(walks: Walks, column: str) -> int:
    return int(walks.clients[column].sum())
