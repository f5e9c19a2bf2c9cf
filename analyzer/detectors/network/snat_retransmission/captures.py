"""Which inputs are one capture, and whose it is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl

from analyzer.facts.address_space import network

__all__ = ["captures", "network", "whose"]

ROTATED = timedelta(seconds=60)
"""A capture that begins so soon after another ends, of clients that both tell of, is its next piece."""


def captures(connections: pl.DataFrame) -> list[list[str]]:
    """The captures in the order of their beginning, the pieces of a rotated one together."""
    spans = (
        connections.group_by("source")
        .agg(pl.col("time").min().alias("first"), pl.col("end").max().alias("last"), pl.col("client").unique())
        .sort("first", "source", nulls_last=True)
    )
    groups: list[tuple[list[str], datetime | None, set[str]]] = []
    for source, first, last, clients in spans.iter_rows():
        before = next((at for at, group in enumerate(groups) if _follows(group, first, set(clients))), None)
        if before is None:
            groups.append(([source], last, set(clients)))
        else:
            groups[before] = ([*groups[before][0], source], last, set(clients))
    return [group[0] for group in groups]


def _follows(group: tuple[list[str], datetime | None, set[str]], first: datetime | None, clients: set[Any]) -> bool:
    _, last, theirs = group
    if first is None or last is None:
        return False
    # The last packets of a piece may come a moment after the first of the next one.
    return -timedelta(seconds=1) <= first - last <= ROTATED and not theirs.isdisjoint(clients)


def whose(outside: pl.DataFrame) -> str:
    """The address of the only client, or the network that most clients are of: names of files say nothing."""
    clients = outside.select("client", network(pl.col("client")).alias("network")).unique("client")
    if clients.height == 1:
        return str(clients["client"][0])
    return str(clients["network"].value_counts().sort("count", "network", descending=[True, False])["network"][0])
