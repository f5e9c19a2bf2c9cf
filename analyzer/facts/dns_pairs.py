"""Which DNS answer belongs to which query, and which queries are sent again."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyzer.facts.neighbours import begins, hashed, last_before, side_by_side

SOCKET = ["client", "client_port", "server", "server_port", "transport", "dns_id"]
TUPLE = [*SOCKET, "name", "qtype"]
"""What an answer has in common with its query."""

ENDS = {
    "client": pl.when("response").then("dst").otherwise("src"),
    "client_port": pl.when("response").then("dst_port").otherwise("src_port"),
    "server": pl.when("response").then("src").otherwise("dst"),
    "server_port": pl.when("response").then("src_port").otherwise("dst_port"),
}
"""Client and server mean the same in a query and in its answer."""

ANSWER_WINDOW = timedelta(seconds=5)
"""A query without an answer for so long is unanswered: resolvers ask again after 5 s (RES_TIMEOUT, glibc resolv.h)."""

RETRY_WINDOW = timedelta(seconds=30)
"""The longest that one socket keeps asking with one id: two tries at each of three servers, 5 s each."""

MICROSECOND = timedelta(microseconds=1)

FINAL = ("NOERROR", "NXDOMAIN")
"""After any other answer glibc asks again at once, with the same id."""


def pairs(messages: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """Columns query and answer, and the queries that are retries, all as values of `row`.

    `messages` are in the order of `row`, with both ends as they stand on the wire, source, time, response, rcode and
    the rest of TUPLE. First within one
    input: an answer goes to the latest query before it, and a query takes its first answer. What is left over (a late
    first answer after a retry, an answer in the next file of a rotated capture) is matched once more without that.
    """
    order, starts = _by_tuple(messages)
    row = messages["row"].to_numpy()[order]
    time = messages["time"].to_physical().to_numpy()[order]
    response = messages["response"].to_numpy()[order]
    follows, was_answer, since = ~starts[1:], response[:-1], np.diff(time)
    met = response[1:] & follows & ~was_answer & (since <= ANSWER_WINDOW // MICROSECOND)
    near = pl.DataFrame({"query": row[:-1][met], "answer": row[1:][met]})
    at = np.flatnonzero(~response[1:] & follows) + 1  # queries after others of their tuple, which are few
    asked = last_before(~response)[at]
    settled = messages["rcode"][order[at - 1]].is_in(FINAL).fill_null(value=False).to_numpy() & response[at - 1]
    again = (asked >= last_before(starts)[at]) & (time[at] - time[asked] <= RETRY_WINDOW // MICROSECOND) & ~settled
    return pl.concat([near, _left(messages, near)]), pl.Series("row", row[at[again]])


def with_questions(messages: pl.DataFrame) -> pl.DataFrame:
    """The messages, each answer without a question having that of the query it answers: a server that cannot read a
    query may send back no more than a header (RFC 6891 section 7)."""
    bare = messages.filter("response", pl.col("name").is_null()).with_columns(**ENDS)
    if not bare.height:
        return messages
    bare = bare.select("row", "source", "time", *SOCKET)
    asks = messages.filter(~pl.col("response")).with_columns(**ENDS).select("source", "time", *SOCKET, "name", "qtype")
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


def _by_tuple(messages: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Positions that bring the messages of one input and tuple side by side, and where another tuple begins.

    A tuple is known by its hashes, because text is slow to sort.
    """
    key, check = _hashes(messages, 0), _hashes(messages, _CHECK)
    order = side_by_side(key)
    return order, begins(key[order]) | begins(check[order])


def _hashes(messages: pl.DataFrame, seed: int) -> NDArray[np.uint64]:
    """A hash of the tuple of each message, the same for a query and its answer, and of its input if there are several.
    Ends are hashed as they stand and then turned, which is quicker than the other way round."""
    common = ["transport", "dns_id", "name", "qtype"]
    if messages.height and (messages["source"] != messages["source"][0]).any():
        common.append("source")
    src, dst = (hashed([end, f"{end}_port"], seed + len(common)).alias(end) for end in ("src", "dst"))
    # Who is asked counts three times.
    whole = pl.col("common") + pl.col("src") + pl.col("dst") + 2 * pl.when("response").then("src").otherwise("dst")
    return messages.select("response", src, dst, common=hashed(common, seed)).select(whole).to_series().to_numpy()


def _left(messages: pl.DataFrame, near: pl.DataFrame) -> pl.DataFrame:
    """What is left over, matched forward from the query whatever input the answer is in."""
    met = np.zeros(messages.height, bool)
    met[near["query"]] = met[near["answer"]] = True
    rest = messages.filter(~pl.Series(met)).with_columns(**ENDS).select("row", "time", "response", *TUPLE)
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
