"""Plaintext HTTP requests with their answers: what services ask of each other, and how long they wait."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.copies import copies
from analyzer.facts.http_pairs import KEY, with_answers
from analyzer.frames import HTTP_MESSAGES, PACKETS, TIME, Col, Table
from analyzer.frames.contract import PLACE

REQUESTS = Table(
    "http_requests",
    "One row per plaintext HTTP request. Count the rows that are not covered.",
    (
        *PLACE,
        Col("answer_number", pl.Int64(), "Frame of the answer; null if none was seen."),
        Col("answered", TIME, "When the answer was seen; null if none was."),
        Col("client", pl.String(), "Address that asked."),
        Col("client_port", pl.Int32(), "Port that asked."),
        Col("server", pl.String(), "Address that was asked."),
        Col("server_port", pl.Int32(), "Port that was asked."),
        Col("host", pl.String(), "Host field; null if absent."),
        Col("method", pl.String(), "Request method."),
        Col("path", pl.String(), "Request path, its query cut to api-version and resource."),
        Col("user_agent", pl.String(), "User-Agent; null if absent."),
        Col("status", pl.Int32(), "Status of the answer; null if none was seen."),
        Col("duration_seconds", pl.Float64(), "Request to answer; null if none was seen."),
        Col("metadata", pl.Boolean(), "True where an instance metadata service was asked."),
        Col("covered", pl.Boolean(), "Another capture, or the same at another interface, tells of it: count it out."),
    ),
)


def _derive(frames: Frames) -> pl.LazyFrame:
    requests = with_answers(frames[HTTP_MESSAGES])
    covered = copies(requests, KEY, packets=frames.get(PACKETS))
    return requests.with_columns(covered=covered).select(list(REQUESTS.schema)).lazy()


HTTP_REQUESTS = Fact(table=REQUESTS, needs_any=((HTTP_MESSAGES,),), uses=(PACKETS,), derive=_derive)
