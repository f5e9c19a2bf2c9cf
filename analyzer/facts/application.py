"""What clients of a metadata service ask of other servers: the requests that the credentials are for."""

from __future__ import annotations

import polars as pl

from analyzer.facts.addresses import is_metadata
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.metadata_requests import METADATA_REQUESTS
from analyzer.frames import PACKETS, TIME, Col, Table
from analyzer.frames.contract import PLACE

TLS_PORTS = (443, 6443, 8443)
"""Ports where the first thing a client sends is a handshake, not a request."""

_HANDSHAKE, _APPLICATION_DATA = 22, 23
"""Content types of TLS records (RFC 8446, section 5.1)."""

APPLICATION = Table(
    "application_requests",
    "One row per request of a metadata client to another server over TCP: what it sends first or after an answer.",
    (
        *PLACE,
        Col("client", pl.String(), "Address that asked."),
        Col("client_port", pl.Int32(), "Port that asked."),
        Col("server", pl.String(), "Address that was asked."),
        Col("server_port", pl.Int32(), "Port that was asked."),
        Col("seconds", pl.Float64(), "Until the server's next payload on the connection; null if none was seen."),
        Col("opened", TIME, "First payload of the connection: how long it has been in use."),
    ),
)

_SOCKET = ["source", "client", "client_port", "server", "server_port"]


def _other_servers() -> pl.Expr:
    """Neither metadata nor DNS, and asked, not asking: the lower port is the server's."""
    return (
        ~is_metadata(pl.col("server")) & (pl.col("server_port") != 53) & (pl.col("server_port") < pl.col("client_port"))
    )


def _turns(packets: pl.LazyFrame, clients: pl.LazyFrame) -> pl.LazyFrame:
    """What a client sends where the last payload of the connection came from the server, or was none.

    In TLS only a turn that holds application data asks for something; where the records cannot be seen (a capture of
    headers only), the first turn on a port of TLS is taken for the handshake.
    """
    payload = packets.filter(
        pl.col("protocol") == "TCP", pl.col("payload_bytes") > 0, ~pl.col("duplicate").fill_null(False)
    )
    asks = {"src": "client", "src_port": "client_port", "dst": "server", "dst_port": "server_port"}
    answers = {"dst": "client", "dst_port": "client_port", "src": "server", "src_port": "server_port"}
    columns = ["time", "source", "number", "client", "client_port", "server", "server_port", "tls_record", "mine"]
    both = [
        payload.rename(names).with_columns(mine=pl.lit(mine)).select(columns)
        for names, mine in ((asks, True), (answers, False))
    ]
    begins = pl.col("mine") & ~pl.col("mine").shift(1).over(_SOCKET).fill_null(False)
    record = pl.col("tls_record")
    handshake = pl.col("server_port").is_in(TLS_PORTS) & (pl.int_range(pl.len()).over(_SOCKET) == 0)
    data = pl.col("mine") & (record == _APPLICATION_DATA).fill_null(False)
    return (
        pl.concat(both)
        .join(clients, on=["source", "client"], how="semi")
        .filter(_other_servers())
        .sort("time", "source", "number")
        .with_columns(
            begins=begins, tls=(record == _HANDSHAKE).any().over(_SOCKET), plain=begins & ~handshake, data=data
        )
        .with_columns(turn=pl.col("begins").cum_sum().over(_SOCKET))
        .with_columns(
            opened=pl.col("time").min().over(_SOCKET),
            answered=pl.when(~pl.col("mine")).then("time").backward_fill().over(_SOCKET),
        )
        .with_columns(seconds=(pl.col("answered") - pl.col("time")).dt.total_microseconds() / 1e6)
        .with_columns(first=pl.col("data") & (pl.col("data").cum_sum().over([*_SOCKET, "turn"]) == 1))
        .filter(pl.when("tls").then("first").otherwise("plain"))
    )


def _derive(frames: Frames) -> pl.LazyFrame:
    metadata = frames[METADATA_REQUESTS].filter(~pl.col("covered"))
    clients = metadata.select("source", "client").unique()
    found = _turns(frames[PACKETS], clients)
    # A proxy that stands in for the service has an address of its own.
    servers = metadata.select("server", "server_port").unique()
    return (
        found.join(servers, on=["server", "server_port"], how="anti")
        .select(list(APPLICATION.schema))
        .sort("time", "source", "number", "client")
    )


APPLICATION_REQUESTS = Fact(table=APPLICATION, needs_any=((METADATA_REQUESTS, PACKETS),), derive=_derive)
