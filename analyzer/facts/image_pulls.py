"""Pulls of images by whoever tells of them: Events, kubelets, container runtimes."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.image_names import canonical, error_class, registry
from analyzer.facts.klog_values import go_seconds, value
from analyzer.facts.node_names import node, short_node
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KLOG_LINES, RUNTIME_MESSAGES, TIME, Col, Table, empty
from analyzer.frames.contract import PLACE

PULLS = Table(
    "image_pulls",
    "One row per record that tells of pulls of an image, or of a container that is started again and again. It stands "
    "for `count` occurrences after `since` up to `time`. The same pull may be told on several channels.",
    (
        *PLACE,
        Col("since", TIME, "First occurrence that the row stands for, or the time of the row of the Event before it."),
        Col("fresh", pl.Boolean(), "Whether `since` is an occurrence itself."),
        Col("count", pl.Int64(), "Occurrences."),
        Col("what", pl.String(), "attempt, pulled, present (no pull needed), failed, or restarting (a container)."),
        Col("pod", pl.String(), "namespace/name; null if not told."),
        Col("node", pl.String(), "Node without its domain, in lower case; the input of a log without a host; or null."),
        Col("image", pl.String(), "Reference with registry and tag; null of a restart."),
        Col("registry", pl.String(), "Host of the registry; null of a restart."),
        Col("class", pl.String(), "Of a failure: permission, quota, missing, network, registry ...; else null."),
        Col("seconds", pl.Float64(), "How long a successful pull took, waiting included; null if not told."),
        Col("bytes", pl.Int64(), "Size of the image; null if not told."),
        Col("channel", pl.String(), "event, log (an Event in klog), kubelet or runtime."),
    ),
)

_COMBINED = r"^\(combined from similar events\): "
"""client-go `tools/record/events_cache.go`, EventAggregator."""

_EVENT_FORMS = {
    "attempt": r'^[Pp]ulling image "([^"]+)"',
    "pulled": r'^Successfully pulled image "([^"]+)"',
    "present": r'^Container image "([^"]+)" already present on machine',
    "failed": r'^Failed to pull image "([^"]+)": ',
    "restarting": r"^Back-off restarting failed (container)",
}
"""pkg/kubelet/images/image_manager.go and kuberuntime_manager.go; before 1.16 `pulling` was written small."""

_TOOK = r'^Successfully pulled image "[^"]+" in ([0-9.a-zµ]+)(?: \(([0-9.a-zµ]+) including waiting\))?'
_SIZE = r"Image size: ([0-9]{1,15}) bytes"

_OLD_FAILED = r'^PullImage "([^"]+)" from image service failed: '
_NEW_FAILED = "PullImage from image service failed"
_SYNC = r"^Error syncing pod"
_POD_SOON = "1s"
"""The pod's worker tells of the failure in the next lines."""

_RUNTIME_FORMS = {
    "attempt": r'^PullImage "[^"]+"$|^Pulling image: ',
    "pulled": r'^PullImage "[^"]+" returns image reference|^Pulled image: ',
    "failed": r'^PullImage "[^"]+" failed',
}
"""containerd `pkg/cri/instrument` (`internal/cri` since 2.0) and CRI-O `server/image_pull.go`."""


def _of_events(told: pl.LazyFrame) -> pl.LazyFrame:
    """What each row of an Event adds to the one before it: a count is of all occurrences so far."""
    text = pl.col("message").str.replace(_COMBINED, "")
    what, image = pl.lit(None, pl.String), pl.lit(None, pl.String)
    for name, form in _EVENT_FORMS.items():
        what = pl.when(text.str.contains(form)).then(pl.lit(name)).otherwise(what)
        image = pl.coalesce(text.str.extract(form, 1), image)
    found = told.filter(
        (pl.col("kind") == "Pod").fill_null(True),
        pl.col("reason").is_in(["Pulling", "Pulled", "Failed", "BackOff"]),
        pl.col("time").is_not_null(),
    ).with_columns(what=what, image=image, text=text)
    counted = found.filter(pl.col("what").is_not_null()).sort("time", "count", "source", "number", nulls_last=True)
    key = pl.coalesce("event_uid", pl.concat_str("source", "number", separator=":"))
    before = pl.col("count").shift(1).over("key").fill_null(0)
    return (
        counted.with_columns(count=pl.col("count").fill_null(1), key=key)
        .with_columns(
            fresh=pl.col("time").shift(1).over("key").is_null(),
            since=pl.coalesce(pl.col("time").shift(1).over("key"), pl.min_horizontal("first_time", "time"), "time"),
            # A count that fell belongs to another Event of the same text.
            count=pl.when(pl.col("count") < before).then("count").otherwise(pl.col("count") - before),
        )
        .filter(pl.col("count") > 0)
        .with_columns(
            pod=pl.concat_str("namespace", pl.lit("/"), "name"),
            node=short_node(pl.col("node")),
            error=pl.when(pl.col("what") == "failed").then("text"),
            image=pl.when(pl.col("what") != "restarting").then("image"),
            seconds=go_seconds(pl.coalesce(pl.col("text").str.extract(_TOOK, 2), pl.col("text").str.extract(_TOOK, 1))),
            bytes=pl.col("text").str.extract(_SIZE, 1).cast(pl.Int64, strict=False),
        )
    )


def _of_kubelet(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Failures only: the kubelet logs no other pull. The line does not name the pod, the next of its worker does."""
    mine = lines.filter(pl.col("time").is_not_null(), (pl.col("component") == "kubelet").fill_null(True))
    text, new = pl.col("text"), pl.col("message") == _NEW_FAILED
    failed = mine.filter(new | text.str.contains(_OLD_FAILED)).with_columns(
        image=pl.when(new).then(value("image")).otherwise(text.str.extract(_OLD_FAILED, 1)),
        error=pl.when(new).then("error").otherwise(text.str.replace(_OLD_FAILED, "")),
    )
    failed = failed.with_columns(**{"class": error_class(pl.col("error"))}).drop("pod").sort("time", "source", "number")
    synced = mine.filter(pl.col("message").str.contains(_SYNC), text.str.contains("with ErrImagePull", literal=True))
    told = error_class(pl.coalesce("error", "text")).alias("class")
    workers = synced.select("time", "source", "pod", told).sort("time", "source", "pod")
    with_pods = failed.join_asof(
        workers, on="time", by=["source", "class"], strategy="forward", tolerance=_POD_SOON, check_sortedness=False
    ).with_columns(what=pl.lit("failed"))
    restarting = mine.filter(
        pl.col("message").str.contains(_SYNC), text.str.contains("with CrashLoopBackOff", literal=True)
    ).with_columns(what=pl.lit("restarting"))
    both = pl.concat([with_pods, restarting], how="diagonal")
    return both.with_columns(node=node(), channel=pl.lit("kubelet"))


def _of_runtime(messages: pl.LazyFrame) -> pl.LazyFrame:
    what = pl.lit(None, pl.String)
    for name, form in _RUNTIME_FORMS.items():
        what = pl.when(pl.col("message").str.contains(form)).then(pl.lit(name)).otherwise(what)
    named = messages.filter(pl.col("image").is_not_null(), pl.col("time").is_not_null()).with_columns(what=what)
    return named.filter(pl.col("what").is_not_null()).with_columns(node=node(), channel=pl.lit("runtime"))


def _shaped(part: pl.LazyFrame) -> pl.LazyFrame:
    """What is missing is one occurrence at the time of the row."""
    there = part.collect_schema()
    made = part
    if "error" in there and "class" not in there:
        made = made.with_columns(error_class(pl.when(pl.col("what") == "failed").then("error")).alias("class"))
    if "since" not in there:
        made = made.with_columns(since="time", fresh=pl.lit(True), count=pl.lit(1, pl.Int64))
    made = made.with_columns(image=canonical(pl.col("image")) if "image" in there else pl.lit(None, pl.String))
    made = made.with_columns(registry=registry(pl.col("image")))
    made = made.with_columns(registry=pl.when(pl.col("image").is_not_null()).then("registry"))
    known = made.collect_schema()
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in PULLS.schema.items() if name not in known]
    return made.with_columns(missing).select([pl.col(name).cast(dtype) for name, dtype in PULLS.schema.items()])


def _derive(frames: Frames) -> pl.LazyFrame:
    parts = [empty(PULLS).lazy()]
    if TOLD_EVENTS in frames:
        parts.append(_shaped(_of_events(frames[TOLD_EVENTS])))
    if KLOG_LINES in frames:
        parts.append(_shaped(_of_kubelet(frames[KLOG_LINES])))
    if RUNTIME_MESSAGES in frames:
        parts.append(_shaped(_of_runtime(frames[RUNTIME_MESSAGES])))
    return pl.concat(parts).sort("time", "source", "number", "what", nulls_last=True)


IMAGE_PULLS = Fact(
    table=PULLS,
    needs_any=((TOLD_EVENTS,), (KLOG_LINES,), (RUNTIME_MESSAGES,)),
    derive=_derive,
)
