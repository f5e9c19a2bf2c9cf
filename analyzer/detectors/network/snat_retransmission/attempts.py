"""What each connection lost, and attempts to endpoints that are not there."""

from __future__ import annotations

import polars as pl

from analyzer.facts.connection_attempts import SILENT

OUTAGE = 3
"""Attempts in a row that one endpoint did not answer: it was away, or the way to it, and nothing was lost by chance
[an engineering default]."""

CONNECTION = ["source", "connection"]
ENDPOINT = ["server", "server_port"]


def counted(connections: pl.DataFrame, real: pl.DataFrame, copies: pl.DataFrame) -> pl.DataFrame:
    """The connections with `segments`, `again`, `attempt`, `retried`, `copies`."""
    own_syn = pl.col("syn") & pl.col("from_client")
    sums = real.group_by(CONNECTION).agg(pl.len().alias("again"), own_syn.any().alias("retried"))
    twice = copies.group_by(CONNECTION).agg(pl.len().alias("copies"))
    met = connections.join(sums, on=CONNECTION, how="left", maintain_order="left").join(
        twice, on=CONNECTION, how="left", maintain_order="left"
    )
    met = met.with_columns(
        pl.col("again").fill_null(0),
        pl.col("copies").fill_null(0),
        pl.col("retried").fill_null(False),
        attempt=pl.col("outcome").is_not_null(),
        failed=(pl.col("outcome") == SILENT).fill_null(False),
    )
    return met.with_columns(segments=pl.col("sent") - pl.col("copies"))


def away() -> pl.Expr:
    """Connections to endpoints that never answer, and attempts in a row that nobody answered; rows by time."""
    silent = pl.col("failed")
    turn = (silent != silent.shift(1)).fill_null(True).cum_sum().over(ENDPOINT)
    row = pl.len().over(*ENDPOINT, turn)
    return ~pl.col("answers").any().over(ENDPOINT) | (silent & (row >= OUTAGE))
