"""Attempts to connect to the outside, each once."""

from __future__ import annotations

import polars as pl

from analyzer.facts.address_space import with_sides
from analyzer.facts.connection_attempts import CONNECTION_ATTEMPTS, FAILED, UNDECIDED
from analyzer.facts.contract import Frames
from analyzer.facts.tcp_connections import TCP_CONNECTIONS

SYN = ["server", "server_port", "client_isn"]
"""What source translation leaves as it was (RFC 3022, 4.1): by these a SYN is known before it and behind it."""


def attempts(frames: Frames) -> pl.DataFrame:
    """Attempts by addresses within to endpoints outside, in the order of time, with `failed`.

    Of one that nobody answered, a capture before the node's translation and one behind it have a row each. The one of
    the capture that knows more clients of the endpoint counts: behind, all of them have one address.
    """
    begun = frames[TCP_CONNECTIONS].select("source", "number", "client_isn")
    rows = (
        frames[CONNECTION_ATTEMPTS]
        .filter(pl.col("outcome") != UNDECIDED, pl.col("time").is_not_null(), pl.col("server_port").is_not_null())
        .with_columns(failed=pl.col("outcome").is_in(FAILED))
        .join(begun, on=["source", "number"], how="left")
        .collect()
    )
    outside = with_sides(rows, frames).filter(pl.col("client_within"), ~pl.col("server_within"))
    known = outside.group_by("source", "server", "server_port").agg(known=pl.col("client").n_unique())
    return (
        outside.join(known, on=["source", "server", "server_port"])
        .sort("known", "time", "source", "number", descending=[True, False, False, False])
        .filter(pl.col("client_isn").is_null() | pl.struct(SYN).is_first_distinct())
        .drop("known", "client_isn")
        .sort("time", "source", "number")
    )
