"""What CoreDNS's log says of the queries that a capture shows without an answer."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from analyzer.detectors.dns.dns_client_timeout.measure import Losses

WHOLE = 0.9
"""Share of a client's answered queries that a log must hold before what it lacks means anything: one of several
CoreDNS pods logs a part of them."""

TUPLE = ["client", "client_port", "dns_id", "name", "qtype"]


@dataclass(frozen=True, slots=True)
class Witness:
    """How many lost queries CoreDNS never logged, and how many it answered; both 0 where its log tells nothing."""

    before: int = 0
    after: int = 0

    @property
    def sentence(self) -> str:
        if not self.before and not self.after:
            return ""
        return f"{self.before} of the lost queries never reached CoreDNS's log, {self.after} were answered there"


def ask(losses: Losses, queries: pl.DataFrame, logged: pl.LazyFrame | None) -> Witness:
    """Look for the lost queries in the log, if it holds what the client was answered in the time that it covers."""
    if logged is None:
        return Witness()
    lines = logged.filter(pl.col("client") == losses.client).select(*TUPLE, "query_time").collect()
    span = lines["query_time"].min(), lines["query_time"].max()
    if span[0] is None:
        return Witness()
    inside = pl.col("time").is_between(*span)
    answered = queries.filter(pl.col("client") == losses.client, inside, pl.col("answered").is_not_null())
    if not answered.height or answered.join(lines, on=TUPLE, how="semi").height < WHOLE * answered.height:
        return Witness()
    lost = losses.pairs.filter(inside)
    # A retry of the same socket carries the same id: a line counts if it was written before that.
    met = lost.join(lines, on=TUPLE, how="inner").filter(pl.col("query_time") < pl.col("again"))
    after = met.select("source", "number").unique().height
    return Witness(lost.height - after, after)
