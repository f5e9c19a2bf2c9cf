"""Which DNS answer belongs to which query, and which queries are sent again."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl

from analyzer.facts.neighbours import begins, hashed, side_by_side

SOCKET = ["client", "client_port", "server", "server_port", "transport", "dns_id"]
TUPLE = [*SOCKET, "name", "qtype"]
"""What an answer has in common with its query."""

ANSWER_WINDOW = timedelta(seconds=5)
"""A query without an answer for so long is unanswered: resolvers ask again after 5 s (RES_TIMEOUT, glibc resolv.h)."""

RETRY_WINDOW = timedelta(seconds=30)
"""The longest that one socket keeps asking with one id: two tries at each of three servers, 5 s each."""

FINAL = ("NOERROR", "NXDOMAIN")
"""After any other answer glibc asks again at once, with the same id."""


def pairs(messages: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """Columns query and answer, and the queries that are retries, all as values of `row`.

    `messages` are in the order of `row`, with source, time, response, rcode and the columns of TUPLE. First within one
    input: an answer goes to the latest query before it, and a query takes its first answer. What is left over (a late
    first answer after a retry, an answer in the next file of a rotated capture) is matched once more without that.
    """
    ordered = _ordered(messages)
    asks, starts = ~pl.col("response"), pl.col("starts")
    after_query = asks.shift(1) & ~starts
    soon = pl.col("time") - pl.col("time").shift(1) <= ANSWER_WINDOW
    near = ordered.select(query=pl.col("row").shift(1), answer="row", met=~asks & after_query & soon)
    near = near.filter("met").select("query", "answer")
    asked_at = pl.when(asks).then("time").forward_fill().shift(1)
    any_before = pl.when(starts).then(asks.cast(pl.Int8)).otherwise(pl.when(asks).then(pl.lit(1, pl.Int8)))
    asked_before = any_before.forward_fill().shift(1) == 1
    settled = pl.col("response").shift(1) & pl.col("final").shift(1)
    again = asks & ~starts & asked_before & (pl.col("time") - asked_at <= RETRY_WINDOW) & ~settled.fill_null(False)
    return pl.concat([near, _left(messages, near)]), ordered.filter(again.fill_null(False))["row"]


def with_questions(messages: pl.DataFrame) -> pl.DataFrame:
    """The messages, each answer without a question having that of the query it answers: a server that cannot read a
    query may send back no more than a header (RFC 6891 section 7)."""
    bare = messages.filter("response", pl.col("name").is_null()).select("row", "source", "time", *SOCKET)
    if not bare.height:
        return messages
    asks = messages.filter(~pl.col("response")).select("source", "time", *SOCKET, "name", "qtype")
    met = bare.sort("time", "row").join_asof(
        asks.sort("time"),
        on="time",
        by=["source", *SOCKET],
        strategy="backward",
        tolerance=ANSWER_WINDOW,
        check_sortedness=False,
    )
    told = met.select("row", asked="name", asked_type="qtype")
    return (
        messages.join(told, on="row", how="left", maintain_order="left")
        .with_columns(name=pl.coalesce("name", "asked"), qtype=pl.coalesce("qtype", "asked_type"))
        .drop("asked", "asked_type")
    )


_CHECK = 100
"""First seed of the second hash of a tuple. 128 bits in all: no two tuples of any capture meet by chance."""


def _ordered(messages: pl.DataFrame) -> pl.DataFrame:
    """The messages with those of one input and tuple side by side; `starts` is true at the first of each tuple.

    A tuple is known by its hashes, because text is slow to sort and to carry along.
    """
    columns = ["source", *TUPLE]
    keys = messages.select(key=hashed(columns), check=hashed(columns, _CHECK))
    key, check = keys["key"].to_numpy(), keys["check"].to_numpy()
    order = side_by_side(key)
    told = messages.select("row", "time", "response", final=pl.col("rcode").is_in(FINAL))[order]
    return told.with_columns(starts=pl.Series(begins(key[order]) | begins(check[order])))


def _left(messages: pl.DataFrame, near: pl.DataFrame) -> pl.DataFrame:
    """What is left over, matched forward from the query whatever input the answer is in."""
    met = np.zeros(messages.height, bool)
    met[near["query"]] = met[near["answer"]] = True
    rest = messages.filter(~pl.Series(met)).select("row", "time", "response", *TUPLE)
    asks, replies = rest.filter(~pl.col("response")), rest.filter("response")
    if not asks.height or not replies.height:
        return near.clear()
    later = asks.sort("time", "row").join_asof(
        replies.sort("time", "row").rename({"row": "answer"}),
        on="time",
        by=TUPLE,
        strategy="forward",
        tolerance=ANSWER_WINDOW,
        check_sortedness=False,
    )
    once = later.filter(pl.col("answer").is_not_null()).group_by("answer").agg(query=pl.col("row").max())
    return once.select("query", "answer")
