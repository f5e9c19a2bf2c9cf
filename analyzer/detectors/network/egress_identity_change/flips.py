"""Endpoints outside that answered, and from a moment on do not."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.facts.address_space import network
from analyzer.facts.connection_attempts import ANSWERED

MOST = 20
"""Endpoints that are judged one by one, those with most failed attempts first: linear work even for a million."""


class Limits(Struct, frozen=True):
    clients: int
    failed_after: float
    failed_before: float
    attempts: int
    seconds: float


class Flip(Struct, frozen=True):
    """Attempts to one endpoint, in the order of time: those before it turned, and those from then until it answers
    again or the capture ends. `back`: it does so."""

    server: str
    port: int
    before: pl.DataFrame
    during: pl.DataFrame
    back: bool

    @property
    def endpoint(self) -> str:
        return f"[{self.server}]:{self.port}" if ":" in self.server else f"{self.server}:{self.port}"

    @property
    def network(self) -> str:
        return str(pl.select(network(pl.lit(self.server))).item())

    @property
    def failed(self) -> pl.DataFrame:
        return self.during.filter(pl.col("failed"))

    @property
    def start(self) -> datetime:
        found: datetime = self.failed["time"].item(0)
        return found

    @property
    def end(self) -> datetime:
        found: datetime = self.failed["end"].max()  # type: ignore[assignment]
        return found

    @property
    def successes(self) -> int:
        return self.before.filter(~pl.col("failed")).height

    @property
    def turned(self) -> int:
        """Clients that were answered before and failed then."""
        good = self.before.filter(~pl.col("failed"))["client"].unique()
        return self.failed.filter(pl.col("client").is_in(good.implode()))["client"].n_unique()

    @property
    def outcome(self) -> str:
        """What became of most of the failed attempts."""
        counts = self.failed["outcome"].value_counts().sort(["count", "outcome"], descending=[True, False])
        return str(counts["outcome"][0])


def flips(outside: pl.DataFrame, limits: Limits) -> list[Flip]:
    """The endpoints that turned, those with most failed attempts first.

    The span of an endpoint is where failures outnumber answers by most: the largest sum of +1 and -1 in a row.
    """
    key = ["server", "server_port"]
    worth = (
        outside.group_by(key)
        .agg(
            failed=pl.col("failed").sum(),
            good=(pl.col("outcome") == ANSWERED).sum(),
            clients=pl.col("client").filter("failed").n_unique(),
        )
        .filter(
            pl.col("clients") >= limits.clients,
            pl.col("failed") >= limits.attempts,
            pl.col("good") >= limits.attempts,
        )
        .sort("failed", *key, descending=[True, False, False])
        .head(MOST)
    )
    mine = outside.join(worth.select(key), on=key, how="semi", maintain_order="left")
    found = []
    for (server, port), rows in mine.partition_by(key, as_dict=True, maintain_order=True).items():
        flip = _flip(str(server), int(str(port)), rows)
        if _turned(flip, limits):
            found.append(flip)
    return sorted(found, key=lambda flip: (-flip.failed.height, flip.endpoint))


def _flip(server: str, port: int, rows: pl.DataFrame) -> Flip:
    score = rows["failed"].cast(pl.Int64) * 2 - 1
    total = score.cum_sum()
    before = total.shift(1, fill_value=0)
    lowest = before.cum_min()
    end = int((total - lowest).arg_max() or 0)
    # The last place with the lowest sum, so that the span begins with a failure.
    begin = int((before.head(end + 1) == lowest[end]).arg_true()[-1])
    after = rows[end + 1 :]
    return Flip(server, port, rows[:begin], rows[begin : end + 1], bool((~after["failed"]).any()))


def _turned(flip: Flip, limits: Limits) -> bool:
    failed, before = flip.failed, flip.before
    if failed.height < limits.attempts or failed["client"].n_unique() < limits.clients:
        return False
    if failed.height < limits.failed_after * flip.during.height or flip.successes < limits.attempts:
        return False
    if before["failed"].sum() > limits.failed_before * before.height:
        return False
    last: datetime = failed["time"].item(-1)
    return (last - flip.start).total_seconds() >= limits.seconds
