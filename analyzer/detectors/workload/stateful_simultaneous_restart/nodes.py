"""Replicas that stop because their nodes start anew, as in the morning after a cluster was switched off."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.workload.stateful_simultaneous_restart.groups import Group
from analyzer.facts.contract import Frames
from analyzer.facts.kubelet_starts import KUBELET_STARTS
from analyzer.facts.node_names import short_node
from analyzer.facts.requests import AUDIT_REQUESTS

SOON = "2m"
"""A kubelet looks for its containers once a second (genericPlegRelistPeriod) and finds those of before the boot dead;
a container that it took over runs on."""


def with_their_nodes(group: Group, frames: Frames) -> bool:
    """Whether at least half of the replicas were found dead just after the kubelet of their node had begun."""
    if KUBELET_STARTS not in frames:
        return False
    starts = frames[KUBELET_STARTS].select("node", began="time").sort("began").collect()
    stops = group.stops.filter(pl.col("how").is_in(["died", "unready"])).select("time", node=short_node(pl.col("node")))
    met = stops.filter(pl.col("node").is_not_null()).sort("time")
    begun = met.join_asof(
        starts,
        left_on="time",
        right_on="began",
        by="node",
        strategy="backward",
        tolerance=SOON,
        check_sortedness=False,
    )
    return 2 * begun.filter(pl.col("began").is_not_null()).height >= group.stops.height


def unexplained(group: Group, frames: Frames) -> str:
    """What is known of replicas that stopped together without a write before."""
    if with_their_nodes(group, frames):
        return "as the kubelets of their nodes began"
    if AUDIT_REQUESTS in frames:
        return "without a write of its template or custom resource before: somebody, or their node, did it"
    return "on one node, as far as it is told: the node may have taken them along"
