"""How many requests came, and how many were in flight, second by second and by agent."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import Col, Table
from analyzer.frames.contract import PLACE

SECOND = 1_000_000
"""Microseconds of one."""

_TABLE = Table(
    "request_load",
    "One row per user agent family and second in which a request of it began or ended. Between two rows of an agent "
    "nothing began or ended: what was in flight at the end of the first stayed so.",
    (
        *PLACE,
        Col("agent", pl.String(), "User agent family; '' if none was sent. `source` and `number` are of one event."),
        Col("requests", pl.Int64(), "Requests that came in this second, long-running ones not among them."),
        Col("rejected", pl.Int64(), "Those of all that came in it and were answered 429 by the server's own limits."),
        Col(
            "in_flight",
            pl.Float64(),
            "Requests in flight, mean over this second: arrivals times latency (Little's law), from their begin and "
            "end; rejected and long-running ones are left out.",
        ),
        Col("in_flight_at_end", pl.Int64(), "Requests in flight when the second ended."),
        Col("opened", pl.Int64(), "Long-running requests (watch, exec, logs) that began in this second."),
        Col("open_at_end", pl.Int64(), "Long-running requests open when the second ended; those without an end stay."),
    ),
)


def _begins_and_ends(requests: pl.LazyFrame) -> pl.LazyFrame:
    """Two rows a request, with what each adds to the sums. An end before its begin is at it; some have none."""
    kept = requests.filter(pl.col("time").is_not_null()).select(
        pl.col("agent").fill_null(""),
        *("time", "source", "number", "throttled"),
        ((~pl.col("long_running")) & ~pl.col("throttled")).cast(pl.Int64).alias("flying"),
        (pl.col("long_running") & ~pl.col("throttled")).cast(pl.Int64).alias("staying"),
        (~pl.col("long_running")).cast(pl.Int64).alias("requests"),
        pl.when("open").then(None).otherwise(pl.max_horizontal("time", pl.coalesce("end_time", "time"))).alias("end"),
    )
    place = ("agent", "time", "source", "number")
    no = pl.lit(0, pl.Int64)
    begins = kept.select(
        *place,
        "requests",
        pl.col("throttled").cast(pl.Int64).alias("rejected"),
        "flying",
        pl.col("staying").alias("opened"),
        "staying",
    )
    ends = kept.filter(~pl.col("throttled"), pl.col("end").is_not_null()).select(
        "agent",
        pl.col("end").alias("time"),
        *place[2:],
        no.alias("requests"),
        no.alias("rejected"),
        -pl.col("flying"),
        no.alias("opened"),
        -pl.col("staying"),
    )
    return pl.concat([begins, ends])


def _derive(frames: Frames) -> pl.LazyFrame:
    """Sums of begins and ends over time say what is in flight, without a row per second.

    The mean over a second is what was in flight at its begin, plus the rest of the second after each begin in it, less
    the rest of it after each end.
    """
    # whole microseconds: their sum is the same in any order
    rest = SECOND - pl.col("time").dt.epoch("us") % SECOND
    sums = (
        _begins_and_ends(frames[AUDIT_REQUESTS])
        .with_columns((pl.col("flying") * rest).alias("share"))
        .sort("source", "number")
        .group_by("agent", pl.col("time").dt.truncate("1s"))
        .agg(
            pl.col("source", "number").first(),
            pl.col("requests", "rejected", "flying", "share", "opened", "staying").sum(),
        )
        .sort("agent", "time")
    )
    level = pl.col("flying").cum_sum().over("agent")
    return (
        sums.with_columns(
            (level - pl.col("flying") + pl.col("share") / SECOND).clip(lower_bound=0).alias("in_flight"),
            level.alias("in_flight_at_end"),
            pl.col("staying").cum_sum().over("agent").alias("open_at_end"),
        )
        .select(_TABLE.schema.names())
        .sort("time", "agent")
    )


REQUEST_LOAD = Fact(table=_TABLE, needs_any=((AUDIT_REQUESTS,),), derive=_derive)
