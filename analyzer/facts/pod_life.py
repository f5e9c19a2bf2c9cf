"""What happened to pods, record by record: placed, started, ready, told to stop, stopped; where, and by whom.

`pod_moments` is about addresses and credentials; this is about whether a pod served.
"""

from __future__ import annotations

import polars as pl

from analyzer.facts import workload_names
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.klog_values import names, value
from analyzer.facts.pod_owners import POD_OWNERS
from analyzer.facts.requests import AUDIT_REQUESTS, meant
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import AUDIT_OBJECTS, KLOG_LINES, Col, Table, empty
from analyzer.frames.contract import PLACE

TABLE = Table(
    "pod_life",
    "One row per record that tells of a turn in the life of a pod.",
    (
        *PLACE,
        Col("channel", pl.String(), "audit, event or log: several channels tell of the same turn."),
        Col(
            "what",
            pl.String(),
            "placed (on a node), told (first and last word of its kubelet to the API server), started (a container), "
            "ready, unready, deleted (it shall end), evicted (asked by the eviction API), killing (a container is told "
            "to stop), died (a container) or gone (removed for good).",
        ),
        Col("namespace", pl.String(), "Namespace of the pod."),
        Col("pod", pl.String(), "Name of the pod."),
        Col("node", pl.String(), "Node that it runs on, or host of the kubelet; null if not told."),
        Col("actor", pl.String(), "user.username of a request; null of other channels."),
        Col("workload_kind", pl.String(), "Kind of its workload by owner or name; '' where several would do."),
        Col("workload", pl.String(), "Workload that made it; the pod itself where nothing did."),
    ),
)

_GOOD = 300
_STARTED, _DIED = "ContainerStarted", "ContainerDied"
_KILLING = ("Killing container with a grace period", "Killing container with a grace period override")
"""The second is what 1.21 wrote of every container (pkg/kubelet/kuberuntime/kuberuntime_container.go)."""
_OLD_KILLING = r"^Killing container .* with (?:a )?[0-9]+ second grace period"
_ASSIGNED = r"^Successfully assigned \S+ to ([a-z0-9.-]{1,253})$"
"""pkg/scheduler/schedule_one.go, Event Scheduled."""


def _from_audit(requests: pl.LazyFrame, objects: pl.LazyFrame) -> list[pl.LazyFrame]:
    named = objects.filter(pl.col("resource") == "pods", pl.col("node_name").is_not_null())
    nodes = named.group_by("source", "number").agg(on=pl.col("node_name").first())
    pods = requests.filter(pl.col("resource") == "pods", pl.col("code") < _GOOD, pl.col("name").is_not_null()).join(
        nodes, on=["source", "number"], how="left"
    )
    kubelet, whole = pl.col("node").is_not_null(), pl.col("subresource").is_null()
    evicted = (pl.col("verb") == "create") & (pl.col("subresource") == "eviction").fill_null(False)
    deleted = (pl.col("verb") == "delete") & whole
    what = (
        pl.when(evicted)
        .then(pl.lit("evicted"))
        .when(deleted & kubelet)
        .then(pl.lit("gone"))
        .when(deleted)
        .then(pl.lit("deleted"))
    )
    common = {"channel": pl.lit("audit"), "pod": pl.col("name"), "actor": pl.col("user")}
    # A body says where the pod was, whoever speaks of it.
    turns = pods.with_columns(**common, what=what, node=pl.coalesce("node", "on")).filter(pl.col("what").is_not_null())
    # A kubelet says the same of a pod again and again: its first and last word say how long it had it.
    told = pods.filter(kubelet, ~deleted).with_columns(**common, what=pl.lit("told"))
    key, order = ["namespace", "name", "node"], ["time", "source", "number"]
    ends = [told.sort(order).unique(key, keep=keep, maintain_order=True) for keep in ("first", "last")]
    bound = pods.filter(pl.col("verb") == "create", pl.col("subresource") == "binding").with_columns(
        **common, what=pl.lit("placed"), node="on"
    )
    return [turns, pl.concat(ends).unique(["source", "number"], keep="first", maintain_order=True), bound]


def _from_events(events: pl.LazyFrame) -> pl.LazyFrame:
    """Events of pods; one that stands for several tells of its first and its last occurrence."""
    whats = {"Scheduled": "placed", "Started": "started", "Killing": "killing"}
    told = events.filter(pl.col("kind") == "Pod", pl.col("reason").is_in(list(whats))).with_columns(
        channel=pl.lit("event"),
        what=pl.col("reason").replace_strict(whats, default=None, return_dtype=pl.String),
        pod="name",
        node=pl.coalesce(pl.col("message").str.extract(_ASSIGNED, 1), "node"),
    )
    first = told.filter((pl.col("count") > 1) & (pl.col("first_time") < pl.col("time"))).with_columns(time="first_time")
    return pl.concat([told, first])


def _from_klog(lines: pl.LazyFrame) -> list[pl.LazyFrame]:
    """The kubelet's sync loop and the scheduler's bindings (kubernetes pkg/kubelet/kubelet.go, syncLoopIteration and
    handleProbeSync, V(1) and V(2); pkg/scheduler/schedule_one.go, V(2))."""
    message, text = pl.col("message"), pl.col("text")
    loop = lines.filter(message.str.starts_with("SyncLoop"))
    event = message.str.starts_with("SyncLoop (PLEG)")
    pleg = loop.filter(event).with_columns(
        what=pl.when(text.str.contains(_STARTED, literal=True))
        .then(pl.lit("started"))
        .when(text.str.contains(_DIED, literal=True))
        .then(pl.lit("died"))
    )
    named = loop.filter(message.is_in(["SyncLoop DELETE", "SyncLoop REMOVE"])).with_columns(
        pod=names("pods"),
        what=pl.when(message == "SyncLoop DELETE").then(pl.lit("deleted")).otherwise(pl.lit("gone")),
    )
    old = loop.filter(message.str.contains(r"^SyncLoop \((?:DELETE|REMOVE)")).with_columns(
        what=pl.when(message.str.contains("DELETE", literal=True)).then(pl.lit("deleted")).otherwise(pl.lit("gone"))
    )
    # Before 1.23 the status of a container that is not ready was empty.
    probed = loop.filter(message == "SyncLoop (probe)").with_columns(probe=value("probe"), status=value("status"))
    probed = probed.filter(pl.col("probe") == "readiness").with_columns(
        what=pl.when(pl.col("status") == "ready").then(pl.lit("ready")).otherwise(pl.lit("unready"))
    )
    killing = lines.filter(message.is_in(_KILLING) | message.str.contains(_OLD_KILLING)).with_columns(
        what=pl.lit("killing")
    )
    bound = lines.filter(message == "Successfully bound pod to node").with_columns(what=pl.lit("placed"))
    parts = [pleg, named.explode("pod", empty_as_null=True), old, probed, killing]
    return [
        *(_split(part.with_columns(node="host")) for part in parts),
        _split(bound.with_columns(node=value("node"))),
    ]


def _split(part: pl.LazyFrame) -> pl.LazyFrame:
    """The pod's namespace and name apart."""
    whole = pl.col("pod")
    return part.with_columns(
        channel=pl.lit("log"), namespace=whole.str.extract("^([^/]+)/", 1), pod=whole.str.extract("/([^/]+)$", 1)
    )


def _shaped(part: pl.LazyFrame) -> pl.LazyFrame:
    there = part.collect_schema()
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in TABLE.schema.items() if name not in there]
    made = [pl.lit(None, pl.String).alias(name) for name in ("workload_kind", "workload")]
    return part.with_columns(missing).with_columns(made).select(list(TABLE.schema))


def _owned(rows: pl.LazyFrame, owners: pl.LazyFrame) -> pl.LazyFrame:
    """With the workload by an owner reference or an object of that name, else by the form of the pod's name."""
    sure = owners.filter(pl.col("told_by").is_in(["body", "object"])).select(
        "namespace", "pod", pl.col("workload_kind").alias("known_kind"), pl.col("workload").alias("known")
    )
    named = workload_names.of_pod(pl.col("pod")).struct
    return (
        rows.join(sure, on=["namespace", "pod"], how="left")
        .with_columns(
            workload_kind=pl.when(pl.col("known").is_not_null()).then("known_kind").otherwise(named.field("kind")),
            workload=pl.coalesce("known", named.field("workload")),
        )
        .select(list(TABLE.schema))
    )


def _derive(frames: Frames) -> pl.LazyFrame:
    parts: list[pl.LazyFrame] = [empty(TABLE).lazy()]
    if AUDIT_REQUESTS in frames:
        parts += _from_audit(meant(frames[AUDIT_REQUESTS]), frames.get(AUDIT_OBJECTS, empty(AUDIT_OBJECTS).lazy()))
    if TOLD_EVENTS in frames:
        parts.append(_from_events(frames[TOLD_EVENTS]))
    if KLOG_LINES in frames:
        parts += _from_klog(frames[KLOG_LINES])
    rows = pl.concat([_shaped(part) for part in parts]).filter(
        pl.col("pod").is_not_null(), pl.col("time").is_not_null(), pl.col("what").is_not_null()
    )
    owners = frames.get(POD_OWNERS, empty(POD_OWNERS.table).lazy())
    return _owned(rows, owners).sort("time", "source", "number", "namespace", "pod", "what", nulls_last=True)


POD_LIFE = Fact(
    table=TABLE,
    needs_any=((AUDIT_REQUESTS,), (TOLD_EVENTS,), (KLOG_LINES,)),
    uses=(AUDIT_OBJECTS, POD_OWNERS),
    derive=_derive,
)
