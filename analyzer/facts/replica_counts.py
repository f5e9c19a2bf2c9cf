"""How many replicas Deployments were given and by whom, as far as bodies of requests and Events tell."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.requests import AUDIT_REQUESTS, FAILED, meant
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import AUDIT_OBJECTS, Col, Table
from analyzer.frames.contract import PLACE, empty

DEPLOYMENT = "Deployment"

AUTOSCALER = r"(^|:)horizontal-pod-autoscaler$"
"""The HPA's account, which also ends its user agent where all controllers share one user."""

_TABLE = Table(
    "replica_counts",
    "One row per record that tells the replicas of a Deployment, or that they were written without being told.",
    (
        *PLACE,
        Col(
            "what",
            pl.String(),
            "created, written (the Deployment itself was changed), scaled (its subresource scale), seen (read, or its "
            "status written), event (one of its ReplicaSets was scaled), or rescaled (an Event of an autoscaler).",
        ),
        Col("actor", pl.String(), "user.username of the writer; null for events."),
        Col("agent", pl.String(), "User agent family of the writer; null for events."),
        Col("autoscaler", pl.Boolean(), "Whether a HorizontalPodAutoscaler did it."),
        Col("namespace", pl.String(), "Namespace of the Deployment."),
        Col("name", pl.String(), "Its name; of a rescale the autoscaler's, which often has the same."),
        Col("asked", pl.Int64(), "Replicas that the request named; null where it named none, or is not known."),
        Col(
            "replicas", pl.Int64(), "Replicas from now on: what was stored, else asked for; null if neither body tells."
        ),
        Col("before", pl.Int64(), "Replicas before, where an event tells."),
        Col("replicaset", pl.String(), "The ReplicaSet that an event is about."),
    ),
)


def _from_audit(requests: pl.LazyFrame, objects: pl.LazyFrame) -> pl.LazyFrame:
    verb, sub, good = pl.col("verb"), pl.col("subresource"), pl.col("code") < FAILED
    written = verb.is_in(["create", "update", "patch"])
    what = (
        pl.when((verb == "create") & sub.is_null())
        .then(pl.lit("created"))
        .when(written & sub.is_null())
        .then(pl.lit("written"))
        .when(written & (sub == "scale"))
        .then(pl.lit("scaled"))
        .when(verb.is_in(["get", "update", "patch"]) & (sub.is_null() | sub.is_in(["status", "scale"])))
        .then(pl.lit("seen"))
    )
    mine = requests.filter(pl.col("resource") == "deployments", good).with_columns(what=what)
    told = mine.join(_bodies(objects), on=["source", "number"], how="left").with_columns(
        pl.coalesce("end_time", "time").alias("time"),
        replicas=pl.coalesce("stored", "asked"),
        name=pl.coalesce("name", "told_name"),
        actor="user",
        autoscaler=_autoscaler(),
        before=pl.lit(None, pl.Int64),
        replicaset=pl.lit(None, pl.String),
    )
    kept = pl.col("what").is_in(["created", "written", "scaled"]) | pl.col("replicas").is_not_null()
    return told.filter(pl.col("what").is_not_null(), pl.col("name").is_not_null(), kept).select(_TABLE.schema.names())


def _autoscaler() -> pl.Expr:
    return pl.any_horizontal(pl.col("user", "controller").str.contains(AUTOSCALER).fill_null(False))


def _bodies(objects: pl.LazyFrame) -> pl.LazyFrame:
    """What was asked for and what was stored, by the event that carried it."""
    replicas, body = pl.col("replicas"), pl.col("body")
    return (
        objects.filter(pl.col("resource") == "deployments")
        .group_by("source", "number", maintain_order=True)
        .agg(
            replicas.filter(body == "request").first().alias("asked"),
            replicas.filter(body == "response").first().alias("stored"),
            pl.col("name").drop_nulls().first().alias("told_name"),
        )
    )


_FORMS = (
    r"^Scaled (?:up|down) replica set (?P<set>[a-z0-9.-]{1,253}) from (?P<before>[0-9]{1,9}) to (?P<after>[0-9]{1,9})$",
    r"^Scaled (?:up|down) replica set (?P<set>[a-z0-9.-]+) to (?P<after>[0-9]{1,9})(?: from (?P<before>[0-9]{1,9}))?$",
)
"""`Scaled %s replica set %s to %d` until 1.24, then `.. to %d from %d`, from 1.32 on `.. from %d to %d`
(pkg/controller/deployment/sync.go, scaleReplicaSet)."""


_SIZE = r"^New size: ([0-9]{1,9}); reason: "
"""`New size: %d; reason: %s` of SuccessfulRescale (pkg/controller/podautoscaler/horizontal.go)."""


def _from_events(events: pl.LazyFrame) -> pl.LazyFrame:
    fell = (pl.col("reason") == "ScalingReplicaSet") & (pl.col("kind") == DEPLOYMENT)
    rescaled = (pl.col("reason") == "SuccessfulRescale") & (pl.col("kind") == "HorizontalPodAutoscaler")
    new, old = (pl.col("message").str.extract_groups(form) for form in _FORMS)

    def either(field: str) -> pl.Expr:
        return pl.coalesce(new.struct.field(field), old.struct.field(field))

    return (
        events.filter(fell | rescaled)
        .select(
            *(col.name for col in PLACE),
            pl.when(rescaled).then(pl.lit("rescaled")).otherwise(pl.lit("event")).alias("what"),
            pl.lit(None, pl.String).alias("actor"),
            pl.lit(None, pl.String).alias("agent"),
            rescaled.alias("autoscaler"),
            "namespace",
            "name",
            pl.lit(None, pl.Int64).alias("asked"),
            pl.coalesce(either("after"), pl.col("message").str.extract(_SIZE, 1)).cast(pl.Int64).alias("replicas"),
            either("before").cast(pl.Int64).alias("before"),
            either("set").alias("replicaset"),
        )
        .filter(pl.col("replicas").is_not_null())
    )


def _derive(frames: Frames) -> pl.LazyFrame:
    parts = [empty(_TABLE).lazy()]
    if AUDIT_REQUESTS in frames:
        parts.append(_from_audit(meant(frames[AUDIT_REQUESTS]), frames.get(AUDIT_OBJECTS, empty(AUDIT_OBJECTS).lazy())))
    if TOLD_EVENTS in frames:
        parts.append(_from_events(frames[TOLD_EVENTS]))
    return pl.concat(parts).sort("time", "source", "number", nulls_last=True)


REPLICA_COUNTS = Fact(
    table=_TABLE,
    needs_any=((AUDIT_REQUESTS,), (TOLD_EVENTS,)),
    uses=(AUDIT_OBJECTS,),
    derive=_derive,
)
