"""Who asked again after a rejection, how often, and when it was served at last."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.apiserver.apiserver_throttle_storm.load import AGENT, Window
from analyzer.model import Column, EvidenceTable, Figure

ROWS = 10
CLIENT = ["agent", "user", "source_ip", "caller_pod", "verb", "uri"]
"""The same request of the same client: client-go sends it again with the same verb and URI (`rest/with_retry.go`)."""

SOON = 0.9
"""Part of the wait that was asked for, below which a client did not wait: clocks and timers may be a little early."""


class Retries(Struct, frozen=True):
    """`rows`: one per agent with repeated, wanted, hasty, served, waited (seconds) and abandoned.

    A request that was wanted is sent once and again until it is served or nobody asks any more.
    """

    rows: pl.DataFrame
    sent: int

    def total(self, name: str) -> float:
        return float(self.rows[name].sum())

    @property
    def amplification(self) -> float:
        """Requests sent for each that was wanted."""
        wanted = self.sent - self.total("repeated")
        return self.sent / wanted if wanted > 0 else 1.0


def retries(requests: pl.LazyFrame, window: Window, within: float, told: float) -> Retries:
    """A request that follows the rejection of the same one within `within` seconds is a retry of it.

    What was rejected in the window is followed until `within` after its end. `told` is the least wait that a rejected
    client is asked for.
    """
    until = window.end + timedelta(seconds=within)
    after = pl.coalesce("end_time", "time")
    previous = pl.col("throttled").shift(1).over(CLIENT)
    gap = (pl.col("time") - after.shift(1).over(CLIENT)).dt.total_microseconds() / 1e6
    asked = (
        requests.filter(pl.col("time").is_between(window.start, until))
        .select(AGENT, *CLIENT[1:], "time", "source", "number", "throttled", "end_time", "code")
        .sort("time", "source", "number")
        .with_columns((previous.fill_null(False) & (gap <= within)).fill_null(False).alias("again"), gap.alias("gap"))
        # what begins after the window belongs to it only as a retry
        .filter((pl.col("time") <= window.end) | pl.col("again"))
        .with_columns((~pl.col("again")).cast(pl.Int64).cum_sum().over(CLIENT).alias("wish"))
    )
    wishes = asked.group_by(*CLIENT, "wish").agg(
        pl.len().alias("sent"),
        (pl.col("again") & (pl.col("gap") < SOON * told)).sum().alias("hasty"),
        pl.col("throttled").last().alias("refused"),
        pl.col("throttled").any().alias("hit"),
        (pl.col("time").max() - pl.col("time").min()).dt.total_microseconds().alias("waited"),
    )
    served = pl.col("hit") & ~pl.col("refused")
    rows = (
        wishes.group_by("agent")
        .agg(
            pl.col("sent").sum().cast(pl.Int64),
            (pl.col("sent") - 1).sum().cast(pl.Int64).alias("repeated"),
            pl.col("hit").sum().cast(pl.Int64).alias("wanted"),
            pl.col("hasty").sum().cast(pl.Int64),
            served.sum().cast(pl.Int64).alias("served"),
            (pl.col("waited").filter(served).sum() / 1e6).round(6).alias("waited"),
            (pl.col("hit") & pl.col("refused")).sum().cast(pl.Int64).alias("abandoned"),
        )
        .sort(["wanted", "agent"], descending=[True, False])
        .collect()
    )
    return Retries(rows.filter(pl.col("wanted") > 0), int(rows["sent"].sum()))


def figures(found: Retries) -> tuple[Figure, ...]:
    return (
        Figure(name="retries after a rejection", value=int(found.total("repeated")), unit="requests"),
        Figure(name="requests sent for each wanted", value=round(found.amplification, 3), unit="requests"),
        Figure(name="seconds until retries were served", value=round(found.total("waited"), 6), unit="seconds"),
    )


def table(found: Retries, names: dict[str, str]) -> tuple[EvidenceTable, ...]:
    if not found.total("repeated"):
        return ()
    columns = (
        Column(name="user agent"),
        Column(name="requests rejected at least once", unit="requests"),
        Column(name="retries", unit="requests"),
        Column(name="retries before the wait was over", unit="requests"),
        Column(name="served at last", unit="requests"),
        Column(name="seconds until then", unit="seconds"),
        Column(name="never served", unit="requests"),
    )
    shown = found.rows.head(ROWS).select("agent", "wanted", "repeated", "hasty", "served", "waited", "abandoned")
    return (
        EvidenceTable(
            caption="Retries: the same request of the same client soon after its rejection (a poll looks the same)",
            columns=columns,
            rows=tuple((names.get(agent, agent), *rest) for agent, *rest in shown.rows()),
        ),
    )
