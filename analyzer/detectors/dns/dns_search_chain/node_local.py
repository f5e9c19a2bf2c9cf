"""What a cache on the node would have answered, computed on the walks that were seen."""

from __future__ import annotations

import numpy as np
import polars as pl
from msgspec import Struct

from analyzer.detectors.dns.dns_search_chain.walks import Walks
from analyzer.facts.codes import CODE, pair
from analyzer.facts.neighbours import begins, by_digits
from analyzer.model import Saving


class Caches(Struct, frozen=True):
    """`hits`, a row per client: observed (queries), modelled (those that would still be asked), told (queries whose
    answer says how long it may be kept)."""

    hits: pl.DataFrame
    ttl_seconds: float
    cap_seconds: float

    def saving(self, walks: Walks) -> Saving | None:
        """What they would save these clients; None where they have one already, or nothing can be kept."""
        mine = self.hits.filter(pl.col("client").is_in(walks.clients["client"].implode()))
        if walks.cached or not mine.height:
            return None
        observed, modelled, told = (int(mine[name].sum()) for name in ("observed", "modelled", "told"))
        return Saving(
            fix="NodeLocal DNSCache",
            observed=observed,
            modelled=modelled,
            unit="queries",
            assumption=(
                "Counts what was asked under search domains and reaches CoreDNS. "
                f"{_life(told, observed - told, self.ttl_seconds)}, at most {self.cap_seconds:g} s. Counted for each "
                "client alone; the clients of one node share more."
            ),
            formula="one query per client, name, type and window of that life in which it was asked",
        )


def node_local(walks: Walks, ttl_seconds: float, cap_seconds: float) -> Caches:
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
        .select("time", "client", "qtype", "negative_ttl", pair=pair("client", "name"))
        .join(names, on="pair")
        .select(
            pl.col("time").to_physical(),
            "client",
            told=pl.col("negative_ttl").is_not_null(),
            life=pl.col("negative_ttl").cast(pl.Float64).fill_null(ttl_seconds),
            key=pl.col("place").cast(pl.UInt64) * (1 << 32) + qtype,
        )
    )
    hits = (
        asked.select("client", "told", modelled=_windows(asked, cap_seconds))
        .lazy()
        .group_by("client")
        .agg(pl.len().cast(pl.Int64).alias("observed"), pl.col("modelled", "told").sum().cast(pl.Int64))
        .with_columns(pl.col("client").cast(pl.String))
    )
    return Caches(hits.collect(), ttl_seconds, cap_seconds)


def _life(told: int, untold: int, ttl_seconds: float) -> str:
    """How long denials are kept. A log never tells it; RFC 2308 puts it into the SOA record of the answer."""
    assumed = f"the {ttl_seconds:g} s of CoreDNS's kubernetes plugin are assumed"
    if not told:
        return f"How long a denial may be kept is not known, as a log does not tell it: {assumed}"
    rest = f"; of {untold:,} that do not tell it {assumed}" if untold else ""
    return f"Denials are kept for the life that their SOA record gives them (RFC 2308){rest}"


def _windows(asked: pl.DataFrame, cap_seconds: float) -> pl.Series:
    """Which queries are the first of a window of their key's life, from its first query on; times in order."""
    order = by_digits(asked["key"].to_numpy())
    key, time, life = (asked[name].to_numpy()[order] for name in ("key", "time", "life"))
    new = begins(key)
    first = np.flatnonzero(new)
    nth = np.cumsum(new) - 1
    least = np.clip(np.minimum.reduceat(life, first), 0.001, cap_seconds)
    window = np.floor((time - time[first][nth]) / 1e6 / least[nth])
    new[1:] |= window[1:] != window[:-1]
    begun = np.empty(len(new), bool)
    begun[order] = new
    return pl.Series(begun)
