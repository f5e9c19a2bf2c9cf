"""What became of pods that the scheduler could not place: by Events, the scheduler's log and the audit log."""

from __future__ import annotations

import polars as pl

from analyzer.facts import workload_names
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.klog_values import value
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.facts.workload_writes import WORKLOAD_WRITES
from analyzer.frames import AUDIT_OBJECTS, KLOG_LINES, Col, Table
from analyzer.frames.contract import PLACE, TIME, empty

SCHEDULER = "system:kube-scheduler"

_TABLE = Table(
    "scheduling",
    "One row per record of a failed attempt to place a pod, and of what ended or changed its waiting.",
    (
        *PLACE,
        Col("first_time", TIME, "Of an Event that stands for several: when it occurred first; else `time`."),
        Col("channel", pl.String(), "event, log or audit: two channels tell of the same thing."),
        Col(
            "what",
            pl.String(),
            "failed, placed, removed, preempted (deleted for another pod) or triggered (a node was ordered for it).",
        ),
        Col("namespace", pl.String(), "Namespace of the pod."),
        Col("pod", pl.String(), "Name of the pod."),
        Col("workload_kind", pl.String(), "Kind of the workload by owner or name; '' where several would do."),
        Col("workload", pl.String(), "Workload that made the pod; the pod itself where nothing did."),
        Col("message", pl.String(), "The scheduler's reasons; of a preemption who did it."),
        Col("count", pl.Int64(), "Occurrences that the record stands for."),
        Col("event_uid", pl.String(), "UID of the Event: later rows of one UID stand for the earlier ones too."),
    ),
)

_REASONS = {
    "FailedScheduling": "failed",
    "Scheduled": "placed",
    "Preempted": "preempted",
    "TriggeredScaleUp": "triggered",
}
"""Of kube-scheduler (pkg/scheduler/schedule_one.go, framework/preemption/preemption.go) and cluster-autoscaler."""

_NO_FIT = ("Unable to schedule pod; no fit; waiting", "Unable to schedule pod; no nodes are registered to the cluster")
_BOUND = "Successfully bound pod to node"
_OLD_NO_FIT = r"^Unable to schedule ([^ /]+/[^ :]+): no fit: ([\s\S]*); waiting$"
_OLD_BOUND = r"^pod ([^ /]+/[^ ]+) is bound successfully on node "
"""pkg/scheduler/factory.go and scheduler.go until 1.18; structured from 1.19 on."""


def _from_events(events: pl.LazyFrame) -> pl.LazyFrame:
    """A second of an Event is as long as a second: what ended in it ended at its end."""
    whole = (pl.col("time").dt.microsecond() == 0) & (pl.col("what") == "placed")
    return (
        events.filter(pl.col("reason").is_in(list(_REASONS)), pl.col("kind") == "Pod")
        .with_columns(what=pl.col("reason").replace_strict(_REASONS, default=None, return_dtype=pl.String), pod="name")
        .with_columns(time=pl.when(whole).then(pl.col("time") + pl.duration(microseconds=999_999)).otherwise("time"))
    )


def _from_klog(lines: pl.LazyFrame) -> pl.LazyFrame:
    text = pl.col("text")
    new = pl.col("message").str.starts_with(_NO_FIT[0]) | pl.col("message").str.starts_with(_NO_FIT[1])
    old = text.str.starts_with("Unable to schedule ") & text.str.contains(_OLD_NO_FIT)
    bound = pl.col("message") == _BOUND
    old_bound = text.str.starts_with("pod ") & text.str.contains(_OLD_BOUND)
    key = (
        pl.when(new | bound)
        .then(pl.coalesce("pod", value("pod")))
        .when(old)
        .then(pl.col("text").str.extract(_OLD_NO_FIT, 1))
        .otherwise(pl.col("text").str.extract(_OLD_BOUND, 1))
    )
    return (
        lines.filter(new | old | bound | old_bound)
        .with_columns(key=key)
        .with_columns(
            channel=pl.lit("log"),
            first_time="time",
            what=pl.when(new | old).then(pl.lit("failed")).otherwise(pl.lit("placed")),
            namespace=pl.col("key").str.extract("^([^/]*)/", 1),
            pod=pl.col("key").str.extract("([^/]*)$", 1),
            message=pl.when(old)
            .then(pl.col("text").str.extract(_OLD_NO_FIT, 2))
            .otherwise(pl.coalesce("error", "message")),
            count=pl.lit(1, pl.Int64),
            event_uid=pl.lit(None, pl.String),
        )
    )


def _from_writes(writes: pl.LazyFrame) -> pl.LazyFrame:
    gone = (pl.col("what") == "removed") & (pl.col("kind") == "Pod")
    what = (
        pl.when(pl.col("what") == "bound")
        .then(pl.lit("placed"))
        .when(pl.col("actor") == SCHEDULER)
        .then(pl.lit("preempted"))
        .otherwise(pl.lit("removed"))
    )
    return writes.filter(gone | (pl.col("what") == "bound"), pl.col("name").is_not_null()).with_columns(
        what=what, pod="name", message="actor"
    )


_OWN = [name for name in _TABLE.schema.names() if not name.startswith("workload")]


def _derive(frames: Frames) -> pl.LazyFrame:
    parts = [empty(_TABLE).lazy().select(_OWN)]
    for fact, made in ((TOLD_EVENTS, _from_events), (KLOG_LINES, _from_klog), (WORKLOAD_WRITES, _from_writes)):
        if fact in frames:
            parts.append(made(frames[fact]).select(_OWN))
    rows = pl.concat(parts).filter(pl.col("pod").is_not_null())
    owners = _owners(frames.get(AUDIT_OBJECTS, empty(AUDIT_OBJECTS).lazy()))
    return (
        rows.with_columns(workload_names.of_pod(pl.col("pod")).alias("named"))
        .join(owners, on=["namespace", "pod"], how="left")
        .with_columns(
            workload_kind=pl.coalesce("known_kind", pl.col("named").struct.field("kind")),
            workload=pl.coalesce("known", pl.col("named").struct.field("workload")),
        )
        .select(_TABLE.schema.names())
        .sort("time", "source", "number", nulls_last=True)
    )


def _owners(objects: pl.LazyFrame) -> pl.LazyFrame:
    """The workload of each pod whose body the audit log holds: one row per pod."""
    top = workload_names.of_owner(pl.col("owner_kind"), pl.col("owner_name"))
    return (
        objects.filter(pl.col("resource") == "pods", pl.col("owner_name").is_not_null(), pl.col("name").is_not_null())
        .select(
            "namespace",
            pl.col("name").alias("pod"),
            top.struct.field("kind").alias("known_kind"),
            top.struct.field("workload").alias("known"),
        )
        .unique(["namespace", "pod"], keep="first", maintain_order=True)
    )


SCHEDULING = Fact(
    table=_TABLE,
    needs_any=((TOLD_EVENTS,), (KLOG_LINES,), (WORKLOAD_WRITES,)),
    uses=(AUDIT_OBJECTS,),
    derive=_derive,
)
