"""Which queries are told twice: by two captures, by a capture and a log, by two copies of one log, or by one
capture before and after a service address is translated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import combinations

import polars as pl

from analyzer.facts.neighbours import followers, hashed

QUERY = ["client", "client_port", "dns_id", "name", "qtype"]
"""What stays the same wherever a query is seen; the server does not, where a service address is translated."""

TRANSLATION = pl.duration(milliseconds=10)
"""The longest that a node takes from one interface to the next."""

TOLERANCE = pl.duration(seconds=5)
"""The farthest that two records of one query lie apart once the offset of their clocks is taken out."""


def copies(queries: pl.DataFrame, key: Sequence[str] = QUERY, packets: pl.LazyFrame | None = None) -> pl.Series:
    """True where another row tells of the same query and stands nearer to the client.

    `queries` has source, number, time, origin, server, interface and the columns of the key; `packets` tell what was
    forwarded where a capture does not name its interfaces. Captures stand before logs,
    inputs with times before those without, fuller before sparser inputs. Clocks may disagree: their offset is the
    median over the queries that each of two inputs holds exactly once, else over the first of each key.
    """
    columns = ["source", "number", "time", "origin", "server", "interface", *key]
    frame = queries.select(columns).with_row_index("row")
    found = [_translated(frame, key, packets)]
    order = (
        frame.group_by("source")
        .agg(log=(pl.col("origin") == "log").any(), untimed=pl.col("time").is_null().all(), rows=pl.len())
        .sort("log", "untimed", "rows", "source", descending=[False, False, True, False])["source"]
        .to_list()
    )
    if len(order) > 1:
        found.extend(_between(frame, order, key))
    rows = pl.concat(found).unique()
    return frame.select(pl.col("row").is_in(rows.implode())).to_series()


def _translated(frame: pl.DataFrame, same: Sequence[str], packets: pl.LazyFrame | None) -> pl.Series:
    """The same query within one capture to another server a moment later: at another interface, or one hop on."""
    seen = frame.filter(pl.col("origin") == "capture", pl.col("time").is_not_null())
    if seen["server"].n_unique() < 2:
        return pl.Series(dtype=pl.UInt32)
    place = ["time", "number", "server", "interface"]
    again = followers(seen, ["source", *same], ["time", "row"], place).filter(
        pl.col("time") - pl.col("before_time") <= TRANSLATION, pl.col("server") != pl.col("before_server")
    )
    named = pl.col("interface").is_not_null() & pl.col("before_interface").is_not_null()
    elsewhere = again.filter(named, pl.col("interface") != pl.col("before_interface"))["row"]
    unnamed = again.filter(~named)
    if packets is None or not unnamed.height:
        return elsewhere
    return pl.concat([elsewhere, _forwarded(unnamed, packets)])


def _forwarded(again: pl.DataFrame, packets: pl.LazyFrame) -> pl.Series:
    """Rows whose packet is the one before it, a hop on: a client that asks two servers sends two with one TTL."""
    wanted = again.select("source", number=pl.concat_list("number", "before_number")).explode("number").unique()
    told = packets.select("source", "number", "ttl", "ip_id").join(wanted.lazy(), on=["source", "number"], how="semi")
    heads = told.collect()
    before = heads.select("source", before_number="number", before_ttl="ttl", before_ip_id="ip_id")
    both = again.join(heads, on=["source", "number"]).join(before, on=["source", "before_number"])
    one = pl.col("ip_id").eq_missing(pl.col("before_ip_id"))
    return both.filter(pl.col("ttl") < pl.col("before_ttl"), one)["row"]


def _between(frame: pl.DataFrame, order: list[str], key: Sequence[str]) -> list[pl.Series]:
    """Rows of one input that a better one holds as well. Most queries are told once: to group them all by text would
    cost ten times as much."""
    frame = frame.filter(pl.all_horizontal(pl.col(key).is_not_null())).filter(hashed(key).is_duplicated())
    per_source = frame.group_by("source", *key).agg(pl.len(), pl.col("row").first(), pl.col("time").first())
    first = per_source.filter(pl.struct(key).is_duplicated())
    shared = {str(name[0]): part for name, part in first.partition_by("source", as_dict=True).items()}
    rows = frame.join(first.select("source", *key), on=["source", *key], how="semi")
    rows_of = {str(name[0]): part for name, part in rows.partition_by("source", as_dict=True).items()}
    found = []
    for better, other in combinations([source for source in order if source in shared], 2):
        both = shared[better].join(shared[other], on=key, suffix="_other")
        once = both.filter(pl.col("len") == 1, pl.col("len_other") == 1)
        used = once if once.height else both
        if used.height:
            offset = (used["time_other"] - used["time"]).median()
            if isinstance(offset, timedelta):
                found.append(_near(rows_of[better], rows_of[other], offset, key))
            else:
                found.append(rows_of[other].join(both.select(key), on=key, how="semi")["row"])
    return found


def _near(better: pl.DataFrame, other: pl.DataFrame, offset: timedelta, key: Sequence[str]) -> pl.Series:
    """Rows of `other` that lie within the tolerance of the same query in `better`, clocks aligned."""
    held = better.filter(pl.col("time").is_not_null()).select("time", *key, pl.col("row").alias("met")).sort("time")
    moved = other.filter(pl.col("time").is_not_null()).with_columns(time=pl.col("time") - offset).sort("time")
    met = moved.join_asof(
        held,
        on="time",
        by=list(key),
        strategy="nearest",
        tolerance=pl.select(TOLERANCE).item(),
        check_sortedness=False,
    )
    return met.filter(pl.col("met").is_not_null())["row"]
