"""The queries of clients that count, with their texts as codes: made once for all that joins, sorts and groups them."""

from __future__ import annotations

import polars as pl

from analyzer.facts.codes import CODE
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.dns import DNS_TRANSACTIONS, TRANSACTIONS
from analyzer.frames import Table

_CODED = ("client", "name", "qtype", "rcode")
_LEFT = {"hop", "covered", "server_port", "transport", "answer_number"}

QUERIES = Table(
    "dns_client_queries",
    "One row per DNS query of a client that no other row covers, retries included, in the order of dns_transactions.",
    tuple(
        type(col)(col.name, CODE if col.name in _CODED else col.dtype, col.doc)
        for col in TRANSACTIONS.cols
        if col.name not in _LEFT
    ),
)


def _derive(frames: Frames) -> pl.LazyFrame:
    counted = frames[DNS_TRANSACTIONS].filter(pl.col("hop") == "client", ~pl.col("covered"))
    return counted.select(list(QUERIES.schema)).with_columns(pl.col(_CODED).cast(CODE))


DNS_CLIENT_QUERIES = Fact(table=QUERIES, needs_any=((DNS_TRANSACTIONS,),), derive=_derive)
