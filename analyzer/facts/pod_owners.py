"""Which workload a pod belongs to: pod to ReplicaSet to Deployment, pod to Job to CronJob, or what owns it directly."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.workload_names import DUE, HASH, ORDINAL, SUFFIX
from analyzer.frames import AUDIT_OBJECTS, Col, Table
from analyzer.frames.contract import PLACE, empty

REPLICA_SET = f"^(?P<workload>.+)-{HASH}$"
GENERATED = f"^(?P<owner>.+)-{SUFFIX}$"
ORDERED = f"^(?P<owner>.+)-{ORDINAL}$"
SCHEDULED = f"^(?P<workload>.+)-{DUE}$"

KINDS = {
    "replicasets": "ReplicaSet",
    "daemonsets": "DaemonSet",
    "statefulsets": "StatefulSet",
    "jobs": "Job",
    "replicationcontrollers": "ReplicationController",
}
PARENTS = {"ReplicaSet": ("deployments", "Deployment"), "Job": ("cronjobs", "CronJob")}

BODY, OBJECT, NAME = 0, 1, 2
"""How a link is known, the surest first."""

_TABLE = Table(
    "pod_owners",
    "One row per pod that a request to kube-apiserver names, with what it belongs to. `time`, `source` and `number` "
    "are of the first such request.",
    (
        *PLACE,
        Col("namespace", pl.String(), "Namespace of the pod."),
        Col("pod", pl.String(), "Name of the pod."),
        Col("owner_kind", pl.String(), "Kind of what made the pod: ReplicaSet, DaemonSet ...; null if not known."),
        Col("owner", pl.String(), "Name of what made the pod; null if not known."),
        Col("workload_kind", pl.String(), "Deployment or CronJob above it, else the owner's kind; null if not known."),
        Col(
            "workload", pl.String(), "Name of the Deployment or CronJob above it, else of the owner; null if not known."
        ),
        Col(
            "told_by",
            pl.String(),
            "The weakest link of the chain: body, an owner reference in a logged body; object, a name and requests "
            "that name such an owner; name, the form of a name alone, which others may share. Null if nothing tells.",
        ),
    ),
)


def _pods(frames: Frames) -> pl.LazyFrame:
    """Every pod by namespace and name, with the first place that names it: as an object, or as the caller.

    `node` is that of a kubelet that speaks of the pod under a name that ends in its own: a static pod's mirror
    (kubernetes `pkg/kubelet/config/common.go`, `generatePodName`).
    """
    requests = frames[AUDIT_REQUESTS]
    place = ("time", "source", "number")
    pods = requests.filter(pl.col("resource") == "pods")
    own = pl.col("name").str.ends_with("-" + pl.col("node"))
    none = pl.lit(None, pl.String).alias("node")
    parts = [
        pods.select(*place, "namespace", pl.col("name").alias("pod"), pl.when(own).then("node").alias("node")),
        requests.select(
            *place, pl.col("service_account_namespace").alias("namespace"), pl.col("caller_pod").alias("pod"), none
        ),
        _bodies(frames)
        .filter(pl.col("resource") == "pods")
        .select(*place, "namespace", pl.col("name").alias("pod"), none),
    ]
    return (
        pl.concat(parts)
        .filter(pl.col("namespace").is_not_null(), pl.col("pod").is_not_null())
        .sort(place, nulls_last=True)
        .group_by("namespace", "pod", maintain_order=True)
        .agg(pl.col(place).first(), pl.col("node").drop_nulls().min())
    )


def _bodies(frames: Frames) -> pl.LazyFrame:
    """Objects that are told of; what was asked for and refused is not there."""
    objects = frames.get(AUDIT_OBJECTS, empty(AUDIT_OBJECTS).lazy())
    return objects.filter(pl.col("name").is_not_null(), pl.col("code").fill_null(200) < 300)


def _told(frames: Frames, resource: str, name: str) -> pl.LazyFrame:
    """What owner references say of these objects; the last of several counts, as a name may be used again."""
    return (
        _bodies(frames)
        .filter(pl.col("resource") == resource, pl.col("owner_name").is_not_null(), pl.col("owner_kind").is_not_null())
        .sort("time", "source", "number", nulls_last=False)
        .unique(["namespace", "name"], keep="last", maintain_order=True)
        .select("namespace", pl.col("name").alias(name), "owner_kind", "owner_name")
    )


def _seen(frames: Frames) -> pl.LazyFrame:
    """Workloads that requests name: namespace, resource, name."""
    keys = ["namespace", "resource", "name"]
    wanted = [*KINDS, *(resource for resource, _ in PARENTS.values())]
    named = [
        frames[AUDIT_REQUESTS].filter(pl.col("code").fill_null(200) != 404).select(keys),
        _bodies(frames).select(keys),
    ]
    return pl.concat(named).filter(pl.col("resource").is_in(wanted)).drop_nulls().unique()


def _named(pods: pl.LazyFrame, seen: pl.LazyFrame) -> pl.LazyFrame:
    """`by_kind`, `by_owner` and `sure`: what the pod's name says, and whether requests name such an owner."""
    known = (
        seen.filter(pl.col("resource").is_in(list(KINDS)))
        .with_columns(pl.col("resource").replace_strict(KINDS, return_dtype=pl.String).alias("kind"))
        .sort("kind")
        .unique(["namespace", "name"], keep="first", maintain_order=True)
        .select("namespace", pl.col("name").alias("by_owner"), "kind")
    )
    pod = pl.col("pod")
    ordinal = pod.str.extract(ORDERED)
    owner = pl.coalesce(pod.str.extract(GENERATED), ordinal)
    shaped = (
        pl.when(pod.str.contains(GENERATED) & owner.str.contains(REPLICA_SET) & ~owner.str.contains(SCHEDULED))
        .then(pl.lit("ReplicaSet"))
        .when(pod.str.contains(GENERATED) & owner.str.contains(SCHEDULED))
        .then(pl.lit("Job"))
        .when(~pod.str.contains(GENERATED) & ordinal.is_not_null())
        .then(pl.lit("StatefulSet"))
    )
    return (
        pods.with_columns(pl.coalesce("node", owner).alias("by_owner"), shaped.alias("shaped"))
        .join(known, on=["namespace", "by_owner"], how="left")
        .with_columns(
            pl.when(pl.col("node").is_not_null())
            .then(pl.lit("Node"))
            .otherwise(pl.coalesce("kind", "shaped"))
            .alias("by_kind"),
            (pl.col("kind").is_not_null() | pl.col("node").is_not_null()).alias("sure"),
        )
    )


def _parent(made: pl.LazyFrame, seen: pl.LazyFrame, told: pl.LazyFrame, kind: str, form: str) -> pl.LazyFrame:
    """The Deployment or CronJob above each owner of one kind, by the owner's own reference, else by its name."""
    resource, parent = PARENTS[kind]
    above = seen.filter(pl.col("resource") == resource).select("namespace", pl.col("name").alias("guess"), held=True)
    body, guessed = pl.col("owner_name").is_not_null(), pl.col("guess").is_not_null()
    link = (
        pl.when(body | ~guessed)
        .then(pl.lit(BODY))
        .when(pl.col("held").fill_null(False))
        .then(pl.lit(OBJECT))
        .otherwise(pl.lit(NAME))
    )
    return (
        made.filter(pl.col("owner_kind") == kind)
        .with_columns(pl.col("owner").str.extract(form).alias("guess"))
        .join(told, on=["namespace", "owner"], how="left")
        .join(above, on=["namespace", "guess"], how="left")
        .with_columns(
            pl.when(body)
            .then("owner_kind_right")
            .when(guessed)
            .then(pl.lit(parent))
            .otherwise("owner_kind")
            .alias("workload_kind"),
            pl.coalesce("owner_name", "guess", "owner").alias("workload"),
            pl.max_horizontal("link", link).alias("link"),
        )
        .select(*_MADE, "workload_kind", "workload", "link")
    )


_MADE = ("time", "source", "number", "namespace", "pod", "owner_kind", "owner")


def _derive(frames: Frames) -> pl.LazyFrame:
    seen = _seen(frames)
    pods = _named(_pods(frames), seen).join(_told(frames, "pods", "pod"), on=["namespace", "pod"], how="left")
    body, shaped = pl.col("owner_name").is_not_null(), pl.col("by_kind").is_not_null()
    made = pods.select(
        *_MADE[:5],
        pl.when(body).then("owner_kind").otherwise("by_kind").alias("owner_kind"),
        pl.when(body).then("owner_name").when(shaped).then("by_owner").alias("owner"),
        pl.when(body)
        .then(pl.lit(BODY))
        .when("sure")
        .then(pl.lit(OBJECT))
        .when(shaped)
        .then(pl.lit(NAME))
        .alias("link"),
    )
    rest = made.filter(~pl.col("owner_kind").is_in(list(PARENTS)).fill_null(False)).select(
        *_MADE, pl.col("owner_kind").alias("workload_kind"), pl.col("owner").alias("workload"), "link"
    )
    parents = [
        _parent(made, seen, _told(frames, resource, "owner"), kind, form)
        for kind, resource, form in (("ReplicaSet", "replicasets", REPLICA_SET), ("Job", "jobs", SCHEDULED))
    ]
    links = {BODY: "body", OBJECT: "object", NAME: "name"}
    return (
        pl.concat([rest, *parents])
        .with_columns(pl.col("link").replace_strict(links, return_dtype=pl.String).alias("told_by"))
        .select(_TABLE.schema.names())
        .sort("time", "source", "number", "namespace", "pod")
    )


POD_OWNERS = Fact(table=_TABLE, needs_any=((AUDIT_REQUESTS,),), uses=(AUDIT_OBJECTS,), derive=_derive)
