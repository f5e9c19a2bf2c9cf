"""Token requests that were lost, what they cost, and whether the service answers otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from msgspec import Struct

WAITS = timedelta(seconds=5)
"""A client that asks again only later did something else meanwhile; SDKs wait 1 s (botocore, metadata_service_timeout)
to 5 s (aws-sdk-go, for the token)."""

_EXPIRED, _EXPIRED_6 = 11, 3
"""Time exceeded in ICMP (RFC 792) and ICMPv6 (RFC 4443)."""

UNAUTHORIZED = 401
"""What EC2 answers to a request without a valid token where the instance demands one."""


class Lost(Struct, frozen=True, kw_only=True):
    """One client: `rows` are its lost token requests with `wait` in seconds (null: it did not go on at once)."""

    client: str
    rows: pl.DataFrame
    tokens: int
    others: int
    answered: int
    refused: int
    typical: float
    """Median seconds of its answered requests."""
    bounced: pl.DataFrame

    @property
    def expired(self) -> int:
        """Answers that had no hop left; each of them is sent, and dropped, more than once."""
        return self.bounced.select("source", "token").n_unique()

    @property
    def count(self) -> int:
        return self.rows.height

    @property
    def seconds(self) -> float:
        return float(self.rows["wait"].sum())

    @property
    def median(self) -> float:
        found = self.rows["wait"].median()
        return float(found) if isinstance(found, float) else 0.0

    @property
    def start(self) -> datetime:
        found: datetime = self.rows["time"].item(0)
        return found

    @property
    def end(self) -> datetime:
        found: datetime = self.rows["time"].item(-1)
        return found + timedelta(seconds=float(self.rows["wait"].fill_null(0.0).item(-1)))


def by_client(requests: pl.DataFrame, errors: pl.DataFrame | None) -> Iterator[Lost]:
    """Clients that lost tokens, in their order."""
    who = ["client", "user_agent"]
    asked = (
        requests.filter(~pl.col("covered"), pl.col("provider").is_in(["aws-v1", "aws-v2"]).fill_null(False))
        .sort("time", "source", "number")
        .with_columns(later=pl.col("time").shift(-1).over(who))
    )
    bounced = _bounced(asked, errors)
    places = bounced.select("source", number="token").unique().with_columns(returned=True)
    asked = asked.join(places, on=["source", "number"], how="left", maintain_order="left")
    returned = pl.col("returned").fill_null(False)
    lost = (pl.col("kind") == "token") & pl.col("later").is_not_null() & (pl.col("status").is_null() | returned)
    gap = pl.col("later") - pl.col("time")
    asked = asked.with_columns(
        lost=lost.fill_null(False), wait=pl.when(gap <= WAITS).then(gap.dt.total_microseconds() / 1e6)
    )
    concerned = asked.join(asked.filter("lost").select("client").unique(), on="client", how="semi")
    errors_of = bounced.partition_by("client", as_dict=True)
    for (client,), mine in sorted(concerned.partition_by("client", as_dict=True).items()):
        yield _lost(str(client), mine, mine.filter("lost"), errors_of.get((client,), bounced.clear()))


def _lost(client: str, mine: pl.DataFrame, rows: pl.DataFrame, bounced: pl.DataFrame) -> Lost:
    others = mine.filter(pl.col("kind") != "token")
    typical: Any = others["duration_seconds"].median()
    return Lost(
        client=client,
        rows=rows,
        # What came last in the capture may still be answered.
        tokens=mine.filter(pl.col("kind") == "token", pl.col("lost") | pl.col("status").is_not_null()).height,
        others=others.height,
        answered=others["status"].count(),
        refused=others.filter(pl.col("status") == UNAUTHORIZED).height,
        typical=float(typical or 0.0),
        bounced=bounced,
    )


def _bounced(asked: pl.DataFrame, errors: pl.DataFrame | None) -> pl.DataFrame:
    """Time exceeded messages about answers to token requests: `client`, `token` (its record), `source`, `number`."""
    if errors is None:
        errors = pl.DataFrame(schema=_ERROR)
    v6 = pl.col("quoted_src").str.contains(":", literal=True)
    expired = pl.col("icmp_type") == pl.when(v6).then(_EXPIRED_6).otherwise(_EXPIRED)
    told = (
        errors.filter(expired, ~pl.col("duplicate").fill_null(False))
        .select("source", "number", "time", client="quoted_dst", client_port="quoted_dst_port", server="quoted_src")
        .sort("time", "number")
    )
    tokens = asked.filter(pl.col("kind") == "token").select(
        "source", "client", "client_port", "server", "time", token="number"
    )
    found = told.join_asof(
        tokens.sort("time", "token"),
        on="time",
        by=["source", "client", "client_port", "server"],
        strategy="backward",
        tolerance=WAITS,
        check_sortedness=False,
    ).filter(pl.col("token").is_not_null())
    return found.select("client", "source", "token", "number", "time")


_ERROR = {
    "source": pl.String(),
    "number": pl.Int64(),
    "time": pl.Datetime("us", "UTC"),
    "icmp_type": pl.Int16(),
    "duplicate": pl.Boolean(),
    "quoted_src": pl.String(),
    "quoted_dst": pl.String(),
    "quoted_dst_port": pl.Int32(),
}
