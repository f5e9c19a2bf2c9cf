"""Which DNS queries are told twice: by two captures, by a capture and a log, by two copies of one log, or by one
capture before and after a service address is translated."""

from __future__ import annotations

from datetime import timedelta
from itertools import combinations

import polars as pl

QUERY = ["client", "client_port", "dns_id", "name", "qtype"]
"""What stays the same wherever a query is seen; the server does not, where a service address is translated."""

TRANSLATION = pl.duration(milliseconds=10)
"""The longest that a node takes from one interface to the next."""

TOLERANCE = pl.duration(seconds=5)
"""The farthest that two records of one query lie apart once the offset of their clocks is taken out."""


def copies(queries: pl.DataFrame) -> pl.Series:
    """True where another row tells of the same query and stands nearer to the client.

    `queries` has source, time, origin, server, interface and the columns of QUERY. Captures stand before logs, inputs
    with times before those without, fuller before sparser inputs. Clocks may disagree: their offset is the median
    over the queries that each of two inputs holds exactly once.
    """
    frame = queries.select("source", "time", "origin", "server", "interface", *QUERY).with_row_index("row")
    found = [_translated(frame)]
    order = (
        frame.group_by("source")
        .agg(log=(pl.col("origin") == "log").any(), untimed=pl.col("time").is_null().all(), rows=pl.len())
        .sort("log", "untimed", "rows", "source", descending=[False, False, True, False])["source"]
        .to_list()
    )
    if len(order) > 1:
        found.extend(_between(frame, order))
    rows = pl.concat(found).unique()
    return frame.select(pl.col("row").is_in(rows.implode())).to_series()


def _translated(frame: pl.DataFrame) -> pl.Series:
    """The same query within one capture to another server at another interface a moment later."""
    cut = pl.select(TRANSLATION).item()
    seen = frame.filter(pl.col("interface").is_not_null()).sort("time", "row")
    key = ["source", *QUERY]
    moved = (
        (pl.col("time") - pl.col("time").shift(1).over(key) <= cut)
        & (pl.col("server") != pl.col("server").shift(1).over(key))
        & (pl.col("interface") != pl.col("interface").shift(1).over(key))
    )
    return seen.filter(moved)["row"]


def _between(frame: pl.DataFrame, order: list[str]) -> list[pl.Series]:
    """Rows of one input that a better one holds as well."""
    once = (
        frame.filter(pl.col("dns_id").is_not_null())
        .group_by("source", *QUERY)
        .agg(pl.len(), pl.col("row").first(), pl.col("time").first())
    )
    shared = once.filter(pl.len().over(QUERY) > 1)
    unique = shared.filter(pl.col("len") == 1)
    by_source = {str(key[0]): part for key, part in unique.partition_by("source", as_dict=True).items()}
    shared_rows = frame.join(shared.select("source", *QUERY), on=["source", *QUERY], how="semi")
    all_rows = {str(key[0]): part for key, part in shared_rows.partition_by("source", as_dict=True).items()}
    found = []
    for better, other in combinations([source for source in order if source in by_source], 2):
        both = by_source[better].join(by_source[other], on=QUERY, suffix="_other")
        if both.height:
            offset = (both["time_other"] - both["time"]).median()
            if isinstance(offset, timedelta):
                found.append(_near(all_rows[better], all_rows[other], offset))
            else:
                found.append(both["row_other"])
    return found


def _near(better: pl.DataFrame, other: pl.DataFrame, offset: timedelta) -> pl.Series:
    """Rows of `other` that lie within the tolerance of the same query in `better`, clocks aligned."""
    held = better.filter(pl.col("time").is_not_null()).select("time", *QUERY, pl.col("row").alias("met")).sort("time")
    moved = other.filter(pl.col("time").is_not_null()).with_columns(time=pl.col("time") - offset).sort("time")
    met = moved.join_asof(
        held,
        on="time",
        by=QUERY,
        strategy="nearest",
        tolerance=pl.select(TOLERANCE).item(),
        check_sortedness=False,
    )
    return met.filter(pl.col("met").is_not_null())["row"]
