"""The names that each client asked for, each once, and how they read as names of services."""

from __future__ import annotations

import polars as pl

from analyzer.facts.codes import CODE, pair
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.dns_queries import DNS_CLIENT_QUERIES
from analyzer.frames import Col, Table
from analyzer.frames.contract import PLACE

SERVICE_NAME = r"^(.+)\.([^.]+)\.svc\.([^.].*)$"
"""NAME, namespace and cluster domain; the domain need not be cluster.local. Of several `svc` the last one counts."""

NAMES = Table(
    "dns_asked_names",
    "One row per client and name that it asked for: the first query, in the order of time, source and number.",
    (
        *PLACE,
        Col("client", CODE, "Address that asked."),
        Col("name", CODE, "Question name."),
        Col("base", CODE, "NAME where the name reads as NAME.NAMESPACE.svc.DOMAIN; null in the other rows."),
        Col("namespace", CODE, "NAMESPACE of such a name."),
        Col("cluster_domain", CODE, "DOMAIN of such a name."),
    ),
)


def _derive(frames: Frames) -> pl.LazyFrame:
    # They are in the order of time, source and number, so that the first row of a name is its first query.
    asked = (
        frames[DNS_CLIENT_QUERIES]
        .select(*(col.name for col in PLACE), "client", "name")
        .filter(pair("client", "name").is_first_distinct())
        .collect()
    )
    text = pl.col("text")
    parts = text.str.extract_groups(SERVICE_NAME).struct
    # Each name is taken apart once, however many clients asked for it.
    served = (
        asked.select(pl.col("name").unique())
        .with_columns(text=pl.col("name").cast(pl.String))
        .filter(text.str.contains(".svc.", literal=True))
        .select(
            "name", base=parts["1"].cast(CODE), namespace=parts["2"].cast(CODE), cluster_domain=parts["3"].cast(CODE)
        )
        .filter(pl.col("base").is_not_null())
    )
    return asked.join(served, on="name", how="left", maintain_order="left").lazy()


DNS_ASKED_NAMES = Fact(table=NAMES, needs_any=((DNS_CLIENT_QUERIES,),), derive=_derive)
