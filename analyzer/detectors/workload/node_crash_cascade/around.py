"""What surrounds outages: evictions, deleted nodes, how many nodes there are, and whether one could have been seen."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.detector import NotObservable
from analyzer.detectors.workload.node_crash_cascade.places import POD
from analyzer.facts.audit_windows import counted
from analyzer.facts.change_ledger import CHANGE_LEDGER
from analyzer.facts.contract import Frames
from analyzer.facts.node_names import short_node
from analyzer.facts.node_outages import NODE_OUTAGES
from analyzer.facts.pod_life import POD_LIFE
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.told_events import TOLD_EVENTS

AFTERWARDS = r":(?:node-controller|cloud-node-lifecycle-controller|cloud-controller-manager)$"
"""Who deletes a node because its machine is gone (kubernetes cloud-provider, node lifecycle controller)."""


DRAINED = timedelta(minutes=15)
"""A node whose pods were evicted so shortly before went down in order: what drains gives it that long at the least
(the autoscaler's --max-graceful-termination-sec is 10 min)."""


def must_be_observable(outages: pl.DataFrame, placed: pl.DataFrame, frames: Frames) -> None:
    """Raise NotObservable where neither Events nor heartbeats could tell of an outage, or no pod's node is told."""
    if outages.height:
        if not placed.height:
            raise NotObservable(f"{counted(outages.height, 'outage')} of nodes, and no input tells where any pod ran")
        return
    if TOLD_EVENTS in frames and frames[TOLD_EVENTS].filter(pl.col("channel") == "event").head(1).collect().height:
        return
    if AUDIT_REQUESTS in frames:
        beats = frames[AUDIT_REQUESTS].filter(pl.col("namespace") == "kube-node-lease")
        if beats.head(1).collect().height:
            return
    raise NotObservable("no Events are here, and no leases of nodes in an audit log (policies often leave them out)")


def evicted(frames: Frames, placed: pl.DataFrame) -> pl.DataFrame:
    """When pods of which node were evicted: node, time."""
    asked = frames[POD_LIFE].filter(pl.col("what") == "evicted").select(*POD, at="time").collect()
    met = asked.join(placed.select(*POD, "node", "time"), on=POD)
    return met.filter(pl.col("time") <= pl.col("at")).select("node", time="at").unique()


def deleted(frames: Frames) -> pl.DataFrame:
    """When somebody deleted which node: node, time."""
    if CHANGE_LEDGER not in frames:
        return frames[NODE_OUTAGES].select("node", "time").clear().collect()
    gone = frames[CHANGE_LEDGER].filter(
        pl.col("resource") == "nodes",
        pl.col("verb") == "delete",
        pl.col("time").is_not_null(),
        ~pl.col("actor").str.contains(AFTERWARDS).fill_null(False),
    )
    return gone.select(node=short_node(pl.col("name")), time="time").collect()


def cordoned(frames: Frames) -> pl.DataFrame:
    """When which node was cordoned, as its kubelet tells (pkg/kubelet/kubelet_node_status.go): node, time."""
    if TOLD_EVENTS not in frames:
        return frames[NODE_OUTAGES].select("node", "time").clear().collect()
    told = frames[TOLD_EVENTS].filter(
        pl.col("kind") == "Node", pl.col("reason") == "NodeNotSchedulable", pl.col("time").is_not_null()
    )
    return told.select(node=short_node(pl.coalesce("node", "name")), time="time").collect()


def nodes_of(frames: Frames, placed: pl.DataFrame, outages: pl.DataFrame) -> int:
    """How many nodes the evidence knows."""
    known = [placed["node"], outages["node"]]
    if AUDIT_REQUESTS in frames:
        known.append(frames[AUDIT_REQUESTS].select(node=short_node(pl.col("node"))).unique().collect()["node"])
    return pl.concat(known).drop_nulls().n_unique()


def drained(outages: pl.DataFrame, *planned: pl.DataFrame) -> pl.DataFrame:
    """The outages of nodes that were drained, cordoned or deleted by somebody shortly before (node, time of each)."""
    orderly = pl.concat(planned).rename({"time": "at"})
    met = outages.join(orderly, on="node").filter(
        pl.col("at").is_between(pl.col("time") - DRAINED, pl.col("time") + timedelta(minutes=1))
    )
    return outages.join(met.select("node", "time").unique(), on=["node", "time"], how="semi")
