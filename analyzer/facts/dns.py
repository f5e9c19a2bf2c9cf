"""DNS queries with their answers, from captures and from CoreDNS logs, each query once."""

from __future__ import annotations

import numpy as np
import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.copies import copies
from analyzer.facts.dns_pairs import ANSWER_WINDOW, ENDS, FINAL, RETRY_WINDOW, pairs, with_questions
from analyzer.facts.neighbours import followers, in_order
from analyzer.frames import COREDNS_QUERIES, DNS_MESSAGES, NO_REPLY, PACKETS, TIME, Col, Table
from analyzer.frames.contract import PLACE

FORWARDED_SHARE = 0.8
"""Share of a client's answered queries that must fall inside another client's wait for the same name. A forwarder's
share is 1 but for packets that the capture lost; a client comes near it only by chance."""

RESOLUTION = "dns"
"""The protocol that resolvers and servers speak; multicast DNS and LLMNR ask the neighbours instead."""

LOOP_PROBE = r"^\d+\.\d+$"
"""Name of the HINFO query that CoreDNS's loop plugin sends to itself at its start."""

TRANSACTIONS = Table(
    "dns_transactions",
    "One row per DNS query with what became of it, in the order of time, source and number. Count the rows that are "
    "neither covered nor retry.",
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


def _messages(frames: Frames) -> pl.DataFrame:
    """Queries and answers without copies, in order, as they went over the wire: to turn the ends of all answers round
    would copy two columns of text."""
    messages = (
        frames[DNS_MESSAGES]
        .filter(pl.col("protocol") == RESOLUTION, ~pl.col("duplicate").fill_null(False), pl.col("time").is_not_null())
        .drop("duplicate", "protocol", "truncated", "authoritative")
        .collect()
    )
    return with_questions(in_order(messages).with_row_index("row"))


def _end(frames: Frames, messages: pl.DataFrame) -> pl.Expr:
    """When the capture of a message ended: the time of its last packet."""
    parts = [messages.lazy().select("source", "time")]
    if PACKETS in frames:
        parts.append(frames[PACKETS].select("source", "time"))
    source = pl.col("source")
    wholes = [
        part.select(source.first(), pl.col("time").max(), single=(source == source.first()).all()).collect()
        for part in parts
    ]
    whole = pl.concat(wholes).drop_nulls()
    if whole["single"].all() and whole["source"].n_unique() < 2:  # the usual case, and text is slow to group
        return pl.lit(whole["time"].max(), TIME)
    # The rows of an input mostly stand together, and runs are quicker to group than text.
    runs = pl.concat(parts).group_by(source.rle_id().alias("run")).agg(source.first(), end=pl.col("time").max())
    ends = runs.group_by("source").agg(pl.col("end").max()).collect()
    return source.replace_strict(ends["source"], ends["end"], return_dtype=TIME)


def _from_capture(frames: Frames) -> tuple[pl.DataFrame, pl.Series]:
    """The transactions of all captures, and the addresses that answer queries."""
    messages = _messages(frames)
    found, retries = pairs(messages)
    place = np.full(messages.height, -1)
    place[found["query"]] = found["answer"]
    queries = _queries(messages)
    answer = pl.Series(place[queries["row"]])
    told = messages.select(
        "rcode", "answers", "negative_ttl", answered="time", answer_number="number", more="wire_bytes"
    )
    again = np.zeros(messages.height, bool)
    again[retries] = True
    frame = (
        pl.concat([queries, told.select(pl.all().gather(answer.set(answer < 0, None)))], how="horizontal")
        .with_columns(end=_end(frames, messages))
        .with_columns(
            rcode=pl.when(pl.col("answered").is_not_null())
            .then("rcode")
            .when(pl.col("time") <= pl.col("end") - ANSWER_WINDOW)
            .then(pl.lit(NO_REPLY)),
            duration_seconds=(pl.col("answered") - pl.col("time")).dt.total_microseconds() / 1e6,
            wire_bytes=pl.col("wire_bytes").fill_null(0) + pl.col("more").fill_null(0),
            origin=pl.lit("capture"),
            retry=pl.Series(again[queries["row"]]),
        )
    )
    servers = messages.lazy().filter("response").select(server="src").unique().collect().to_series()
    return frame, pl.concat([servers, _forwarders(frame)]).unique()


_SAME = ("row", "time", "source", "number", "interface", "transport", "dns_id", "name", "qtype", "wire_bytes")
_ASKED = dict(zip(_SAME, _SAME, strict=True)) | {
    "client": "src",
    "client_port": "src_port",
    "server": "dst",
    "server_port": "dst_port",
}
"""What a query tells, by the columns of messages."""


def _queries(messages: pl.DataFrame) -> pl.DataFrame:
    """The queries among the messages. Each column in one piece, because all that looks at the transactions takes longer
    from pieces, and one after the other, so that the pieces of one make room for those of the next."""
    asked = ~messages["response"]
    return pl.DataFrame({name: messages[column].filter(asked).rechunk() for name, column in _ASKED.items()})


def _forwarders(queries: pl.DataFrame) -> pl.Series:
    """Clients that ask what another client is waiting for at that moment, and ask it elsewhere: what a server does
    whose own address never answers, because clients reach it by a service address."""
    if queries["server"].n_unique() < 2:
        return pl.Series(dtype=pl.String)
    asked = followers(
        queries.select("row", "time", "source", "name", "qtype", "client", "server", "answered"),
        ["source", "name", "qtype"],
        ["row"],
        ["client", "server", "answered"],
    )
    inside = asked.filter(
        pl.col("before_client") != pl.col("client"),
        pl.col("before_server") != pl.col("server"),
        pl.col("before_answered") >= pl.col("answered"),
    )
    # What nobody answered says nothing: an upstream that drops queries must not hide who forwards them.
    told = queries.filter(pl.col("answered").is_not_null())
    shares = told.group_by("client").len("asked").join(inside.group_by("client").len("inside"), on="client")
    return shares.filter(pl.col("inside") >= FORWARDED_SHARE * pl.col("asked"))["client"]


def _from_log(frames: Frames) -> pl.DataFrame:
    probe = (pl.col("qtype") == "HINFO") & pl.col("name").str.contains(LOOP_PROBE)
    lines = (
        frames[COREDNS_QUERIES]
        .filter(~probe.fill_null(False))
        .with_columns(
            answered="time",
            time="query_time",
            wire_bytes=pl.col("query_bytes").fill_null(0) + pl.col("answer_bytes").fill_null(0),
            origin=pl.lit("log"),
        )
        .sort("time", "source", "number", nulls_last=True)
        .with_row_index("row")
        .collect()
    )
    return lines.with_columns(retry=pl.col("row").is_in(_logged_retries(lines).implode()))


def _logged_retries(lines: pl.DataFrame) -> pl.Series:
    """Lines of a socket that asked with the same id before and had no final answer when it asked again."""
    known = lines.filter(pl.col("time").is_not_null(), pl.col("dns_id").is_not_null())
    socket = ["source", "client", "client_port", "dns_id", "name", "qtype"]
    again = followers(known, socket, ["row"], ["time", "answered", "rcode"])
    final = pl.col("before_rcode").is_in(FINAL) & (pl.col("before_answered") <= pl.col("time"))
    soon = pl.col("time") - pl.col("before_time") <= RETRY_WINDOW
    return again.filter(soon, ~final.fill_null(False))["row"]


def _fitted(part: pl.DataFrame) -> pl.DataFrame:
    """Exactly the columns that both origins share; a column that one origin lacks is null there."""
    made = {"hop", "covered"}
    want = {col.name: col.dtype for col in TRANSACTIONS.cols if col.name not in made} | {"interface": pl.Int32()}
    has = set(part.columns)
    return part.select([(pl.col(n) if n in has else pl.lit(None)).cast(t).alias(n) for n, t in want.items()])


def _derive(frames: Frames) -> pl.LazyFrame:
    parts, servers = [], pl.Series(dtype=pl.String)
    if DNS_MESSAGES in frames:
        captured, servers = _from_capture(frames)
        parts.append(_fitted(captured))
    if COREDNS_QUERIES in frames:
        parts.append(_fitted(_from_log(frames)))
    whole = parts[0] if len(parts) == 1 else pl.concat(parts).sort("time", "source", "number", nulls_last=True)
    upstream = pl.col("client").is_in(servers.implode())
    return (
        whole.with_columns(
            hop=pl.when(upstream).then(pl.lit("upstream")).otherwise(pl.lit("client")),
            covered=copies(whole, packets=frames.get(PACKETS)),
        )
        .select(list(TRANSACTIONS.schema))
        .lazy()
    )


def _derive_orphans(frames: Frames) -> pl.LazyFrame:
    messages = _messages(frames)
    found, _ = pairs(messages)
    left = messages.filter("response").join(found, left_on="row", right_on="answer", how="anti").with_columns(**ENDS)
    return left.sort("row").select(list(ORPHANS.schema)).lazy()


DNS_TRANSACTIONS = Fact(
    table=TRANSACTIONS,
    needs_any=((DNS_MESSAGES,), (COREDNS_QUERIES,)),
    uses=(PACKETS,),
    derive=_derive,
)
DNS_ORPHAN_ANSWERS = Fact(table=ORPHANS, needs_any=((DNS_MESSAGES,),), derive=_derive_orphans)
