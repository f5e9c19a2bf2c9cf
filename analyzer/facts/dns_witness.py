"""What CoreDNS's log says of the queries that a capture shows without an answer."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from msgspec import Struct

WHOLE = 0.9
"""Share of the answered queries that a log must hold before what it lacks means anything: one of several CoreDNS pods
logs a part of them."""

NEAR = timedelta(seconds=4)
"""A line this close to a query is about it, and not about the same socket asking again 5 s later."""

TUPLE = ["client", "client_port", "dns_id", "name", "qtype"]


class Witness(Struct, frozen=True):
    """How many lost queries CoreDNS never logged, and how many it answered; both 0 where its log tells nothing."""

    before: int = 0
    after: int = 0

    @property
    def sentence(self) -> str:
        if not self.before and not self.after:
            return ""
        return f"{self.before} of the lost queries never reached CoreDNS's log, {self.after} were answered there"


def ask(lost: pl.DataFrame, answered: pl.DataFrame, logged: pl.LazyFrame | None) -> Witness:
    """Look for the lost queries in the log, if it holds what the same clients were answered in the time it covers.

    `lost` and `answered` are queries of a capture with time and the columns of TUPLE; `logged` are coredns_queries.
    """
    if logged is None or not lost.height:
        return Witness()
    own = pl.col("client").is_in(lost["client"].unique().implode())
    lines = logged.filter(own).select(*TUPLE, "query_time").collect()
    first, last = lines["query_time"].min(), lines["query_time"].max()
    if first is None:
        return Witness()
    inside = pl.col("time").is_between(first, last)
    served = answered.filter(own, inside)
    if not served.height or served.join(lines, on=TUPLE, how="semi").height < WHOLE * served.height:
        return Witness()
    known = lost.filter(inside).with_row_index("lost")
    met = known.join(lines, on=TUPLE).filter((pl.col("query_time") - pl.col("time")).abs() < NEAR)
    after = met["lost"].n_unique()
    return Witness(known.height - after, after)
