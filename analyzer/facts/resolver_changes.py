"""When servers of the cluster's resolver were taken away, by whatever source tells of it."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.frames import AUDIT_EVENTS, KLOG_LINES, Col, Table
from analyzer.frames.contract import PLACE, empty

RESOLVER = r"^(?:rke2-|k3s-)?(?:coredns|kube-dns)(?:-|$)"
"""Names of the Deployment, its pods and slices in kubeadm, the clouds and RKE2: CoreDNS, and kube-dns before it."""

SYSTEM = "kube-system"

REPLICAS = r"Replicas are not as expected : updating ([^ /]+/[^ ]+) from ([0-9]+) to ([0-9]+)"
"""cluster-proportional-autoscaler, pkg/autoscaler/k8sclient/k8sclient.go."""

_TABLE = Table(
    "resolver_changes",
    "One row per record that a server of the cluster's resolver was removed or scaled.",
    (
        *PLACE,
        Col("what", pl.String(), "pod deleted, container killed, scaled or changed."),
        Col("object", pl.String(), "namespace/name of the pod or the Deployment."),
        Col("actor", pl.String(), "Who did it; null where the source does not say."),
        Col("replicas_before", pl.Int64(), "Replicas before it, where told."),
        Col("replicas_after", pl.Int64(), "Replicas after it, where told."),
    ),
)


def _from_audit(events: pl.LazyFrame) -> pl.LazyFrame:
    named = (pl.col("namespace") == SYSTEM) & pl.col("name").str.contains(RESOLVER)
    pod = (pl.col("resource") == "pods") & (pl.col("verb") == "delete") & pl.col("subresource").is_null()
    owner = (pl.col("resource") == "deployments") & pl.col("verb").is_in(["patch", "update"])
    owner &= pl.col("subresource").is_null() | (pl.col("subresource") == "scale")
    scaled = owner & (pl.col("subresource") == "scale")
    what = pl.when(pod).then(pl.lit("pod deleted")).when(scaled).then(pl.lit("scaled")).otherwise(pl.lit("changed"))
    return events.filter(
        named & (pod | owner), pl.col("stage") == "ResponseComplete", pl.col("code").is_between(200, 299)
    ).select(
        "time",
        "source",
        "number",
        what.alias("what"),
        pl.concat_str("namespace", "name", separator="/").alias("object"),
        pl.col("user").alias("actor"),
        pl.lit(None, pl.Int64).alias("replicas_before"),
        pl.lit(None, pl.Int64).alias("replicas_after"),
    )


def _from_klog(lines: pl.LazyFrame) -> pl.LazyFrame:
    name = pl.col("pod").str.strip_prefix(f"{SYSTEM}/")
    killed = (pl.col("message") == "Killing container with a grace period") & pl.col("pod").str.starts_with(SYSTEM)
    killed &= name.str.contains(RESOLVER)
    parts = pl.col("text").str.extract_groups(REPLICAS)
    scaled = parts.struct[0].str.strip_prefix(f"{SYSTEM}/").str.contains(RESOLVER).fill_null(False)
    return lines.filter(killed.fill_null(False) | scaled).select(
        "time",
        "source",
        "number",
        pl.when(scaled).then(pl.lit("scaled")).otherwise(pl.lit("container killed")).alias("what"),
        pl.coalesce(parts.struct[0], "pod").alias("object"),
        pl.lit(None, pl.String).alias("actor"),
        parts.struct[1].cast(pl.Int64).alias("replicas_before"),
        parts.struct[2].cast(pl.Int64).alias("replicas_after"),
    )


def _derive(frames: Frames) -> pl.LazyFrame:
    parts = [empty(_TABLE).lazy()]
    if AUDIT_EVENTS in frames:
        parts.append(_from_audit(frames[AUDIT_EVENTS]))
    if KLOG_LINES in frames:
        parts.append(_from_klog(frames[KLOG_LINES]))
    return pl.concat(parts).filter(pl.col("time").is_not_null()).sort("time", "source", "number")


RESOLVER_CHANGES = Fact(table=_TABLE, needs_any=((AUDIT_EVENTS,), (KLOG_LINES,)), derive=_derive)
