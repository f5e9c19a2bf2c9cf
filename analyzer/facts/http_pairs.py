"""HTTP requests and their answers, brought together within each socket."""

from __future__ import annotations

import polars as pl

SILENCE = pl.duration(seconds=60)
"""After so long a pause a socket's next request is no longer waiting behind an unanswered one: the port was reused."""

KEY = ["client", "client_port", "method", "path"]
"""What stays the same wherever a request is seen."""

_SOCKET = ["source", "client", "client_port", "server", "server_port"]


def with_answers(messages: pl.LazyFrame) -> pl.DataFrame:
    """The requests among the messages, each with `answered`, `answer_number`, `status` and `duration_seconds` of its
    answer, null where none was seen. Copies at other interfaces and interim answers are left out."""
    # 101 is the last answer of its connection (RFC 9110, section 15.2.2).
    interim = ((pl.col("status") < 200) & (pl.col("status") != 101)).fill_null(False)
    fresh = messages.filter(~pl.col("duplicate").fill_null(False), ~interim)
    turned = _turned(fresh.sort("time", "source", "number").collect())
    key = [*_SOCKET, "burst", "nth"]
    answers = turned.filter("response").select(*key, "status", "expires_at", answered="time", answer_number="number")
    return (
        turned.filter(~pl.col("response"))
        .drop("status", "expires_at")
        .join(answers, on=key, how="left")
        .sort("time", "source", "number")
        .with_columns(
            origin=pl.lit("capture"),
            duration_seconds=(pl.col("answered") - pl.col("time")).dt.total_microseconds() / 1e6,
        )
    )


def _turned(messages: pl.DataFrame) -> pl.DataFrame:
    """Requests and answers with client and server, numbered within their socket: `burst` ends where a request follows
    an answer or a long pause, `nth` counts each direction within it. HTTP/1 answers in the order of the requests."""
    answer = pl.col("response")
    ends = {
        "client": pl.when(answer).then("dst").otherwise("src"),
        "client_port": pl.when(answer).then("dst_port").otherwise("src_port"),
        "server": pl.when(answer).then("src").otherwise("dst"),
        "server_port": pl.when(answer).then("src_port").otherwise("dst_port"),
    }
    follows_answer = pl.col("response").shift(1).over(_SOCKET).fill_null(True)
    pause = (pl.col("time") - pl.col("time").shift(1).over(_SOCKET) > SILENCE).fill_null(False)
    return (
        messages.with_columns(**ends)
        .with_columns(burst=(~answer & (follows_answer | pause)).cum_sum().over(_SOCKET))
        .with_columns(nth=pl.int_range(pl.len()).over(*_SOCKET, "burst", "response"))
    )
