"""How long it took until the API server was told of a pod that had started."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.klog_values import value
from analyzer.facts.pod_moments import POD_MOMENTS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import AUDIT_OBJECTS, KLOG_LINES, TIME, Col, Table, empty
from analyzer.frames.contract import PLACE

LAGS = Table(
    "status_lags",
    "One row per start of a pod whose status reached the API server. `time` is when its container started.",
    (
        *PLACE,
        Col("pod", pl.String(), "namespace/name."),
        Col("node", pl.String(), "Node by the user of the kubelet that told it, else by the log; null if unknown."),
        Col("told", TIME, "When the API server was told."),
        Col("seconds", pl.Float64(), "From the start to then."),
        Col("patch_source", pl.String(), "Input with the audit event of the patch; null if the kubelet alone tells."),
        Col("patch_number", pl.Int64(), "Its line; null likewise."),
        Col("basis", pl.String(), "address: a patch with the address. patch: the next patch. kubelet: its own clock."),
    ),
)

EARLY = pl.duration(seconds=1)
"""The PLEG looks once a second (kubelet, genericPlegRelistPeriod): a patch may come before its event."""

_BIRTH = timedelta(minutes=10)
"""A pod that started longer after it was bound was started again."""

_STATIC = r"^[0-9a-f]{32}$"
"""The UID of a static pod is a hash without hyphens (kubernetes pkg/kubelet/config/common.go)."""

_MOMENT = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})((?:\.[0-9]{1,9})?)"


def _starts(frames: Frames) -> pl.LazyFrame:
    """Starts of containers: `first` is the first container of a pod that was bound to its node shortly before.

    What starts first is the sandbox, and behind that an image may be pulled. A kubelet that starts anew tells every
    container that runs (`pod` was bound long before); a static pod starts whether there is an API server or not.
    """
    who = ["pod", "uid"]
    started = (
        frames[POD_MOMENTS]
        .filter(pl.col("what") == "started", ~pl.col("uid").str.contains(_STATIC).fill_null(False))
        .sort("time", "source", "number")
        .with_columns(nth=pl.int_range(pl.len()).over(who), many=pl.len().over(who))
    )
    bound = frames[AUDIT_REQUESTS].filter(
        pl.col("verb") == "create", pl.col("resource") == "pods", pl.col("subresource") == "binding"
    )
    bound = bound.select(pl.col("time").alias("bound"), pod=pl.col("namespace") + "/" + pl.col("name")).sort(
        "bound", "pod"
    )
    found = started.join_asof(
        bound, left_on="time", right_on="bound", by="pod", strategy="backward", tolerance=_BIRTH, check_sortedness=False
    )
    nth = pl.col("nth") == pl.min_horizontal(pl.lit(1), pl.col("many") - 1)
    return found.with_columns(fresh=pl.col("bound").is_not_null()).with_columns(first=nth & pl.col("fresh"))


def _patches(frames: Frames) -> pl.LazyFrame:
    """Status patches of kubelets; `addressed` where the body with the address is in the log."""
    requests = frames[AUDIT_REQUESTS].filter(
        pl.col("verb").is_in(["patch", "update"]),
        pl.col("resource") == "pods",
        pl.col("subresource") == "status",
        pl.col("node").is_not_null(),
        (pl.col("code") < 300).fill_null(False),
    )
    patches = requests.select(
        "audit_id",
        "time",
        "node",
        patch_source="source",
        patch_number="number",
        pod=pl.col("namespace") + "/" + pl.col("name"),
    )
    if AUDIT_OBJECTS not in frames:
        return patches.with_columns(addressed=pl.lit(False), patch_uid=pl.lit(None, pl.String))
    told = frames[AUDIT_OBJECTS].filter(pl.col("body") == "request", pl.col("pod_ip").is_not_null())
    bodies = told.select("audit_id", patch_uid="uid").unique("audit_id", keep="first", maintain_order=True)
    joined = patches.join(bodies.with_columns(addressed=True), on="audit_id", how="left")
    return joined.with_columns(pl.col("addressed").fill_null(False))


def _of_audit(frames: Frames) -> pl.LazyFrame:
    starts = (
        _starts(frames).with_columns(since=pl.col("time") - EARLY).sort("since", "source", "number").collect().lazy()
    )
    patches = _patches(frames).with_columns(told="time").sort("time", "patch_source", "patch_number")
    kept = ["time", "pod", "told", "node", "patch_source", "patch_number", "patch_uid"]
    forward = {"left_on": "since", "right_on": "time", "by": "pod", "strategy": "forward", "check_sortedness": False}

    def next_of(some: pl.LazyFrame) -> pl.LazyFrame:
        return starts.join_asof(some.select(kept), **forward, suffix="_patch")  # type: ignore[arg-type]  # untyped by polars

    addressed = next_of(patches.filter("addressed")).filter((pl.col("uid") == pl.col("patch_uid")).fill_null(True))
    addressed = addressed.filter(pl.col("told").is_not_null()).sort("time", "source", "number")
    # Of a pod that was bound before the log begins only what started last before the patch is sure to wait for it.
    sure = ["pod", "patch_source", "patch_number"]
    # And it waits for nothing where the address was told before: a kubelet that starts anew tells all that runs.
    known = patches.filter("addressed").group_by("pod", "patch_uid").agg(first_told=pl.col("told").min())
    old = addressed.filter(~pl.col("fresh")).join(
        known, on=["pod", "patch_uid"], how="left", maintain_order="left", nulls_equal=True
    )
    new = (pl.col("told") == pl.col("first_told")).fill_null(True)
    last = old.filter(new).drop("first_told").unique(sure, keep="last", maintain_order=True)
    found = pl.concat([addressed.filter("first"), last]).with_columns(basis=pl.lit("address"))
    other = next_of(patches).filter("first", pl.col("told").is_not_null()).with_columns(basis=pl.lit("patch"))
    return (
        pl.concat([found, other])
        .unique(["source", "number", "pod"], keep="first", maintain_order=True)
        .with_columns(seconds=((pl.col("told") - pl.col("time")).dt.total_microseconds() / 1e6).clip(0.0))
        .select(list(LAGS.schema))
    )


def _of_kubelet(lines: pl.LazyFrame) -> pl.LazyFrame:
    """`"Observed pod startup duration"`: from when the kubelet updated the status to when its watch brought it back
    (kubernetes pkg/kubelet/util/pod_startup_latency_tracker.go), both by the node's clock."""
    found = lines.filter(pl.col("message") == "Observed pod startup duration").with_columns(
        _micros(value("observedRunningTime")).alias("ran"), _micros(value("watchObservedRunningTime")).alias("watched")
    )
    # Both are times at which all containers run: where one died in between, the second is that of its successor.
    died = pl.col("message").str.starts_with("SyncLoop (PLEG)") & pl.col("text").str.contains(
        "ContainerDied", literal=True
    )
    died |= pl.col("text").str.contains("CrashLoopBackOff", literal=True)
    restarted = lines.filter(died).select("source", "pod").unique()
    found = found.join(restarted, on=["source", "pod"], how="anti")
    took = pl.col("watched") - pl.col("ran")
    # A pod whose start was not seen has Go's zero time.
    return found.filter(took >= 0, took < 86_400_000_000, pl.col("time").is_not_null()).select(
        (pl.col("time") - pl.duration(microseconds=took)).alias("time"),
        "source",
        "number",
        "pod",
        pl.col("host").alias("node"),
        pl.col("time").alias("told"),
        (took / 1e6).alias("seconds"),
        pl.lit(None, pl.String).alias("patch_source"),
        pl.lit(None, pl.Int64).alias("patch_number"),
        pl.lit("kubelet").alias("basis"),
    )


def _micros(text: pl.Expr) -> pl.Expr:
    """Microseconds of a Go time, as printed or as RFC 3339, without its zone: the two of a line have the same."""
    parts = [text.str.extract(_MOMENT, group) for group in (1, 2, 3)]
    whole = (parts[0] + "T" + parts[1]).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    return whole.dt.timestamp("us") + (("0" + parts[2]).cast(pl.Float64, strict=False) * 1e6).round().cast(pl.Int64)


def _derive(frames: Frames) -> pl.LazyFrame:
    parts = [empty(LAGS)]
    if AUDIT_REQUESTS in frames and POD_MOMENTS in frames:
        parts.append(_of_audit(frames).collect())
    if KLOG_LINES in frames:
        # What the API server wrote down counts before what the kubelet says of itself.
        alone = _of_kubelet(frames[KLOG_LINES]).join(parts[-1].select("pod").unique().lazy(), on="pod", how="anti")
        parts.append(alone.collect())
    return pl.concat(parts).lazy().sort("time", "source", "number")


STATUS_LAGS = Fact(
    table=LAGS,
    needs_any=((POD_MOMENTS, AUDIT_REQUESTS), (KLOG_LINES,)),
    uses=(AUDIT_OBJECTS,),
    derive=_derive,
)
