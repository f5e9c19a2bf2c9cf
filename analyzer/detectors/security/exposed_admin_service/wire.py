"""Strangers in captures: connections from public addresses to ports of administration, and what they asked."""

from __future__ import annotations

import polars as pl
from msgspec.structs import replace

from analyzer.detectors.security.exposed_admin_service.catalogue import SURE
from analyzer.detectors.security.exposed_admin_service.control import control_planes
from analyzer.detectors.security.exposed_admin_service.exposed import Exposed
from analyzer.facts.contract import Frames
from analyzer.facts.http_requests import HTTP_REQUESTS
from analyzer.facts.public_addresses import is_public
from analyzer.facts.tcp_connections import TCP_CONNECTIONS

PEER = ["server", "server_port"]


def wire(found: list[Exposed], frames: Frames, least: int) -> tuple[list[Exposed], list[str]]:
    """The services with who was seen at them, and ports that no service tells of; and a word on those whose clients may
    be a control plane outside the cluster."""
    if TCP_CONNECTIONS not in frames:
        return found, []
    ports = {port for one in found for port in one.ports if _own(port, one)} | set(SURE)
    stranger = is_public(pl.col("client")) & ~is_public(pl.col("server"))
    answered = pl.col("established") & (pl.col("client_bytes") > 0) & (pl.col("server_bytes") > 0)
    columns = ("time", "source", "number", "client", "client_port", *PEER, "end")
    seen = frames[TCP_CONNECTIONS].filter(
        ~pl.col("covered"), pl.col("server_port").is_in(list(ports)), stranger, answered
    )
    connections = seen.select(columns).sort("time", "source", "number", nulls_last=True).collect()
    if not connections.height and not found:
        return [], []
    requests = _requests(frames, connections)
    told = []
    for one in found:
        mine = [port for port in one.ports if _own(port, one)]
        here = pl.col("server_port").is_in(mine)
        told.append(replace(one, connections=connections.filter(here), http=requests.filter(here)))
        connections, requests = connections.filter(~here), requests.filter(~here)
    asked = requests.partition_by(PEER, as_dict=True)
    meant, remarks = control_planes(connections, frames), []
    for (server, port), rows in connections.group_by(PEER, maintain_order=True):
        asks = asked.get((server, port), requests.clear())
        if rows.height < least:
            continue
        if not asks.height and (text := meant.get((str(server), int(str(port))))):
            remarks.append(text)
        else:
            told.append(_port(str(server), int(str(port)), rows, asks))
    return told, remarks


def _own(port: int, one: Exposed) -> bool:
    """A port by which the service alone is known: a node's port, or one of administration. 80 is everybody's."""
    return port >= 30000 or port in SURE or (port == one.port and one.sure and port > 1024)


def _requests(frames: Frames, connections: pl.DataFrame) -> pl.DataFrame:
    """Requests on these connections that were answered with success or another protocol."""
    ends = ["source", "client", "client_port", *PEER]
    if HTTP_REQUESTS not in frames:
        return connections.head(0).with_columns(method=pl.lit(""), path=pl.lit(""), status=pl.lit(0, pl.Int32))
    success = (pl.col("status") == 101) | pl.col("status").is_between(200, 299)
    asked = frames[HTTP_REQUESTS].filter(~pl.col("covered"), success)
    found = asked.join(connections.lazy().select(ends).unique(), on=ends, how="semi")
    columns = ("time", "source", "number", "client", *PEER, "method", "path", "status")
    return found.select(columns).sort("time", "source", "number", nulls_last=True).collect()


def _port(server: str, port: int, rows: pl.DataFrame, asks: pl.DataFrame) -> Exposed:
    return Exposed(
        subject=server,
        variant="connections",
        product=SURE.get(port, "a service for administration"),
        port=port,
        ports=(port,),
        connections=rows,
        http=asks,
    )
