"""Which queries are told twice: by two captures, by a capture and a log, by two copies of one log, or by one
capture before and after a service address is translated."""

from __future__ import annotations

from collections.abc import Sequence

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
    # The usual case, and text is slow to group.
    alone = not queries.height or bool((queries["source"] == queries["source"][0]).all())
    if alone and queries["server"].n_unique() < 2:
        return pl.repeat(False, queries.height, eager=True)
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
        found.append(_between(frame, order, key))
    rows = pl.concat(found)
    return frame["row"].is_in(rows.unique().implode()) if rows.len() else pl.repeat(False, frame.height, eager=True)


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


def _between(frame: pl.DataFrame, order: list[str], key: Sequence[str]) -> pl.Series:
    """Rows of one input that a better one holds as well.

    Most queries are told once, and are left out by a hash: to group them all by text would cost ten times as much. Of
    the inputs that hold a query each is compared with the one before it and with the best, so that the work follows the
    rows, not the pairs of inputs.
    """
    known = frame.filter(pl.all_horizontal(pl.col(key).is_not_null())).with_columns(key=hashed(key))
    ranks = pl.DataFrame({"source": order}, schema={"source": pl.String}).with_row_index("rank")
    rows = known.filter(pl.col("key").is_duplicated()).join(ranks, on="source").select("row", "time", "rank", "key")
    held = rows.group_by("key", "rank").agg(pl.len(), pl.col("time").first()).sort("key", "rank")
    links = _offsets(pl.concat([_met(held, first=False), _met(held, first=True)]).unique(["key", "rank", "better"]))
    other = rows.join(links, on=["key", "rank"])
    timed = other.filter(pl.col("offset").is_not_null(), pl.col("time").is_not_null())
    near = (
        timed.with_columns(time=pl.col("time") - pl.col("offset"))
        .sort("time")
        .join_asof(
            rows.drop_nulls("time").select("time", "key", better="rank", met="row").sort("time"),
            on="time",
            by=["key", "better"],
            strategy="nearest",
            tolerance=pl.select(TOLERANCE).item(),
            check_sortedness=False,
        )
        .filter(pl.col("met").is_not_null())
    )
    return pl.concat([other.filter(pl.col("offset").is_null())["row"], near["row"]])


def _met(held: pl.DataFrame, *, first: bool) -> pl.DataFrame:
    """Each input that holds a query, beside the one before it that does, or the first."""
    again = (pl.col("key") == pl.col("key").shift(1)).fill_null(False)

    def other(name: str) -> pl.Expr:
        if first:
            return pl.when(~again).then(name).forward_fill()
        return pl.col(name).shift(1)

    beside = {"better": other("rank"), "better_len": other("len"), "better_time": other("time")}
    return held.with_columns(**beside, again=again).filter("again").drop("again")


def _offsets(met: pl.DataFrame) -> pl.DataFrame:
    """`key`, `rank` and `better` with the offset of the two clocks; null where one has none."""
    once, apart = (pl.col("len") == 1) & (pl.col("better_len") == 1), pl.col("time") - pl.col("better_time")
    offset = pl.when(once.any()).then(apart.filter(once).median()).otherwise(apart.median())
    pairs = met.group_by("rank", "better").agg(offset=offset)
    return met.select("key", "rank", "better").join(pairs, on=["rank", "better"])
