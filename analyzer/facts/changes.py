"""Of the change ledger what somebody wanted: writes by other than the control plane, for the account of an incident."""

from __future__ import annotations

import polars as pl

from analyzer.facts.change_ledger import CHANGE_LEDGER
from analyzer.facts.contract import Fact, Frames
from analyzer.frames import Col, Table
from analyzer.frames.contract import PLACE

ALWAYS_BUSY = ("pods",)
"""Resources of the ledger that come and go by themselves: what their owners do is told by the owners."""

_TABLE = Table(
    "changes",
    "One row per successful write to an object whose change can start an incident, by other than the control plane.",
    (
        *PLACE,
        Col("actor", pl.String(), "user.username of the writer."),
        Col("agent", pl.String(), "User agent family of the writer."),
        Col("verb", pl.String(), "create, update, patch, delete or deletecollection."),
        Col("resource", pl.String(), "Plural resource, with its subresource after a slash."),
        Col("namespace", pl.String(), "Namespace; null if cluster-wide."),
        Col("name", pl.String(), "Object name; null where the server generated it."),
        Col("details", pl.String(), "What changed, as far as bodies tell; null if nothing is known."),
    ),
)


def _derive(frames: Frames) -> pl.LazyFrame:
    part = pl.col("subresource")
    return (
        frames[CHANGE_LEDGER]
        .filter(
            ~pl.col("routine"),
            ~pl.col("resource").is_in(ALWAYS_BUSY),
            part.is_null() | (part == "scale").fill_null(True),
        )
        .with_columns(pl.concat_str("resource", "subresource", separator="/", ignore_nulls=True).alias("resource"))
        .select(list(_TABLE.schema))
        .sort("time", "source", "number")
    )


CHANGES = Fact(table=_TABLE, needs_any=((CHANGE_LEDGER,),), derive=_derive)
