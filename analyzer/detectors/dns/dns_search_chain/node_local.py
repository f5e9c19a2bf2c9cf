"""What a cache on the node would have answered, computed on the walks that were seen."""

from __future__ import annotations

import numpy as np
import polars as pl

from analyzer.detectors.dns.dns_search_chain.walks import Walks
from analyzer.facts.codes import CODE, pair
from analyzer.facts.neighbours import begins, by_digits
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
            pl.col("time").to_physical(),
            told=pl.col("negative_ttl").is_not_null(),
            life=pl.col("negative_ttl").cast(pl.Float64).fill_null(ttl_seconds),
            key=pl.col("place").cast(pl.UInt64) * (1 << 32) + qtype,
        )
    )
    if not asked.height:
        return None
    return Saving(
        fix="NodeLocal DNSCache",
        observed=asked.height,
        modelled=_windows(asked, cap_seconds),
        unit="queries",
        assumption=(
            "Counts what was asked under search domains and reaches CoreDNS. "
            f"{_life(asked['told'], ttl_seconds)}, at most {cap_seconds:g} s. Counted for each client alone; the "
            "clients of one node share more."
        ),
        formula="one query per client, name, type and window of that life in which it was asked",
    )


def _life(told: pl.Series, ttl_seconds: float) -> str:
    """How long denials are kept. A log never tells it; RFC 2308 puts it into the SOA record of the answer."""
    assumed = f"the {ttl_seconds:g} s of CoreDNS's kubernetes plugin are assumed"
    if not told.any():
        return f"How long a denial may be kept is not known, as a log does not tell it: {assumed}"
    rest = f"; of {int((~told).sum()):,} that do not tell it {assumed}" if not told.all() else ""
    return f"Denials are kept for the life that their SOA record gives them (RFC 2308){rest}"


def _windows(asked: pl.DataFrame, cap_seconds: float) -> int:
    """How many windows of its life each key was asked in, from its first query on, in all; times in order."""
    order = by_digits(asked["key"].to_numpy())
    key, time, life = (asked[name].to_numpy()[order] for name in ("key", "time", "life"))
    new = begins(key)
    first = np.flatnonzero(new)
    nth = np.cumsum(new) - 1
    least = np.clip(np.minimum.reduceat(life, first), 0.001, cap_seconds)
    window = np.floor((time - time[first][nth]) / 1e6 / least[nth])
    new[1:] |= window[1:] != window[:-1]
    return int(new.sum())
