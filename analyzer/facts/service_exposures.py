"""Since when and until when a service's port is open to whom, by the bodies of its writes.

A service's state is what its writes said last: a patch that names no port leaves them as they are. Kubernetes keeps a
load balancer's `loadBalancerSourceRanges` only with the type LoadBalancer (core/v1, ServiceSpec); where there are none
the balancer is open to all (kubernetes pkg/util/service, GetLoadBalancerSourceRanges: 0.0.0.0/0).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.public_addresses import is_public
from analyzer.facts.requests import AUDIT_REQUESTS, dry_run, meant
from analyzer.frames import AUDIT_SERVICE_PORTS, TIME, Col, Table
from analyzer.frames.contract import PLACE

PUBLIC, NODES, INTERNAL, RESTRICTED = "public", "nodes", "internal", "restricted"

TABLE = Table(
    "service_exposures",
    "One row per port of a service and stretch of time in which it is open beyond the cluster in one way. `time`, "
    "`source` and `number` are of the write that opened it so.",
    (
        *PLACE,
        Col("until", TIME, "When another write ended it; null if the log has none."),
        Col("until_source", pl.String(), "Input of that write; null if none."),
        Col("until_number", pl.Int64(), "Record of that write; null if none."),
        Col("namespace", pl.String(), "Namespace of the service."),
        Col("name", pl.String(), "Name of the service."),
        Col("type", pl.String(), "NodePort or LoadBalancer."),
        Col("port", pl.Int64(), "Port of the service."),
        Col("target_port", pl.String(), "Port of the pods, a number or a name; null if it is the same."),
        Col("node_port", pl.Int64(), "Port of every node; null if not told."),
        Col("protocol", pl.String(), "TCP, UDP or SCTP."),
        Col("port_name", pl.String(), "Name of the port; null if it has none."),
        Col("selector", pl.String(), "Labels of the pods; null if not told."),
        Col(
            "reach",
            pl.String(),
            "public (a load balancer without limits), nodes (a port of every node), internal (an internal load "
            "balancer or one with a private address) or restricted (source ranges that leave somebody out).",
        ),
        Col("source_ranges", pl.String(), "Networks that may use the load balancer; null if all."),
        Col("balancer", pl.String(), "Address or host name of the load balancer; null if not told."),
        Col("actor", pl.String(), "user.username of who opened it; null if it was read only."),
        Col("agent", pl.String(), "User agent family of who opened it."),
    ),
)

_STATE = ("type", "internal", "source_ranges", "balancer", "selector")
_PORT = ("port", "target_port", "node_port", "protocol", "port_name")
_EVERYBODY = frozenset({"0.0.0.0/0", "::/0"})
Row = dict[str, Any]


def _derive(frames: Frames) -> pl.LazyFrame:
    tried = frames[AUDIT_REQUESTS].filter(dry_run()).select("audit_id")
    told = frames[AUDIT_SERVICE_PORTS].join(tried, on="audit_id", how="anti", maintain_order="left").collect()
    requests = meant(frames[AUDIT_REQUESTS]).filter(pl.col("resource") == "services", pl.col("subresource").is_null())
    actors = requests.select("audit_id", "user", "agent").unique("audit_id", keep="first").collect()
    gone = (
        requests.filter(pl.col("verb").is_in(["delete", "deletecollection"]), pl.col("code").is_between(200, 299))
        .select("time", "source", "number", "namespace", "name", verb=pl.lit("delete"))
        .collect()
    )
    writes = pl.concat([told.join(actors, on="audit_id", how="left"), gone], how="diagonal")
    writes = writes.sort("time", "source", "number", nulls_last=True, maintain_order=True)
    of_service: dict[tuple[str, str], list[list[Row]]] = {}
    for (_, _), event in groupby(writes.iter_rows(named=True), key=itemgetter("source", "number")):
        told_by = list(event)
        of_service.setdefault((str(told_by[0]["namespace"]), str(told_by[0]["name"])), []).append(told_by)
    rows = [row for _, mine in sorted(of_service.items()) for row in _of_service(mine)]
    made = pl.DataFrame(rows, schema=TABLE.schema)
    reach = pl.when(pl.col("reach") == PUBLIC, _private_balancer()).then(pl.lit(INTERNAL)).otherwise("reach")
    made = made.with_columns(reach=reach).sort("time", "source", "number", "port", nulls_last=True)
    return made.select(list(TABLE.schema)).lazy()


def _private_balancer() -> pl.Expr:
    """Its address is private, or its name says so: AWS names internal balancers `internal-...`."""
    balancer = pl.col("balancer").fill_null("")
    address = balancer.str.contains(r"^(?:\d{1,3}\.){3}\d{1,3}$|:")
    return (address & ~is_public(balancer)) | balancer.str.starts_with("internal-")


def _of_service(writes: list[list[Row]]) -> Iterator[Row]:
    """The exposures of one service; Python runs for the writes of services, which are rare by nature."""
    state: Row = dict.fromkeys(_STATE)
    ports: list[Row] = []
    open_: dict[tuple[object, ...], Row] = {}
    for rows in writes:
        first = rows[0]
        if first["verb"] == "delete":
            state, ports = dict.fromkeys(_STATE), []
        else:
            state |= {name: first[name] for name in _STATE if first[name] is not None}
            told = [{name: row[name] for name in _PORT} for row in rows if row["port"] is not None]
            if told and first["verb"] == "patch" and first["body"] == "request":
                # A strategic merge patch names the ports that change (core/v1, patchMergeKey=port).
                told += [port for port in ports if port["port"] not in {one["port"] for one in told}]
            ports = told or ports
        now = {tuple(row[name] for name in ("port", "target_port", "reach")): row for row in _exposed(state, ports)}
        for key in [key for key in open_ if key not in now]:
            ended = open_.pop(key)
            yield ended | {"until": first["time"], "until_source": first["source"], "until_number": first["number"]}
        for key, row in now.items():
            if key in open_:
                open_[key] |= {name: row[name] for name in ("balancer", "node_port") if row[name] is not None}
                continue
            place = {name: first[name] for name in ("time", "source", "number", "namespace", "name")}
            by = {} if first["verb"] == "get" else {"actor": first["user"], "agent": first["agent"]}
            open_[key] = row | place | by
    yield from open_.values()


def _exposed(state: Row, ports: list[Row]) -> Iterator[Row]:
    if state["type"] not in ("NodePort", "LoadBalancer"):
        return
    ranges = [one for one in (state["source_ranges"] or "").split(",") if one]
    if state["type"] == "NodePort":
        reach = NODES
    elif state["internal"]:
        reach = INTERNAL
    elif ranges and not _EVERYBODY & set(ranges):
        reach = RESTRICTED
    else:
        reach = PUBLIC
    for port in ports:
        same = {name: state[name] for name in ("type", "selector", "balancer")}
        yield same | port | {"reach": reach, "source_ranges": ",".join(ranges) or None}


SERVICE_EXPOSURES = Fact(table=TABLE, needs_any=((AUDIT_SERVICE_PORTS, AUDIT_REQUESTS),), derive=_derive)
