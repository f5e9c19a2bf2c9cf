"""Whether those who come to a port that asks for a client's certificate may be a control plane outside the cluster.

The API server connects to kubelets for logs, exec and port-forward (kubernetes.io, "Communication between Nodes and the
Control Plane"); that of a managed cluster may do so from public addresses, several of them. TLS hides whether its
certificate was accepted. What tells is how they behave: a control plane comes from few addresses and to this port
only, and is itself spoken to by the nodes. Who looks for open doors knocks at others in vain.
"""

from __future__ import annotations

import polars as pl

from analyzer.detectors.security.exposed_admin_service.catalogue import MUTUAL
from analyzer.facts.audit_windows import counted
from analyzer.facts.contract import Frames
from analyzer.facts.public_addresses import is_public
from analyzer.facts.tcp_connections import TCP_CONNECTIONS

FEW = 5
"""Addresses of a control plane that the nodes do not speak to themselves [an engineering default]."""
IN_VAIN = 2
"""Other ports at which an address knocks without an answer, so that it looks for doors [an engineering default]."""
KUBELET = 10250
API_PORTS = (443, 6443)
"""Where nodes reach an API server: of managed clusters, and of kubeadm (cmd/kubeadm/app/constants)."""


def control_planes(rows: pl.DataFrame, frames: Frames) -> dict[tuple[str, int], str]:
    """The ports, as (server, port), whose clients may be a control plane, with a word on each. `rows` are answered
    connections of public addresses to ports of administration."""
    mutual = rows.filter(pl.col("server_port").is_in(list(MUTUAL)))
    if mutual.is_empty():
        return {}
    clients = mutual["client"].unique().implode()
    seen = frames[TCP_CONNECTIONS].filter(~pl.col("covered"))
    answered = pl.col("established") & (pl.col("client_bytes") > 0) & (pl.col("server_bytes") > 0)
    knocks = seen.filter(pl.col("client").is_in(clients), ~answered, ~pl.col("server_port").is_in(list(MUTUAL)))
    ports = knocks.group_by("client").agg(pl.col("server_port").n_unique().alias("ports")).collect()
    probing = set(ports.filter(pl.col("ports") >= IN_VAIN)["client"])
    spoken = seen.filter(
        pl.col("server").is_in(clients), pl.col("server_port").is_in(list(API_PORTS)), ~is_public(pl.col("client"))
    )
    known = set(spoken.filter(answered).select("server").unique().collect()["server"])
    told = {}
    for (server, port), part in mutual.group_by(["server", "server_port"], maintain_order=True):
        who = set(part["client"])
        if not who & probing and len(who - known) <= FEW:
            told[(str(server), int(str(port)))] = _word(part, who, known & who)
    return told


def _word(rows: pl.DataFrame, who: set[str], known: set[str]) -> str:
    server, port = rows["server"][0], rows["server_port"][0]
    addresses = "1 public address" if len(who) == 1 else f"{len(who):,} public addresses"
    spoken = f" (the nodes connect to {len(known):,} of them themselves)" if known else ""
    check = (
        f"curl -k https://{server}:{port}/pods, which 401 should answer" if port == KUBELET else "a login without one"
    )
    return (
        f"{server} answered {counted(rows.height, 'connection')} from {addresses}{spoken} at port {port}, which asks "
        "for a client's certificate. None of them knocked at other doors: a control plane outside the cluster connects "
        "so, for logs and commands. Whether the addresses are its own, the provider tells; whether a certificate is "
        f"needed, {check}, from outside."
    )
