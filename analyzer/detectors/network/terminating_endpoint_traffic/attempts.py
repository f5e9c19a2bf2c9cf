"""New connections to pods that were deleted: who tried, when after the deletion, and what came back."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.contract import Frames
from analyzer.facts.http_requests import HTTP_REQUESTS
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.frames import DNS_ANSWERS

REFUSED, UNANSWERED, ANSWERED = "refused", "unanswered", "answered"
CLIENT, NODE, HEADLESS, DOWN = "client", "node", "headless", "down"

PATIENCE = timedelta(seconds=1)
"""What a SYN is given for an answer: its first repetition follows after 1 s (RFC 6298, 2.1)."""

BEFORE = timedelta(minutes=1)
"""A pod that refused connections for so long before its deletion, and answered none, was down already."""

PROBERS = r"^(?:kube-probe/|ELB-HealthChecker/|GoogleHC/|Edge Health Probe|Blackbox-Exporter/|Prometheus/)"
"""User agents that look whether a server lives, or read its metrics: kubelet (kubernetes pkg/probe/http/request.go),
load balancers of AWS and Google by their documentation, Prometheus and its exporter."""

_BRIDGE = r"\.1$"
"""A node's own address in its pod range: the first one, which host-local hands to the bridge (containernetworking
plugins, ipam/host-local)."""

_KEY = ["client", "client_port", "server", "server_port", "client_isn"]


def connections(frames: Frames, servers: pl.Series) -> pl.DataFrame:
    """TCP connections to these addresses, each once, though a Service's address was translated on the way."""
    return (
        frames[TCP_CONNECTIONS]
        .filter(pl.col("server").is_in(servers.implode()), pl.col("time").is_not_null())
        .sort("time", "source", "number")
        .unique(_KEY, keep="first", maintain_order=True)
        .select(
            *("time", "source", "number", "end", *_KEY, "syns", "answered", "refused", "reset_by", "server_packets")
        )
        .collect()
    )


def attempts(seen: pl.DataFrame, ended: pl.DataFrame, last: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """One row per new connection after a deletion, with `ending`, `after` (seconds), `outcome` and `who`.

    `last` tells per capture when it ends. That nobody answers counts only where the same capture saw that address
    answer at some time, and went on for a second.
    """
    spoke = seen.filter(pl.col("server_packets") > 0).select("source", "server").unique().with_columns(spoke=True)
    outcome = (
        pl.when("refused")
        .then(pl.lit(REFUSED))
        .when("answered")
        .then(pl.lit(ANSWERED))
        .when(pl.col("spoke").fill_null(False) & (pl.col("time") + PATIENCE <= pl.col("last")))
        .then(pl.lit(UNANSWERED))
    )
    tried = (
        seen.filter(pl.col("syns") > 0)
        .join(ended.select("ending", "deleted", "bound", "node", server="address"), on="server")
        .filter(pl.col("time") > pl.col("deleted"), pl.col("time") < pl.col("bound"))
        .join(spoke, on=["source", "server"], how="left")
        .join(last, on="source", how="left")
        .with_columns(
            outcome=outcome, after=(pl.col("time") - pl.col("deleted")).dt.total_microseconds().cast(pl.Float64) / 1e6
        )
        .filter(pl.col("outcome").is_not_null())
        .drop("spoke", "last")
    )
    return _who(tried, _down(seen, ended), frames).drop("node").sort("time", "source", "number")


def _down(seen: pl.DataFrame, ended: pl.DataFrame) -> pl.Series:
    """Endings of pods that had refused connections in the minute before, and answered none."""
    soon = pl.col("time").is_between(pl.col("deleted") - BEFORE, "deleted")
    before = seen.join(ended.select("ending", "deleted", server="address"), on="server").filter(soon)
    sums = before.group_by("ending").agg(pl.col("refused").any(), pl.col("answered").any())
    return sums.filter("refused", ~pl.col("answered"))["ending"]


def _probers(tried: pl.DataFrame, frames: Frames) -> pl.Expr:
    """Who looks whether a server lives: whoever says so and asks nothing else, the pod's own node, and other nodes but
    those that hand on what others ask, as a NodePort or an ingress controller of the host's network does."""
    nodes = frames[ADDRESS_OWNERS].filter(pl.col("kind") == "node").select(client="address", node="name").collect()
    own = tried.select("client", "node").unique().join(nodes, on=["client", "node"], how="semi")
    at_home = pl.struct("client", "node").is_in(own.to_struct().implode()) | pl.col("node").is_null()
    node = pl.col("client").is_in(nodes["client"].implode())
    if HTTP_REQUESTS not in frames:
        return node
    agent = pl.col("user_agent")
    asks = frames[HTTP_REQUESTS].filter(pl.col("server").is_in(tried["server"].unique().implode()))
    probing = agent.str.contains(PROBERS)
    said = asks.group_by("client").agg(only=probing.fill_null(False).all(), hands_on=(~probing).any()).collect()
    only, speaks = (said.filter(name)["client"].implode() for name in ("only", "hands_on"))
    return pl.col("client").is_in(only) | (node & (at_home | ~pl.col("client").is_in(speaks)))


def _who(tried: pl.DataFrame, down: pl.Series, frames: Frames) -> pl.DataFrame:
    """With `who`: down (the pod served nobody before either), node (probes of a kubelet or a load balancer), headless
    (the client was told this address by DNS, and keeps it by itself), else client."""
    subnet = pl.col("client").str.replace(r"[^.]*$", "") == pl.col("server").str.replace(r"[^.]*$", "")
    bridge = subnet & pl.col("client").str.contains(_BRIDGE)
    told = pl.DataFrame(schema={"client": pl.String(), "server": pl.String(), "told": pl.Boolean()})
    if DNS_ANSWERS in frames:
        answers = frames[DNS_ANSWERS].filter(pl.col("value").is_in(tried["server"].unique().implode()))
        told = answers.select("client", server="value", told=True).unique().collect()
    return (
        tried.join(told, on=["client", "server"], how="left", maintain_order="left")
        .with_columns(
            who=pl.when(pl.col("ending").is_in(down.implode()))
            .then(pl.lit(DOWN))
            .when(_probers(tried, frames) | bridge)
            .then(pl.lit(NODE))
            .when(pl.col("told").fill_null(False))
            .then(pl.lit(HEADLESS))
            .otherwise(pl.lit(CLIENT))
        )
        .drop("told")
    )


def ends(frames: Frames) -> pl.DataFrame:
    """When each capture ends: source, last."""
    return frames[TCP_CONNECTIONS].group_by("source").agg(last=pl.col("end").max()).collect()


def kept_open(seen: pl.DataFrame, ended: pl.DataFrame) -> pl.DataFrame:
    """Connections that were open when their pod was deleted and were used after it, with `cut`: the pod reset them."""
    return (
        seen.join(ended.select("ending", "deleted", "bound", server="address"), on="server")
        .filter(
            pl.col("time") <= pl.col("deleted"), pl.col("end") > pl.col("deleted"), pl.col("time") < pl.col("bound")
        )
        .with_columns(cut=(pl.col("reset_by") == "server").fill_null(False))
    )
