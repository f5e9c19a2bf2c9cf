"""What would have been asked upstream under other settings: the window's own queries, replayed."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.dns.dns_upstream_throttle.windows import Window
from analyzer.facts.dns_replay import LIFE, LIFE_MOST, fetches, lives
from analyzer.model import Saving


def savings(window: Window, ttls: pl.DataFrame | None) -> tuple[Saving, ...]:
    """The replay through a cache first, then the ways without search domains and without autopath; none without times.

    Replayed is what CoreDNS was seen to ask upstream, else what clients asked it to hand on.
    """
    seen = window.seen
    own = seen.upstream if seen.upstream.height else seen.asked
    queries = own.filter(pl.col("time").is_not_null(), ~pl.col("retry")).sort("time", "source", "number")
    if not queries.height or not (seen.complete or seen.upstream.height):
        return ()
    whose = "CoreDNS's own queries" if seen.upstream.height else "the queries that CoreDNS hands on"
    kept = lives(queries, ttls)
    found = [_cached(kept, whose)]
    searched = queries.filter(seen.zones.searched("name")).height if seen.zones.hosts else 0
    if searched:
        found.append(
            Saving(
                fix="no search chains",
                observed=queries.height,
                modelled=queries.height - searched,
                unit="queries",
                assumption="outside names are asked as they stand (ndots:1, a final dot), never under a host's domain",
                formula=f"{whose} without those under {' and '.join(seen.zones.hosts)}",
            )
        )
    asked = seen.asked.filter(pl.col("time").is_not_null(), ~pl.col("retry")).sort("time", "source", "number")
    if asked["name"].is_in(seen.zones.completed.implode()).any():
        found.append(_without_autopath(lives(asked, ttls), window))
    return tuple(found)


def _cached(kept: pl.DataFrame, whose: str) -> Saving:
    share = float(kept["known"].mean() or 0)  # type: ignore[arg-type]
    return Saving(
        fix=f"cache {LIFE}",
        observed=kept.height,
        modelled=int(fetches(kept)["asked"].sum()),
        unit="queries",
        assumption=(
            f"{whose} go through one cache that keeps each answer for its own life, at most {LIFE_MOST} s; {share:.0%} "
            f"of the answers tell theirs, the others are taken to live {LIFE} s; failures are not kept"
        ),
        formula="per name and type: one query, then none until its answer's life is over",
    )


def _without_autopath(kept: pl.DataFrame, window: Window) -> Saving:
    """Forwarded queries of clients with the name alone as the cache's key."""
    apart, together = fetches(kept), fetches(kept.with_columns(name=window.seen.zones.base("name")))
    return Saving(
        fix="autopath off",
        observed=int(apart["asked"].sum()),
        modelled=int(together["asked"].sum()),
        unit="queries",
        assumption=(
            "the cache stands before autopath and keeps each searched name by itself (plugin.cfg before CoreDNS 1.14); "
            "without autopath all namespaces share one entry for the name that is asked upstream"
        ),
        formula="replay keyed by the searched name against replay keyed by the name without the cluster's domains",
    )
