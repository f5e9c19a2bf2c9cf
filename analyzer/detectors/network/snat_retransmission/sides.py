"""Both sides of address translation: which of the lost SYNs a capture behind the node has seen.

Source NAT changes the client's address and port and leaves the sequence number as it is (RFC 3022, section 4.1), so one
attempt is told on both sides by its server, port and initial sequence number.
"""

from __future__ import annotations

import polars as pl
from msgspec import Struct

SYN = ["server", "server_port", "client_isn"]


class Sides(Struct, frozen=True, kw_only=True):
    """Lost SYNs of attempts that are seen on both sides: those that never left the node, and those that did."""

    stayed: int = 0
    left: int = 0
    source: str = ""
    """The capture behind the translation; of several, the one that holds most."""
    isn: int | None = None
    """Initial sequence number of the first attempt of which a SYN stayed; else of one of which a SYN left."""

    @property
    def behind(self) -> bool:
        """Most of the lost SYNs were on the way when they were lost."""
        return self.left > self.stayed

    @property
    def within(self) -> bool:
        return self.stayed > 0 and not self.behind


def first_side(rows: pl.DataFrame) -> pl.Expr:
    """False for an attempt that the same capture shows once more, under another client: it was translated between two
    of its interfaces. `rows` are in order of time."""
    earlier = pl.col("client").first().over("source", *SYN)
    return pl.col("client_isn").is_null() | (pl.col("client") == earlier)


def sides(outside: pl.DataFrame, connections: pl.LazyFrame) -> Sides:
    """What became of the lost SYNs of the connections `outside`, by those of all captures, covered ones too."""
    near = outside.filter("retried", pl.col("client_isn").is_not_null())
    if near.is_empty():
        return Sides()
    seen = connections.filter(pl.col("syns") > 0)
    far = seen.select(*SYN, seen_syns="syns", seen_as="client", there="source").collect()
    met = near.join(far, on=SYN, maintain_order="left_right").filter(pl.col("client") != pl.col("seen_as"))
    # The farthest of several captures has the fewest: what it has was lost behind it.
    each = met.group_by("source", "connection", maintain_order=True).agg(
        pl.col("client_isn").first(),
        pl.col("there").sort_by("seen_syns", "there").first(),
        # The last SYN is the one that was answered; where none was, all are lost.
        lost=pl.col("syns").first() - pl.col("answers").first().cast(pl.Int64),
        stayed=(pl.col("syns") - pl.col("seen_syns").min()).clip(0).first(),
    )
    if each.is_empty():
        return Sides()
    stayed = int(each["stayed"].sum())
    shown = each.sort(pl.col("stayed") == 0, maintain_order=True)
    return Sides(
        stayed=stayed,
        left=max(int(each["lost"].sum()) - stayed, 0),
        source=str(each["there"].mode().sort()[0]),
        isn=int(shown["client_isn"][0]),
    )
