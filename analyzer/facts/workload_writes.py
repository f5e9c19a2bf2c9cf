"""What controllers and people made, could not make, removed and scaled, by whatever source tells of it."""

from __future__ import annotations

import polars as pl

from analyzer.facts import admission_texts, workload_names
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.klog_values import value
from analyzer.facts.requests import AUDIT_REQUESTS, FAILED, meant
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import AUDIT_OBJECTS, KLOG_LINES, Col, Table
from analyzer.frames.contract import PLACE, TIME, empty

MADE = ("pods", "replicasets", "jobs", "persistentvolumeclaims")
"""What controllers make for workloads."""

KINDS = {
    "pods": "Pod",
    "replicasets": "ReplicaSet",
    "jobs": "Job",
    "deployments": "Deployment",
    "daemonsets": "DaemonSet",
    "statefulsets": "StatefulSet",
    "cronjobs": "CronJob",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "replicationcontrollers": "ReplicationController",
}

SCALED = ("replicasets", "deployments", "statefulsets", "replicationcontrollers")
"""What has a number of replicas."""

CONTROLLERS = (
    r"^system:(kube-controller-manager$|node:|serviceaccount:kube-system:(replicaset|replication|daemon-set|statefulset"
    r"|job|cronjob|deployment)-controller$)"
)
"""Who makes pods for workloads: the controllers of kube-controller-manager, each with its own account or all with one
(flag --use-service-account-credentials), and kubelets, whose static pods have a mirror."""

_TABLE = Table(
    "workload_writes",
    "One row per record that tells that a workload's object was made, denied, removed, or given a number of replicas.",
    (
        *PLACE,
        Col("first_time", TIME, "Of an Event that stands for several: when it occurred first; else `time`."),
        Col("channel", pl.String(), "audit, event or log: two channels tell of the same thing."),
        Col(
            "what",
            pl.String(),
            "made, denied, failed (for another reason), bound (a pod to a node), removed or scaled.",
        ),
        Col("controller", pl.Boolean(), "Whether a controller or a kubelet did it, and no person or pipeline."),
        Col("actor", pl.String(), "user.username; null where the source does not say."),
        Col("namespace", pl.String(), "Namespace of the object."),
        Col("kind", pl.String(), "Kind of the object: Pod, ReplicaSet, Deployment ...; null if unknown."),
        Col("name", pl.String(), "Its name; null where the server would have made it."),
        Col("owner_kind", pl.String(), "Kind of its controlling owner; null if unknown."),
        Col("owner", pl.String(), "Name of that owner; null if unknown."),
        Col("workload_kind", pl.String(), "Deployment, CronJob ... at the top of the owners, by their names."),
        Col("workload", pl.String(), "Name of that workload; null if unknown."),
        Col("replicas", pl.Int64(), "Replicas that the object has from now on; null if not told."),
        Col("check", pl.String(), "Admission check that denied it; see facts/admission_texts.py."),
        Col("policy", pl.String(), "Name of the webhook, quota or policy."),
        Col("cause", pl.String(), "Why a webhook could not be called: timeout, TLS, unreachable or other."),
        Col("message", pl.String(), "What the server answered."),
        Col("count", pl.Int64(), "Occurrences that the record stands for."),
        Col("event_uid", pl.String(), "UID of the Event: later rows of one UID stand for the earlier ones too."),
    ),
)


def _whole(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows with every column of the table: checks by the message, workloads by the owner or the name of the pod."""
    there = set(rows.collect_schema().names())
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in _TABLE.schema.items() if name not in there]
    full = rows.with_columns(missing)
    pod = pl.col("kind") == "Pod"
    text = pl.col("message")
    what = pl.when((pl.col("what") == "failed") & admission_texts.check(text).is_not_null()).then(pl.lit("denied"))
    refused = pl.when(pl.col("what").is_in(["denied", "failed"])).then(text)
    # an owner is looked at where there is one, and so is an object that is no pod; else the name of the pod tells
    kind = pl.coalesce("owner_kind", pl.when(~pod).then("kind"))
    name = pl.coalesce("owner", pl.when(~pod).then("name"))
    named = full.with_columns(
        what.otherwise("what").alias("what"),
        admission_texts.check(refused),
        admission_texts.policy(refused),
        admission_texts.cause(refused),
        pl.coalesce("first_time", "time").alias("first_time"),
        pl.coalesce("count", pl.lit(1, pl.Int64)).alias("count"),
        workload_names.of_owner(kind, name).alias("top"),
        workload_names.of_pod(pl.when(pod & pl.col("owner").is_null()).then("name")).alias("own"),
    )
    known = pl.col("owner").is_not_null() | ~pod | pl.col("name").is_null()
    return named.with_columns(
        pl.when(known).then(pl.col("top").struct.field(field)).otherwise(pl.col("own").struct.field(field)).alias(told)
        for field, told in (("kind", "workload_kind"), ("workload", "workload"))
    ).select(_TABLE.schema.names())


def _from_audit(requests: pl.LazyFrame, objects: pl.LazyFrame) -> pl.LazyFrame:
    told = requests.with_columns(what=_done()).filter(pl.col("what").is_not_null(), pl.col("code").is_not_null())
    rows = told.join(_bodies(objects), on=["source", "number"], how="left").with_columns(
        time=pl.coalesce("end_time", "time"),
        channel=pl.lit("audit"),
        actor="user",
        controller=pl.col("user").str.contains(CONTROLLERS).fill_null(False),
        kind=pl.col("resource").replace_strict(KINDS, default=None, return_dtype=pl.String),
        name=pl.coalesce("name", "told_name"),
    )
    scaled, counted = pl.col("what") == "scaled", pl.col("replicas").is_not_null()
    made = rows.filter(~scaled).with_columns(replicas=pl.lit(None, pl.Int64))
    # what is made has its replicas from the start
    given = rows.filter(counted & (scaled | (pl.col("what") == "made"))).with_columns(what=pl.lit("scaled"))
    return _whole(
        pl.concat([made, given]).select(
            *(col.name for col in PLACE),
            *("channel", "what", "controller", "actor", "namespace", "kind", "name", "owner_kind", "owner"),
            *("replicas", "message"),
        )
    )


def _done() -> pl.Expr:
    """made, failed, removed or scaled by verb, resource and code of a request; null where it is none of these."""
    verb, resource, good = pl.col("verb"), pl.col("resource"), pl.col("code") < FAILED
    whole, part = pl.col("subresource").is_null(), pl.col("subresource") == "scale"
    made = (verb == "create") & resource.is_in(MADE) & whole
    allowed = (pl.col("decision") != "forbid").fill_null(True)
    removed = (verb == "delete") & resource.is_in(list(KINDS)) & whole & good
    scaled = verb.is_in(["create", "update", "patch"]) & (whole | part) & resource.is_in(SCALED) & good
    return (
        pl.when(made & good)
        .then(pl.lit("made"))
        .when(made & allowed)
        .then(pl.lit("failed"))
        .when(removed)
        .then(pl.lit("removed"))
        .when(scaled)
        .then(pl.lit("scaled"))
        .when((verb == "create") & (resource == "pods") & (pl.col("subresource") == "binding") & good)
        .then(pl.lit("bound"))
    )


def _bodies(objects: pl.LazyFrame) -> pl.LazyFrame:
    """Owner, name and replicas by the event that carried them; what was stored goes before what was asked for."""
    order = pl.col("body") == "request"
    return (
        objects.filter(pl.col("owner_name").is_not_null() | pl.col("replicas").is_not_null())
        .sort("source", "number", order)
        .group_by("source", "number", maintain_order=True)
        .agg(
            pl.col("owner_kind").drop_nulls().first(),
            pl.col("owner_name").drop_nulls().first().alias("owner"),
            pl.col("replicas").drop_nulls().first(),
            pl.col("name").drop_nulls().first().alias("told_name"),
        )
    )


_CREATED = r"^(?:Created pod|Deleted pod|Created job): ([a-z0-9.-]{1,253})$"
_PODS_OF_SETS = r"^(?:create|delete) Pod ([a-z0-9.-]{1,253}) in "
_SCALED = r"^Scaled (?:up|down) replica set ([a-z0-9.-]{1,253}) (?:from [0-9]+ )?to ([0-9]{1,9})(?: from [0-9]+)?$"
"""`Created pod: %v` (pkg/controller/controller_utils.go), `create Pod %s in StatefulSet %s successful` (statefulset/
stateful_pod_control.go), `Scaled %s replica set %s to %d` until 1.24, then `.. to %d from %d`, and from 1.32 on
`.. from %d to %d` (deployment/sync.go)."""


def _from_events(events: pl.LazyFrame) -> pl.LazyFrame:
    reason, message = pl.col("reason"), pl.col("message")
    whats = {"SuccessfulCreate": "made", "FailedCreate": "failed", "SuccessfulDelete": "removed"}
    whats["ReplicaSetCreateError"] = "failed"
    makes = {"CronJob": "Job", "Deployment": "ReplicaSet"}
    told = events.filter(reason.is_in([*whats, "ScalingReplicaSet"]))
    scaled = told.filter((reason == "ScalingReplicaSet") & message.str.contains(_SCALED)).with_columns(
        what=pl.lit("scaled"),
        owner_kind=pl.lit("Deployment"),
        owner="name",
        kind=pl.lit("ReplicaSet"),
        name=message.str.extract(_SCALED, 1),
        replicas=message.str.extract(_SCALED, 2).cast(pl.Int64),
    )
    pods = told.filter(reason != "ScalingReplicaSet", ~message.str.contains("Claim ").fill_null(False)).with_columns(
        what=reason.replace_strict(whats, default=None, return_dtype=pl.String),
        owner_kind="kind",
        owner="name",
        kind=pl.col("kind").replace_strict(makes, default="Pod", return_dtype=pl.String),
        name=pl.coalesce(message.str.extract(_CREATED, 1), message.str.extract(_PODS_OF_SETS, 1)),
        replicas=pl.lit(None, pl.Int64),
    )
    names = (
        *(*(col.name for col in PLACE), "first_time", "channel", "what", "namespace", "kind", "name", "owner_kind"),
        *("owner", "replicas", "message", "count", "event_uid"),
    )
    both = pl.concat([scaled.select(names), pods.select(names)])
    return _whole(both.with_columns(controller=pl.lit(True)))


_SYNCS = (
    ("ReplicaSet", r'^sync "([^"/]+/[^"]+)" failed with '),
    ("DaemonSet", r"^([a-z0-9-]+/[a-z0-9.-]+) failed with : "),
    ("StatefulSet", r"^[Ee]rror syncing StatefulSet ([a-z0-9-]+/[a-z0-9.-]+), requeuing: "),
)
"""How controllers log that they failed, with the key of the object (pkg/controller/replicaset/replica_set.go, daemon/
daemon_controller.go, statefulset/stateful_set.go); from 1.3x on the text is the err of "Unhandled Error"."""

_KEYED = {"Error syncing StatefulSet, requeuing": "StatefulSet"}
_MIRROR = "Failed creating a mirror pod"


def _from_klog(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Lines of controllers that were denied, and of kubelets whose mirror pod was. A line per attempt."""
    text = pl.coalesce("error", "text")
    mirror = pl.col("message").str.starts_with(_MIRROR)
    kind, key = pl.lit(None, pl.String), pl.lit(None, pl.String)
    for told, form in _SYNCS:
        kind = pl.when(text.str.contains(form)).then(pl.lit(told)).otherwise(kind)
        key = pl.when(text.str.contains(form)).then(text.str.extract(form, 1)).otherwise(key)
    keyed = pl.col("message").replace_strict(_KEYED, default=None, return_dtype=pl.String)
    hint = text.str.contains_any(list(admission_texts.HINTS)).fill_null(False)
    rows = (
        lines.filter(hint)
        .filter(admission_texts.check(text).is_not_null())
        .with_columns(
            kind=pl.when(mirror).then(pl.lit("Pod")).otherwise(pl.coalesce(keyed, kind)),
            key=pl.when(mirror).then("pod").when(keyed.is_not_null()).then(value("key")).otherwise(key),
            message=text,
        )
    )
    namespace, name = pl.col("key").str.extract("^([^/]+)/", 1), pl.col("key").str.extract("/([^/]+)$", 1)
    own = pl.col("kind") == "Pod"
    return _whole(
        rows.filter(pl.col("kind").is_not_null()).select(
            *(col.name for col in PLACE),
            pl.lit("log").alias("channel"),
            pl.lit("denied").alias("what"),
            pl.lit(True).alias("controller"),
            namespace.alias("namespace"),
            pl.lit("Pod").alias("kind"),
            pl.when(own).then(name).alias("name"),
            pl.when(~own).then("kind").alias("owner_kind"),
            pl.when(~own).then(name).alias("owner"),
            "message",
        )
    )


def _derive(frames: Frames) -> pl.LazyFrame:
    parts = [empty(_TABLE).lazy()]
    if AUDIT_REQUESTS in frames:
        parts.append(_from_audit(meant(frames[AUDIT_REQUESTS]), frames.get(AUDIT_OBJECTS, empty(AUDIT_OBJECTS).lazy())))
    if TOLD_EVENTS in frames:
        parts.append(_from_events(frames[TOLD_EVENTS]))
    if KLOG_LINES in frames:
        parts.append(_from_klog(frames[KLOG_LINES]))
    return pl.concat(parts).sort("time", "source", "number", nulls_last=True)


WORKLOAD_WRITES = Fact(
    table=_TABLE,
    needs_any=((AUDIT_REQUESTS,), (TOLD_EVENTS,), (KLOG_LINES,)),
    uses=(AUDIT_OBJECTS,),
    derive=_derive,
)
