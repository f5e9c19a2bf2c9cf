"""DNS queries with their answers, from captures and from CoreDNS logs, each query once."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.copies import copies
from analyzer.frames import COREDNS_QUERIES, DNS_MESSAGES, NO_REPLY, PACKETS, TIME, Col, Table
from analyzer.frames.contract import PLACE

ANSWER_WINDOW = pl.duration(seconds=5)
"""A query without an answer for so long is unanswered: resolvers ask again after 5 s (RES_TIMEOUT, glibc resolv.h)."""

RETRY_WINDOW = pl.duration(seconds=30)
"""The longest that one socket keeps asking with one id: attempts and timeouts of resolv.conf are capped at 5 x 30 s
in glibc, and 30 s covers the default 2 x 5 s with three servers."""

FORWARDED_SHARE = 0.8
"""Share of a client's queries that must fall inside another client's wait for the same name. A forwarder's share is 1
but for packets that the capture lost; a client comes near it only by chance."""

LOOP_PROBE = r"^\d+\.\d+$"
"""Name of the HINFO query that CoreDNS's loop plugin sends to itself at its start."""

_TUPLE = ["client", "client_port", "server", "server_port", "dns_id", "name", "qtype"]
_FINAL = ("NOERROR", "NXDOMAIN")

TRANSACTIONS = Table(
    "dns_transactions",
    "One row per DNS query with what became of it. Count the rows that are neither covered nor retry.",
    (
        *PLACE,
        Col("answer_number", pl.Int64(), "Frame of the answer; null in a log, or where there is none."),
        Col("answered", TIME, "When the answer was seen, or the log line written; null if neither has a time."),
        Col("origin", pl.String(), "capture or log."),
        Col("hop", pl.String(), "client, or upstream where a server of others asks for them."),
        Col("client", pl.String(), "Address that asked."),
        Col("client_port", pl.Int32(), "Port that asked."),
        Col("server", pl.String(), "Address that was asked; null in a log."),
        Col("server_port", pl.Int32(), "Port that was asked; null in a log."),
        Col("transport", pl.String(), "udp or tcp."),
        Col("dns_id", pl.Int32(), "Transaction id; null in old logs."),
        Col("name", pl.String(), "Question name, lower case, no final dot."),
        Col("qtype", pl.String(), "Question type as text."),
        Col("rcode", pl.String(), "Answer code, NO_REPLY after 5 s without one; null: the capture ended before that."),
        Col("answers", pl.Int32(), "Records in the answer section; null in a log or without an answer."),
        Col(
            "duration_seconds",
            pl.Float64(),
            "Query to answer, by a log the time CoreDNS took; null if unanswered.",
        ),
        Col("wire_bytes", pl.Int64(), "Frames of query and answer; by a log the sizes of both messages."),
        Col("negative_ttl", pl.Int64(), "Seconds that a negative answer may be cached; null if not given."),
        Col("retry", pl.Boolean(), "The same socket asked with the same id before: no new lookup."),
        Col("covered", pl.Boolean(), "Another row, nearer to the client, tells of the same query: count this one out."),
    ),
)

ORPHANS = Table(
    "dns_orphan_answers",
    "One row per DNS answer in a capture whose query was not seen, came too early or was answered already.",
    (
        *PLACE,
        Col("client", pl.String(), "Address that was answered."),
        Col("server", pl.String(), "Address that answered."),
        Col("name", pl.String(), "Question name."),
        Col("qtype", pl.String(), "Question type as text."),
        Col("rcode", pl.String(), "Answer code as text."),
    ),
)


def _sides(frames: Frames) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Queries and answers without copies, in order; answers are turned so that client and server mean the same."""
    seen = frames[DNS_MESSAGES].filter(~pl.col("duplicate").fill_null(False), pl.col("time").is_not_null())
    order = ["time", "source", "number"]
    queries = seen.filter(~pl.col("response")).rename(
        {"src": "client", "src_port": "client_port", "dst": "server", "dst_port": "server_port"}
    )
    answers = seen.filter("response").rename(
        {"dst": "client", "dst_port": "client_port", "src": "server", "src_port": "server_port"}
    )
    both = pl.collect_all([queries.sort(order), answers.sort(order)])
    return both[0].with_row_index("query"), both[1].with_row_index("answer")


def _pairs(queries: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Columns query, answer. First within one input: each answer goes to the latest query before it. What is left
    over (a late first answer after a retry, an answer in the next file of a rotated capture) is matched once more."""
    window = pl.select(ANSWER_WINDOW).item()
    ask, reply = queries.select("query", "time", "source", *_TUPLE), answers.select("answer", "time", "source", *_TUPLE)
    near = (
        reply.join_asof(
            ask, on="time", by=["source", *_TUPLE], strategy="backward", tolerance=window, check_sortedness=False
        )
        .filter(pl.col("query").is_not_null())
        .group_by("query")
        .agg(pl.col("answer").min())
    )
    ask, reply = ask.join(near, on="query", how="anti"), reply.join(near, on="answer", how="anti")
    if not ask.height or not reply.height:
        return near
    left = (
        ask.sort("time", "query")
        .join_asof(
            reply.sort("time", "answer"),
            on="time",
            by=_TUPLE,
            strategy="forward",
            tolerance=window,
            check_sortedness=False,
        )
        .filter(pl.col("answer").is_not_null())
        .group_by("answer")
        .agg(pl.col("query").max())
        .select("query", "answer")
    )
    return pl.concat([near, left])


def _ends(frames: Frames, queries: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Per capture the time of its last packet."""
    parts = [part.lazy().select("source", "time") for part in (queries, answers)]
    if PACKETS in frames:
        parts.append(frames[PACKETS].select("source", "time"))
    return pl.concat(parts).group_by("source").agg(end=pl.col("time").max()).collect()


def _from_capture(frames: Frames) -> tuple[pl.DataFrame, pl.Series]:
    """The transactions of all captures, and the addresses that answer queries."""
    queries, answers = _sides(frames)
    told = answers.select(
        "answer", "rcode", "answers", "negative_ttl", answered="time", answer_number="number", more="wire_bytes"
    )
    frame = (
        queries.drop("rcode", "answers", "negative_ttl")
        .join(_pairs(queries, answers), on="query", how="left")
        .join(told, on="answer", how="left")
        .join(_ends(frames, queries, answers), on="source", how="left")
        .with_columns(
            rcode=pl.when(pl.col("answered").is_not_null())
            .then("rcode")
            .when(pl.col("time") <= pl.col("end") - ANSWER_WINDOW)
            .then(pl.lit(NO_REPLY)),
            duration_seconds=(pl.col("answered") - pl.col("time")).dt.total_microseconds() / 1e6,
            wire_bytes=pl.col("wire_bytes").fill_null(0) + pl.col("more").fill_null(0),
            origin=pl.lit("capture"),
        )
    )
    return frame, pl.concat([answers["server"], _forwarders(frame)]).unique()


def _forwarders(queries: pl.DataFrame) -> pl.Series:
    """Clients that ask what another client is waiting for at that moment, and ask it elsewhere: what a server does
    whose own address never answers, because clients reach it by a service address."""
    key = ["source", "name", "qtype"]
    before = {name: pl.col(name).shift(1).over(key) for name in ("client", "server", "answered")}
    for_other = (before["client"] != pl.col("client")) & (before["server"] != pl.col("server"))
    inside = (for_other & (before["answered"] >= pl.col("answered"))).fill_null(False)
    shares = (
        queries.sort("time", "query").select("client", inside=inside).group_by("client").agg(pl.col("inside").mean())
    )
    return shares.filter(pl.col("inside") >= FORWARDED_SHARE)["client"]


def _from_log(frames: Frames) -> pl.DataFrame:
    probe = (pl.col("qtype") == "HINFO") & pl.col("name").str.contains(LOOP_PROBE)
    return (
        frames[COREDNS_QUERIES]
        .filter(~probe.fill_null(False))
        .with_columns(
            answered="time",
            time="query_time",
            wire_bytes=pl.col("query_bytes").fill_null(0) + pl.col("answer_bytes").fill_null(0),
            origin=pl.lit("log"),
        )
        .collect()
    )


def _fitted(part: pl.DataFrame) -> pl.DataFrame:
    """Exactly the columns that both origins share; a column that one origin lacks is null there."""
    made = {"hop", "retry", "covered"}
    want = {col.name: col.dtype for col in TRANSACTIONS.cols if col.name not in made} | {"interface": pl.Int32()}
    has = set(part.columns)
    return part.select([(pl.col(n) if n in has else pl.lit(None)).cast(t).alias(n) for n, t in want.items()])


def _is_retry() -> pl.Expr:
    """True where, in rows sorted by time, the same socket asked with the same id before and had no final answer yet.

    An answer other than NOERROR and NXDOMAIN is not final: glibc asks again at once, with the same id.
    """
    key = ["source", *_TUPLE]
    settled = pl.when(pl.col("rcode").is_in(_FINAL)).then("answered").shift(1).over(key)
    soon = pl.col("time") - pl.col("time").shift(1).over(key) <= RETRY_WINDOW
    again = soon & (settled.is_null() | (settled > pl.col("time"))) & pl.col("dns_id").is_not_null()
    return again.fill_null(False)


def _derive(frames: Frames) -> pl.LazyFrame:
    parts, servers = [], pl.Series(dtype=pl.String)
    if DNS_MESSAGES in frames:
        captured, servers = _from_capture(frames)
        parts.append(_fitted(captured))
    if COREDNS_QUERIES in frames:
        parts.append(_fitted(_from_log(frames)))
    whole = pl.concat(parts).sort("time", "source", "number", nulls_last=True)
    upstream = pl.col("client").is_in(servers.implode())
    return (
        whole.with_columns(
            hop=pl.when(upstream).then(pl.lit("upstream")).otherwise(pl.lit("client")),
            retry=_is_retry(),
            covered=copies(whole),
        )
        .select(list(TRANSACTIONS.schema))
        .lazy()
    )


def _derive_orphans(frames: Frames) -> pl.LazyFrame:
    queries, answers = _sides(frames)
    found = answers.join(_pairs(queries, answers), on="answer", how="anti")
    return found.lazy().select(list(ORPHANS.schema)).sort("time", "source", "number")


DNS_TRANSACTIONS = Fact(
    table=TRANSACTIONS,
    needs_any=((DNS_MESSAGES,), (COREDNS_QUERIES,)),
    uses=(PACKETS,),
    derive=_derive,
)
DNS_ORPHAN_ANSWERS = Fact(table=ORPHANS, needs_any=((DNS_MESSAGES,),), derive=_derive_orphans)
