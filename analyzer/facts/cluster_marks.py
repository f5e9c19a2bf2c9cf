"""What inputs tell of the cluster that they are of: marks that only one cluster has, and whom they name.

A cluster has one namespace `kube-system` for all its life, so one UID of it; the service `default/kubernetes` keeps its
address (kubernetes pkg/controlplane/controller/kubernetesservice); an API server of EKS or AKS has a host name that no
other has. Nodes, pods and namespaces are no marks: another cluster may have some of the same name.
"""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.node_names import short_node
from analyzer.frames import (
    AUDIT_ADDRESSES,
    AUDIT_EVENTS,
    AUDIT_OBJECTS,
    KLOG_LINES,
    KUBE_EVENTS,
    TIME,
    Col,
    Table,
)
from analyzer.frames.contract import PLACE

UID, SERVICE, SERVICE_6, HOST = "kube-system", "service", "service of IPv6", "host"
MARKS = (UID, SERVICE, SERVICE_6, HOST)
NODE, POD, NAMESPACE = "node", "pod", "namespace"

EVERYWHERE = ("default", "kube-system", "kube-public", "kube-node-lease")
"""Namespaces that every cluster has (kubernetes pkg/controlplane/controller/systemnamespaces, and `default`)."""

_HOSTS = r"\b([0-9A-Fa-f]{32}\.[a-z0-9]+\.[a-z0-9-]+\.eks\.amazonaws\.com|[a-z0-9-]+\.hcp\.[a-z0-9-]+\.azmk8s\.io)\b"
_HINTS = ("eks.amazonaws.com", "azmk8s.io")

TABLE = Table(
    "cluster_marks",
    "One row per input and thing that it tells of its cluster; `time` and `number` are of the first record that does.",
    (
        *PLACE,
        Col("last", TIME, "Time of the last record that does."),
        Col(
            "kind",
            pl.String(),
            "Marks that only one cluster has: kube-system (UID of the namespace), service and service of IPv6 (address "
            "of default/kubernetes), host (of a managed API server). Else node, pod or namespace.",
        ),
        Col("value", pl.String(), "The mark, or the name: a node without its domain, a pod as namespace/name."),
    ),
)


def _derive(frames: Frames) -> pl.LazyFrame:
    every = [frame.select("source") for frame in frames.values()]
    parts = [*_marks(frames), *_names(frames)] if pl.concat(every).unique().collect().height > 1 else []
    if not parts:
        return pl.LazyFrame(schema=TABLE.schema)
    return (
        pl.concat(parts)
        .filter(pl.col("value").is_not_null(), pl.col("value") != "")
        .group_by("source", "kind", "value")
        .agg(pl.col("time").min(), pl.col("number").min(), last=pl.col("time").max())
        .select(list(TABLE.schema))
        .sort("source", "kind", "value")
    )


def _of(frame: pl.LazyFrame, kind: str, value: pl.Expr) -> pl.LazyFrame:
    return frame.select("time", "source", "number", kind=pl.lit(kind), value=value)


def _marks(frames: Frames) -> list[pl.LazyFrame]:
    parts = []
    if AUDIT_OBJECTS in frames:
        own = frames[AUDIT_OBJECTS].filter(
            pl.col("resource") == "namespaces", pl.col("name") == "kube-system", pl.col("body") == "response"
        )
        parts.append(_of(own, UID, pl.col("uid")))
    if AUDIT_ADDRESSES in frames:
        own = frames[AUDIT_ADDRESSES].filter(
            pl.col("kind") == "service", pl.col("namespace") == "default", pl.col("name") == "kubernetes"
        )
        six = pl.col("address").str.contains(":", literal=True)
        parts += [_of(own.filter(~six), SERVICE, pl.col("address")), _of(own.filter(six), SERVICE_6, pl.col("address"))]
    if KLOG_LINES in frames:
        told = frames[KLOG_LINES].filter(pl.col("text").str.contains_any(list(_HINTS)))
        parts.append(_of(told, HOST, pl.col("text").str.extract(_HOSTS, 1).str.to_lowercase()))
    return parts


def _names(frames: Frames) -> list[pl.LazyFrame]:
    """Whom the inputs name that look at a whole cluster; only where there are two of them to compare."""
    wide = [frames[table] for table in (AUDIT_EVENTS, KUBE_EVENTS) if table in frames]
    if not wide or pl.concat([one.select("source") for one in wide]).unique().collect().height < 2:
        return []
    parts = []
    if AUDIT_EVENTS in frames:
        events = frames[AUDIT_EVENTS]
        parts += [_of(events, NODE, short_node(pl.col(one))) for one in ("node", "caller_node")]
        parts += [_of(events, NAMESPACE, _own(one)) for one in ("namespace", "service_account_namespace")]
        pods = events.filter(pl.col("resource") == "pods", pl.col("name").is_not_null())
        parts.append(_of(pods, POD, pl.concat_str("namespace", pl.lit("/"), "name")))
    if AUDIT_OBJECTS in frames:
        parts.append(_of(frames[AUDIT_OBJECTS], NODE, short_node(pl.col("node_name"))))
    if KUBE_EVENTS in frames:
        events = frames[KUBE_EVENTS]
        parts += [_of(events, NODE, short_node(pl.col("node"))), _of(events, NAMESPACE, _own("namespace"))]
        parts.append(_of(events.filter(pl.col("kind") == "Node"), NODE, short_node(pl.col("name"))))
        pods = events.filter(pl.col("kind") == "Pod")
        parts.append(_of(pods, POD, pl.concat_str("namespace", pl.lit("/"), "name")))
    if KLOG_LINES in frames:
        lines = frames[KLOG_LINES]
        parts += [_of(lines, NODE, short_node(pl.col("host"))), _of(lines, POD, pl.col("pod"))]
    return parts


def _own(column: str) -> pl.Expr:
    return pl.when(~pl.col(column).is_in(EVERYWHERE)).then(pl.col(column))


CLUSTER_MARKS = Fact(
    table=TABLE,
    needs_any=((AUDIT_EVENTS,), (KUBE_EVENTS,), (KLOG_LINES,)),
    uses=(AUDIT_OBJECTS, AUDIT_ADDRESSES),
    derive=_derive,
)
