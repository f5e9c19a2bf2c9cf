"""Which classes of answers a CoreDNS log holds: without its successes, no share of all queries can be told.

The log plugin can be told to write denials and errors only (`class denial error`, plugin/log). Nothing in the log says
so, but a cluster that denies a hundred names also answers some: whoever walks search domains ends at the name itself.
"""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.frames import COREDNS_QUERIES, NO_REPLY, Col, Table
from analyzer.frames.contract import PLACE

LOG_CLASSES = Table(
    "dns_log_classes",
    "One row per CoreDNS log and pod: what its answers to A queries were. `number` is its first query.",
    (
        *PLACE,
        Col("pod", pl.String(), "Pod that wrote it, where the wrapper names it."),
        Col("queries", pl.Int64(), "All queries logged."),
        Col("address_queries", pl.Int64(), "Queries for A among them."),
        Col("successes", pl.Int64(), "NOERROR among these, which may be NODATA."),
        Col("denials", pl.Int64(), "NXDOMAIN among these."),
        Col("unanswered", pl.Int64(), "NO_REPLY among these."),
        Col(
            "filtered",
            pl.Boolean(),
            "Whether successes are missing: at least 100 A queries, some denied, at most 1 % with NOERROR.",
        ),
    ),
)


def _derive(frames: Frames) -> pl.LazyFrame:
    # Late, so that who reads captures only does not wait for the reader of logs.
    from analyzer.sources.coredns.tally import ENOUGH_QUERIES, FEW_SUCCESSES

    address, rcode = pl.col("qtype") == "A", pl.col("rcode")

    def count(condition: pl.Expr) -> pl.Expr:
        return (address & condition).sum().cast(pl.Int64)

    few = pl.col("successes") <= FEW_SUCCESSES * pl.col("address_queries")
    return (
        frames[COREDNS_QUERIES]
        .group_by("source", "pod")
        .agg(
            pl.col("time").min(),
            pl.col("number").min(),
            queries=pl.len().cast(pl.Int64),
            address_queries=count(pl.lit(True)),
            successes=count(rcode == "NOERROR"),
            denials=count(rcode == "NXDOMAIN"),
            unanswered=count(rcode == NO_REPLY),
        )
        .with_columns(filtered=(pl.col("address_queries") >= ENOUGH_QUERIES) & (pl.col("denials") > 0) & few)
        .sort("source", "number")
        .select(list(LOG_CLASSES.schema))
    )


DNS_LOG_CLASSES = Fact(table=LOG_CLASSES, needs_any=((COREDNS_QUERIES,),), derive=_derive)
