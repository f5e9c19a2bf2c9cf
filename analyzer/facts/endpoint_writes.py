"""Writes of EndpointSlices and Endpoints: when the cluster was told who serves a Service."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.requests import AUDIT_REQUESTS, meant
from analyzer.facts.workload_names import SUFFIX
from analyzer.frames import AUDIT_ADDRESSES, Col, Table, empty
from analyzer.frames.contract import PLACE

TABLE = Table(
    "endpoint_writes",
    "One row per successful write of an EndpointSlice or Endpoints object.",
    (
        *PLACE,
        Col("resource", pl.String(), "endpointslices or endpoints."),
        Col("namespace", pl.String(), "Its namespace."),
        Col("name", pl.String(), "Its name; null where the server made it and no body is logged."),
        Col("service", pl.String(), "Service by the name: an EndpointSlice's ends in five generated letters."),
        Col("addresses", pl.List(pl.String()), "Addresses in its body; empty where no body is logged."),
        Col("ready", pl.List(pl.String()), "Of these, those that are ready: others get no new connections."),
    ),
)

WRITES = ("create", "update", "patch", "delete")
_SLICE = f"^(.+)-{SUFFIX}$"
"""The controller makes them with generateName `SERVICE-` (staging/src/k8s.io/endpointslice/utils.go)."""


def _derive(frames: Frames) -> pl.LazyFrame:
    place = ["source", "number"]
    told = (
        frames.get(AUDIT_ADDRESSES, empty(AUDIT_ADDRESSES).lazy())
        .filter(pl.col("resource").is_in(["endpointslices", "endpoints"]))
        .group_by(place)
        .agg(
            pl.col("address").unique().sort().alias("addresses"),
            pl.col("address").filter(pl.col("ready").fill_null(value=True)).unique().sort().alias("ready"),
        )
    )
    name = pl.col("name")
    return (
        meant(frames[AUDIT_REQUESTS])
        .filter(
            pl.col("resource").is_in(["endpointslices", "endpoints"]),
            pl.col("verb").is_in(WRITES),
            pl.col("subresource").is_null(),
            pl.col("code").is_between(200, 299),
            pl.col("time").is_not_null(),
        )
        .join(told, on=place, how="left")
        .with_columns(
            time=pl.coalesce("end_time", "time"),
            service=pl.when(pl.col("resource") == "endpoints").then(name).otherwise(name.str.extract(_SLICE, 1)),
            addresses=pl.col("addresses").fill_null([]),
            ready=pl.col("ready").fill_null([]),
        )
        .select(list(TABLE.schema))
        .sort("time", "source", "number")
    )


ENDPOINT_WRITES = Fact(table=TABLE, needs_any=((AUDIT_REQUESTS,),), uses=(AUDIT_ADDRESSES,), derive=_derive)
