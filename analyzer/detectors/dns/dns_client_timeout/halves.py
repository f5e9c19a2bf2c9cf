"""A and AAAA queries of one lookup, the half that was lost, and how it was asked for again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl

from analyzer.facts.neighbours import hashed
from analyzer.frames import NO_REPLY

TOGETHER = timedelta(milliseconds=1)
"""A and AAAA of one lookup leave closer to each other than this [an engineering default]."""

LOOKUP = timedelta(seconds=1)
"""One socket's A and AAAA of a name so close to each other are of one lookup, together or one after the other."""

WAITS = {"glibc": 5.0, "Go": 5.0, "musl": 2.5}
"""Seconds until a resolver asks again: RES_TIMEOUT of glibc's resolv.h; the timeout of Go's resolv.conf parser; half of
the timeout of 5 s in musl's res_msend.c, which has two attempts."""
NEAR = 0.05
"""How far, as a share, the wait may lie from that."""

FINAL = timedelta(seconds=30)
"""The longest that a lookup is followed."""

KEY = ["source", "client", "name"]


def pairs_of(fresh: pl.DataFrame) -> pl.DataFrame:
    """A row per A query with the AAAA query of the same lookup: columns of the latter end in `_other`.

    One socket asks for both, or two sockets do at the same moment. glibc sends the second half only after the answer to
    the first where that was quicker, or where it has lost one before.
    """
    shared = _met(fresh, [*KEY, "client_port"], LOOKUP)
    taken = pl.concat([shared["row"], shared["row_other"]])
    return pl.concat([shared, _met(fresh.filter(~pl.col("row").is_in(taken.implode())), KEY, TOGETHER)])


def _met(fresh: pl.DataFrame, key: list[str], within: timedelta) -> pl.DataFrame:
    asked = fresh.with_columns(key=hashed(key))
    one, other = (asked.filter(pl.col("qtype") == qtype) for qtype in ("A", "AAAA"))
    kept = ["row", "time", "number", "client_port", "dns_id", "qtype", "rcode", "answered"]
    beside = [pl.col(name).alias(f"{name}_other") for name in kept]
    met = one.join_asof(
        other.select("key", pl.col("time").alias("met"), *beside),
        left_on="time",
        right_on="met",
        by="key",
        strategy="nearest",
        tolerance=within,
        check_sortedness=False,
    )
    # Two A queries near one AAAA query: the first has it.
    return met.drop("key").filter(pl.col("row_other").is_not_null(), pl.col("row_other").is_first_distinct())


def lost_halves(pairs: pl.DataFrame) -> pl.DataFrame:
    """The lost query of each pair of which exactly one was answered."""
    kept = ["row", "time", "number", "client_port", "dns_id", "qtype"]
    begin = pl.min_horizontal("time", "time_other").alias("first")
    pairs = pairs.filter((pl.col("time") - pl.col("time_other")).abs() <= TOGETHER)
    together = (pl.col("client_port") == pl.col("client_port_other")).alias("one_socket")
    lost, told = pl.col("rcode") == NO_REPLY, pl.col("answered").is_not_null()
    lost_other, told_other = pl.col("rcode_other") == NO_REPLY, pl.col("answered_other").is_not_null()
    here = pairs.filter(lost & told_other).select(*KEY, begin, together, *kept)
    there = pairs.filter(lost_other & told).select(
        *KEY, begin, together, *(pl.col(f"{name}_other").alias(name) for name in kept)
    )
    return pl.concat([here, there])


def asked_again(halves: pl.DataFrame, queries: pl.DataFrame) -> pl.DataFrame:
    """Those that were asked again after a resolver's wait, and answered then."""
    asked = [*KEY, "qtype"]
    again = queries.filter(pl.col("name").is_in(halves["name"].unique().implode()))
    again = again.filter(hashed(asked).is_in(halves.select(hashed(asked)).to_series().implode()))
    later = again.select(
        *asked,
        pl.col("time").alias("again"),
        pl.col("number").alias("again_number"),
        pl.col("row").alias("again_row"),
        pl.col("client_port").alias("again_port"),
        pl.col("dns_id").alias("again_id"),
        "answered",
    )
    met = (
        halves.with_columns(after=pl.col("time") + timedelta(microseconds=1))
        .sort("after")
        .join_asof(
            later.sort("again"),
            left_on="after",
            right_on="again",
            by=asked,
            strategy="forward",
            tolerance=FINAL,
            check_sortedness=False,
        )
    )
    wait = (pl.col("again") - pl.col("time")).dt.total_microseconds() / 1e6
    same = pl.col("again_port") == pl.col("client_port")
    near: dict[str, pl.Expr] = {name: ((wait / seconds - 1).abs() <= NEAR) for name, seconds in WAITS.items()}
    shapes: Any = (
        pl.when(near["glibc"] & same & pl.col("one_socket"))
        .then(pl.lit("glibc"))
        .when(near["musl"] & same & pl.col("one_socket"))
        .then(pl.lit("musl"))
        # glibc opens a socket for each half too, once it has lost two, but keeps the id.
        .when(near["Go"] & ~same & ~pl.col("one_socket") & (pl.col("again_id") != pl.col("dns_id")))
        .then(pl.lit("Go"))
    )
    return met.with_columns(resolver=shapes).filter(pl.col("resolver").is_not_null(), pl.col("answered").is_not_null())
