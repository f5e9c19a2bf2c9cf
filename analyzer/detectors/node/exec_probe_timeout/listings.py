"""Defunct processes that saved process listings show, by parent."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.facts.contract import Frames
from analyzer.facts.node_names import short_node
from analyzer.frames import PROCESSES, empty

ZOMBIE = "Z"
MOST = 500
"""Listings that are looked at; who saved one a minute saved eight hours."""

_LISTING = ["source", "listing"]


class Listing(Struct, frozen=True, kw_only=True):
    """A listing, its defunct processes with their parents, and the containers whose processes it shows."""

    source: str
    time: datetime | None
    host: str | None
    defunct: pl.DataFrame
    shown: frozenset[str]


def listings(frames: Frames) -> list[Listing]:
    """The MOST listings that show most defunct processes."""
    rows = frames[PROCESSES] if PROCESSES in frames else empty(PROCESSES).lazy()
    parents = rows.select(
        *_LISTING,
        ppid="pid",
        parent="command",
        parent_number="number",
        parent_container="container_id",
    ).unique([*_LISTING, "ppid"], keep="first", maintain_order=True)
    defunct = rows.filter(pl.col("state") == ZOMBIE).join(parents, on=[*_LISTING, "ppid"], how="left")
    ids = pl.col("container_id").drop_nulls().unique()
    each = (
        rows.group_by(_LISTING)
        .agg(pl.col("time", "host").first(), shown=ids, count=(pl.col("state") == ZOMBIE).sum())
        .sort("count", *_LISTING, descending=[True, False, False])
        .head(MOST)
        .collect()
    )
    found = defunct.sort("source", "number").collect().partition_by(_LISTING, as_dict=True)
    none = defunct.head(0).collect()
    return [
        Listing(
            source=source,
            time=time,
            host=host,
            defunct=found.get((source, listing), none),
            shown=frozenset(shown),
        )
        for source, listing, time, host, shown in each.with_columns(host=short_node(pl.col("host")))
        .drop("count")
        .select(*_LISTING, "time", "host", "shown")
        .iter_rows()
    ]


def by_parent(defunct: pl.DataFrame) -> pl.DataFrame:
    """`ppid`, `parent`, `parent_number`, `defunct`, `names` and `first` (lines of the parent and of the first), most
    first."""
    return (
        defunct.group_by("ppid")
        .agg(
            pl.col("parent", "parent_number").first(),
            defunct=pl.len(),
            names=pl.col("command").drop_nulls().unique().sort().head(3).str.join(", "),
            first=pl.col("number").min(),
        )
        .sort("defunct", "ppid", descending=[True, False], nulls_last=True)
    )
