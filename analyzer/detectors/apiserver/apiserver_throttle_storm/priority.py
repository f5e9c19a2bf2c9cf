"""Where API priority and fairness puts a user by default, and who must never be throttled.

Levels, shares and flow schemas: kubernetes `staging/src/k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap/default.go`.
"""

from __future__ import annotations

import polars as pl

SHARES = {
    "system": 30,
    "node-high": 40,
    "leader-election": 10,
    "workload-high": 40,
    "workload-low": 100,
    "global-default": 20,
    "catch-all": 5,
}
"""nominalConcurrencyShares of the bootstrap priority levels."""

VITAL = (
    pl.col("user").str.starts_with("system:node:")
    | pl.col("user").is_in(["system:kube-controller-manager", "system:kube-scheduler"])
    | (pl.col("resource") == "leases")
).fill_null(False)
"""Requests whose loss spreads: node heartbeats, leader election, the control plane itself."""


def level(user: str | None, resource: str | None) -> tuple[str, str]:
    """Flow schema and priority level that the bootstrap configuration gives a user's request for a resource."""
    user = user or ""
    leases = resource in ("leases", "endpoints", "configmaps")
    if user.startswith("system:node:"):
        return ("system-node-high", "node-high") if resource in ("nodes", "leases") else ("system-nodes", "system")
    if user in ("system:kube-controller-manager", "system:kube-scheduler"):
        own = user.removeprefix("system:")
        return ("system-leader-election", "leader-election") if leases else (own, "workload-high")
    if user == "system:apiserver":
        return "exempt", "exempt"
    if user.startswith("system:serviceaccount:kube-system:"):
        if resource == "leases":
            return "workload-leader-election", "leader-election"
        return "kube-system-service-accounts", "workload-high"
    if user.startswith("system:serviceaccount:"):
        return "service-accounts", "workload-low"
    return "global-default", "global-default"


def told(user: str | None, resource: str | None) -> str:
    """A sentence on where the user's requests go by default."""
    schema, name = level(user, resource)
    if name == "exempt":
        return "By default the flow schema exempt puts no limit on it."
    share = f"{SHARES[name]} of {sum(SHARES.values())} shares"
    return f"By default its requests fall under the flow schema {schema}, priority level {name} ({share})."
