"""The change ledger: every write that succeeded and that may matter, by whomever, with what the log tells of it."""

from __future__ import annotations

import polars as pl

from analyzer.facts.callers import writes_all_day
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.requests import AUDIT_REQUESTS, meant
from analyzer.frames import AUDIT_FIELDS, AUDIT_OBJECTS, Col, Table
from analyzer.frames.contract import PLACE, empty

WRITES = ("create", "update", "patch", "delete", "deletecollection")

AREAS = {
    "workload": (
        *("deployments", "daemonsets", "statefulsets", "replicasets", "replicationcontrollers", "jobs", "cronjobs"),
        *("pods", "horizontalpodautoscalers", "poddisruptionbudgets", "verticalpodautoscalers"),
    ),
    "configuration": (
        *("configmaps", "namespaces", "customresourcedefinitions", "resourcequotas", "limitranges", "priorityclasses"),
        *("flowschemas", "prioritylevelconfigurations", "apiservices", "runtimeclasses", "storageclasses"),
        *("persistentvolumes", "persistentvolumeclaims"),
    ),
    "node": ("nodes",),
    "webhook": (
        *("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
        *("validatingadmissionpolicies", "validatingadmissionpolicybindings"),
        *("mutatingadmissionpolicies", "mutatingadmissionpolicybindings"),
    ),
    "rbac": ("clusterroles", "clusterrolebindings", "roles", "rolebindings", "serviceaccounts"),
    "service": ("services", "ingresses", "ingressclasses", "networkpolicies", "gateways", "httproutes"),
}
"""Resources of the ledger. Secrets are left out on purpose: their names alone may tell too much. Leases, events,
endpoints and their slices are written all day and say what was, not what somebody wanted."""

KEPT_PARTS = ("scale", "eviction", "ephemeralcontainers", "resize")
"""Subresources through which a change is made; status and the rest tell of one."""

LEADER_ELECTION = "leader-election"
"""What client-go adds to the user agent of a component that renews its lock, which may be a ConfigMap."""

DETAILS = 6
"""Most fields of one change that are told."""
DETAIL = 120
"""Most characters of a value that are told."""

_TABLE = Table(
    "change_ledger",
    "One row per request that created, changed or deleted an object of a workload, configuration, node, webhook, RBAC "
    "or service resource. Status, leases, locks of leader elections, tokens and dry runs are left out.",
    (
        *PLACE,
        Col("actor", pl.String(), "user.username of the writer."),
        Col("acting_as", pl.String(), "impersonatedUser.username; null if the writer acts as itself."),
        Col("agent", pl.String(), "User agent family of the writer."),
        Col("controller", pl.String(), "What client-go appends to the user agent: the controller; null if nothing."),
        Col(
            "routine", pl.Boolean(), "A kubelet, the control plane or a controller of the cluster: they write all day."
        ),
        Col("field_manager", pl.String(), "fieldManager of the request: kubectl-rollout, helm ...; null if absent."),
        Col("verb", pl.String(), "create, update, patch, delete or deletecollection."),
        Col("area", pl.String(), "workload, configuration, node, webhook, rbac or service."),
        Col("api_group", pl.String(), "API group; '' is the core group."),
        Col("resource", pl.String(), "Plural resource."),
        Col("subresource", pl.String(), "scale, eviction, ephemeralcontainers or resize; null if none."),
        Col("namespace", pl.String(), "Namespace; null if cluster-wide."),
        Col("name", pl.String(), "Object name; null where the server generated it and no body tells it."),
        Col("level", pl.String(), "Level of the audit policy: from Metadata nothing of the content is known."),
        Col(
            "replicas_before", pl.Int64(), "spec.replicas in the last body of the object before this; null if unknown."
        ),
        Col("replicas_asked", pl.Int64(), "spec.replicas that the request asked for; null if not, or not logged."),
        Col("replicas_after", pl.Int64(), "spec.replicas in the answer; null if not logged."),
        Col("selector", pl.String(), "Label selector in the answer, else in the request; null if not logged."),
        Col(
            "details",
            pl.String(),
            "Fields that changed, as far as bodies tell: `image of web from nginx:1 to nginx:2`, `spec.unschedulable "
            "to true`; of a ConfigMap the names of its keys. Null if nothing is known.",
        ),
        Col(
            "what",
            pl.String(),
            "The change in words, as far as the level tells: `scaled 3 to 1`, `evicted`, `changed: image of web to b`.",
        ),
        Col("writes", pl.Int64(), "Writes of this actor to this object in the whole log: a loop has many."),
    ),
)

_FIELD_MANAGER = r"[?&]fieldManager=([A-Za-z0-9._%-]{1,128})"


def _writes(requests: pl.LazyFrame) -> pl.LazyFrame:
    area = {resource: name for name, resources in AREAS.items() for resource in resources}
    part = pl.col("subresource")
    return (
        meant(requests)
        .filter(
            pl.col("verb").is_in(WRITES),
            pl.col("resource").is_in(list(area)),
            part.is_null() | part.is_in(KEPT_PARTS),
            pl.col("code").is_between(200, 299),
            (pl.col("controller") != LEADER_ELECTION).fill_null(True),
        )
        .with_columns(
            writes_all_day().alias("routine"),
            pl.col("uri").str.extract(_FIELD_MANAGER).alias("field_manager"),
            pl.col("resource").replace_strict(area, return_dtype=pl.String).alias("area"),
            pl.col("user").alias("actor"),
            pl.col("impersonated_user").alias("acting_as"),
        )
        .rename({"name": "named"})
    )


def _told(objects: pl.LazyFrame) -> pl.LazyFrame:
    """One row per event with bodies: what was asked for, and what came of it."""
    request, response = pl.col("body") == "request", pl.col("body") == "response"

    def first(column: str, which: pl.Expr) -> pl.Expr:
        return pl.col(column).filter(which & pl.col(column).is_not_null()).first()

    return objects.group_by("source", "number").agg(
        pl.coalesce(first("name", response), first("name", request)).alias("body_name"),
        first("replicas", request).alias("replicas_asked"),
        first("replicas", response).alias("replicas_after"),
        pl.coalesce(first("selector", response), first("selector", request)).alias("selector"),
    )


def _before(objects: pl.LazyFrame) -> pl.LazyFrame:
    """The known numbers of replicas by object, in order of time: answers, and requests that were not refused."""
    return (
        objects.filter(
            pl.col("replicas").is_not_null(), pl.col("time").is_not_null(), pl.col("code").fill_null(200) < 300
        )
        .sort("time", "source", "number", pl.col("body") == "response")
        .select("time", "resource", "namespace", pl.col("name").alias("object"), pl.col("replicas").alias("was"))
    )


def _named(fields: pl.LazyFrame) -> pl.LazyFrame:
    """The names that bodies of creations tell, where the request had none."""
    told = fields.filter(pl.col("verb") == "create", pl.col("name").is_not_null())
    return told.group_by("source", "number").agg(pl.col("name").first().alias("field_name"))


def _compared(fields: pl.LazyFrame) -> pl.LazyFrame:
    """One row per event and field: its `value`, what it `was` in the object's last body, whether a patch `asked`."""
    keys = ["resource", "namespace", "object", "field"]
    good = fields.filter(pl.col("time").is_not_null(), pl.col("code").fill_null(200) < 300).with_columns(
        pl.col("name").fill_null("").alias("object"), pl.col("namespace").fill_null("")
    )
    answered = pl.col("body") == "response"
    now = (
        good.sort("time", "source", "number", answered)
        .group_by("source", "number", *keys, maintain_order=True)
        .agg(
            pl.col("time").first(),
            pl.col("verb").first(),
            pl.col("value").last(),
            (~pl.col("whole")).any().alias("asked"),
        )
        .sort("time", "source", "number", "field")
    )
    known = good.sort("time", "source", "number", answered).select("time", *keys, pl.col("value").alias("was"))
    return now.join_asof(
        known, on="time", by=keys, strategy="backward", allow_exact_matches=False, check_sortedness=False
    )


def _details(fields: pl.LazyFrame) -> pl.LazyFrame:
    """One row per event whose bodies tell what changed: `source`, `number`, `details`.

    A field is compared with what the object's last body told of it. Where none did, what a patch names is what it
    changes, what is created is all new, and of an update nobody knows, but that nodes are not cordoned by themselves.
    """
    name, value, was = pl.col("field"), pl.col("value").str.slice(0, DETAIL), pl.col("was").str.slice(0, DETAIL)
    created = pl.col("verb") == "create"
    cordoned = (name == "spec.unschedulable") & (pl.col("value") == "true")
    nothing = ((name == "spec.unschedulable") & (value == "false")) | (
        name.str.starts_with("requests.") & (value == "0")
    )
    told = (
        pl.when(was.is_not_null() & (pl.col("was") != pl.col("value")))
        .then(pl.format("{} from {} to {}", name, was, value))
        .when((name == "keys") | (was.is_null() & created & ~nothing))
        .then(pl.format("{} {}", name, value))
        .when(was.is_null() & ~created & (pl.col("asked") | cordoned))
        .then(pl.format("{} to {}", name, value))
    )
    return (
        _compared(fields)
        .with_columns(told.alias("told"))
        .filter(pl.col("told").is_not_null())
        .sort("source", "number", "field")
        .group_by("source", "number", maintain_order=True)
        .agg(pl.col("told").head(DETAILS).str.join("; ").alias("details"), pl.len().alias("count"))
        .select(
            "source",
            "number",
            pl.when(pl.col("count") > DETAILS)
            .then(pl.format("{} and {} more", "details", pl.col("count") - DETAILS))
            .otherwise("details")
            .alias("details"),
        )
    )


def _what() -> pl.Expr:
    """The change in words. What is null is not known, and then the verb alone is told."""
    before = pl.col("replicas_before")
    after = pl.coalesce("replicas_after", "replicas_asked")
    past = {
        "create": "created",
        "update": "changed",
        "patch": "changed",
        "delete": "deleted",
        "deletecollection": "deleted a collection",
    }
    changed = pl.col("verb").is_in(["update", "patch"])
    return (
        pl.when(pl.col("subresource") == "eviction")
        .then(pl.lit("evicted"))
        .when(changed & before.is_not_null() & after.is_not_null() & (before != after))
        .then(pl.format("scaled {} to {}", before, after))
        .when((pl.col("subresource") == "scale") & after.is_not_null())
        .then(pl.format("scaled to {}", after))
        .when(pl.col("subresource") == "scale")
        .then(pl.lit("scaled"))
        .when((pl.col("verb") == "create") & after.is_not_null())
        .then(pl.format("created with {} replicas", after))
        .when(pl.col("field_manager") == "kubectl-rollout")
        .then(pl.lit("restarted"))
        .otherwise(pl.col("verb").replace_strict(past, return_dtype=pl.String, default=None))
    )


def _derive(frames: Frames) -> pl.LazyFrame:
    objects = frames.get(AUDIT_OBJECTS, empty(AUDIT_OBJECTS).lazy()).filter(pl.col("verb").is_in(WRITES))
    fields = frames.get(AUDIT_FIELDS, empty(AUDIT_FIELDS).lazy())
    written = (
        _writes(frames[AUDIT_REQUESTS])
        .join(_told(objects), on=["source", "number"], how="left")
        .join(_named(fields), on=["source", "number"], how="left")
        .with_columns(pl.coalesce("named", "body_name", "field_name").alias("name"))
    )
    keys = ["resource", "namespace", "object"]
    timed = (
        written.filter(pl.col("time").is_not_null())
        .with_columns(pl.col("name").fill_null("").alias("object"), pl.col("namespace").fill_null(""))
        .sort("time", "source", "number")
    )
    known = _before(objects).with_columns(pl.col("object").fill_null(""), pl.col("namespace").fill_null(""))
    joined = timed.join_asof(
        known, on="time", by=keys, strategy="backward", allow_exact_matches=False, check_sortedness=False
    ).select("source", "number", pl.col("was").alias("replicas_before"))
    return (
        written.join(joined, on=["source", "number"], how="left")
        .join(_details(fields), on=["source", "number"], how="left")
        .with_columns(pl.concat_str(_what(), "details", separator=": ", ignore_nulls=True).alias("what"))
        .with_columns(
            pl.len()
            .over("actor", "verb", "resource", "subresource", "namespace", "name")
            .cast(pl.Int64)
            .alias("writes")
        )
        .select(_TABLE.schema.names())
        .sort("time", "source", "number")
    )


CHANGE_LEDGER = Fact(table=_TABLE, needs_any=((AUDIT_REQUESTS,),), uses=(AUDIT_OBJECTS, AUDIT_FIELDS), derive=_derive)
