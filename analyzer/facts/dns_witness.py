"""What became of the queries that a capture shows without an answer: by CoreDNS's log, by what it asked upstream."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from msgspec import Struct

from analyzer.facts.contract import Frames
from analyzer.facts.dns_hops import DNS_HOPS
from analyzer.frames import NO_REPLY
from analyzer.model import Figure

WHOLE = 0.9
"""Share of the answered queries that a log must hold before what it lacks means anything: one of several CoreDNS pods
logs a part of them."""

NEAR = timedelta(seconds=4)
"""A line so close to a query may be about it; it is about the nearest of those that are alike, for a socket may ask the
same again, musl after 2.5 s."""

FAILED = (NO_REPLY, "SERVFAIL", "REFUSED")
"""What CoreDNS logs of a query that it could not answer: its upstream failed it, or it is in trouble itself."""

TUPLE = ["client", "client_port", "dns_id", "name", "qtype"]


class Witness(Struct, frozen=True):
    """How many lost queries CoreDNS never logged, answered, and could not answer; all 0 where its log tells nothing."""

    before: int = 0
    after: int = 0
    failed: int = 0

    @property
    def sentence(self) -> str:
        if not self.before and not self.after and not self.failed:
            return ""
        told = f"{self.before:,} of the lost queries never reached CoreDNS's log, {self.after:,} were answered there"
        return f"{told}, {self.failed:,} failed there" if self.failed else told

    @property
    def figures(self) -> tuple[Figure, ...]:
        counts = (
            ("lost before CoreDNS", self.before),
            ("lost on the way back", self.after),
            ("failed in CoreDNS", self.failed),
        )
        return tuple(Figure(name=name, value=value, unit="queries") for name, value in counts if self.sentence)


def ask(lost: pl.DataFrame, answered: pl.DataFrame, logged: pl.LazyFrame | None) -> Witness:
    """Look for the lost queries in the log, if it holds what the same clients were answered in the time it covers.

    `lost` and `answered` are queries of a capture with time and the columns of TUPLE; `logged` are coredns_queries.
    """
    if logged is None or not lost.height:
        return Witness()
    own = pl.col("client").is_in(lost["client"].unique().implode())
    lines = logged.filter(own).select(*TUPLE, "query_time", "rcode").collect()
    first, last = lines["query_time"].min(), lines["query_time"].max()
    if first is None:
        return Witness()
    inside = pl.col("time").is_between(first, last)
    served = answered.filter(own, inside)
    if not served.height or served.join(lines, on=TUPLE, how="semi").height < WHOLE * served.height:
        return Witness()
    known = lost.filter(inside).select("time", *TUPLE).with_row_index("lost")
    asked = pl.concat([known, served.select("time", *TUPLE)], how="diagonal")
    met = (
        lines.filter(pl.col("query_time").is_not_null())
        .sort("query_time")
        .join_asof(
            asked.sort("time"),
            left_on="query_time",
            right_on="time",
            by=TUPLE,
            strategy="nearest",
            tolerance=NEAR,
            check_sortedness=False,
        )
        .filter(pl.col("lost").is_not_null())
        .group_by("lost")
        .agg(answered=(~pl.col("rcode").is_in(FAILED)).any())
    )
    after = int(met["answered"].sum())
    return Witness(known.height - met.height, after, met.height - after)


def failed_behind(queries: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """Those of the queries that reached their server: it was seen to ask others for them, in vain."""
    if DNS_HOPS not in frames:
        return queries.clear()
    behind = frames[DNS_HOPS].filter("forwarded", pl.col("rcode") == NO_REPLY).select("source", "number").collect()
    if behind.is_empty():  # the usual case, and joining all queries with nothing takes its time
        return queries.clear()
    return queries.join(behind, on=["source", "number"], how="semi", maintain_order="left")
