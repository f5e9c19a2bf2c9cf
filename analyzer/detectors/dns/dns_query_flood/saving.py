"""What a cache in the client would have saved."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.dns.dns_query_flood.measure import Flood
from analyzer.facts.dns_replay import LIFE, LIFE_MOST
from analyzer.model import Saving


def saving(flood: Flood, queries: pl.DataFrame, replayed: pl.DataFrame) -> Saving:
    share = float(queries["known"].mean() or 0)  # type: ignore[arg-type]
    return Saving(
        fix="cache in the client",
        observed=flood.queries.height,
        modelled=int(replayed["asked"].sum()),
        unit="queries",
        assumption=(
            f"the client keeps each answer for its own life, at most {LIFE_MOST} s; {share:.0%} of the answers tell "
            f"theirs, the others are taken to live {LIFE} s; failures are not kept"
        ),
        formula="per name and type: one query, then none until its answer's life is over",
    )
