"""How long pods took to start, and in which part of it."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.image_pulls import IMAGE_PULLS
from analyzer.facts.node_names import node, short_node
from analyzer.facts.pod_moments import POD_MOMENTS
from analyzer.facts.pod_start_events import started, with_young
from analyzer.facts.pod_start_lines import added, begun, died, kubelets, mounted, observed, stuck
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KLOG_LINES, TIME, Col, Table, empty
from analyzer.frames.contract import PLACE

PARTS = ("queue", "sync", "attach", "volume", "sandbox", "pull", "init", "start", "status")

STARTS = Table(
    "pod_starts",
    "One row per pod that a kubelet started. `time` is when it was given the pod, or the first moment known after; "
    "`source` and `number` are of the line that tells the start. Seconds of a part that nobody tells are null.",
    (
        *PLACE,
        Col("pod", pl.String(), "namespace/name."),
        Col("node", pl.String(), "Node: the host without its domain, in lower case; the input where no host is told."),
        Col("ran", TIME, "When its containers ran (observed), or the first did (pleg); null if nobody tells."),
        Col(
            "basis",
            pl.String(),
            "observed: the kubelet's own account (since 1.26). pleg: its events of containers. event: Events.",
        ),
        Col("since", pl.String(), "What the count begins with: added (the kubelet had it), bound, or created."),
        Col("queue", pl.Float64(), "From the creation to the binding: the scheduler."),
        Col("sync", pl.Float64(), "From the binding until the kubelet had it; by two clocks."),
        Col("attach", pl.Float64(), "Longer than for local volumes it waited for those that are attached or remote."),
        Col("volume", pl.Float64(), "Until its local volumes were there."),
        Col("sandbox", pl.Float64(), "From there until its sandbox ran."),
        Col("pull", pl.Float64(), "Pulls of images."),
        Col("init", pl.Float64(), "Init containers, or containers that ended before all ran."),
        Col("start", pl.Float64(), "The rest, until its containers ran."),
        Col("status", pl.Float64(), "Until the kubelet's watch brought back that they run."),
        Col("stuck", pl.Boolean(), "Whether it waited for a volume in vain before."),
        Col(
            "young",
            pl.Boolean(),
            "Whether its kubelet began within the minute before, or its node became ready then.",
        ),
    ),
)

_YOUNG = "1m"
_LIFE = timedelta(hours=1)
"""A pod that was given longer before is not the one that starts."""
_CLOCKS = pl.duration(seconds=5)
"""The binding is stamped by another clock, and may seem to come after what it led to."""


def _seconds(later: pl.Expr, earlier: pl.Expr) -> pl.Expr:
    """Seconds between two moments, at least none."""
    return ((later - earlier).dt.total_microseconds() / 1e6).clip(0.0)


def _containers(moments: pl.LazyFrame) -> pl.LazyFrame:
    """`source, pod, uid, host, sandbox_at, container_at, number`: of each pod the first two starts: the sandbox comes
    first, for both are containers to the PLEG."""
    started = moments.filter(pl.col("what") == "started", pl.col("uid").str.contains("-").fill_null(False))
    return (
        started.sort("time", "source", "number")
        .group_by("source", "pod", "uid", maintain_order=True)
        .agg(
            pl.col("host").first(),
            pl.col("number").first(),
            pl.col("time").first().alias("sandbox_at"),
            pl.col("time").get(1, null_on_oob=True).alias("container_at"),
        )
        .sort("sandbox_at", "source", "number")
    )


def _before(left: pl.LazyFrame, on: str, right: pl.LazyFrame, at: str, by: list[str]) -> pl.LazyFrame:
    """The last row of `right` at or before `on`, within the life of a start."""
    return left.sort(on, "source", "number", nulls_last=True).join_asof(
        right, left_on=on, right_on=at, by=by, strategy="backward", tolerance=_LIFE, check_sortedness=False
    )


def _accounts(lines: pl.LazyFrame, containers: pl.LazyFrame) -> pl.LazyFrame:
    """Starts by the kubelet's own account, with their containers; then those that only the PLEG tells."""
    own = _before(observed(lines), "time", containers.drop("host", "number"), "sandbox_at", ["source", "pod"])
    own = own.with_columns(basis=pl.lit("observed"), until=pl.col("ran"))
    told = own.select("source", "pod").unique()
    rest = containers.join(told, on=["source", "pod"], how="anti").with_columns(
        basis=pl.lit("pleg"), until="sandbox_at", ran="container_at", time="sandbox_at"
    )
    return pl.concat([own, rest], how="diagonal")


def _bindings(frames: Frames) -> pl.LazyFrame:
    """`pod, bound` by the audit log, else by the scheduler's Event, which tells whole seconds."""
    parts = [empty(STARTS).lazy().select("pod", bound="time", rank=pl.lit(0))]
    if AUDIT_REQUESTS in frames:
        made = frames[AUDIT_REQUESTS].filter(
            pl.col("verb") == "create", pl.col("resource") == "pods", pl.col("subresource") == "binding"
        )
        parts.append(made.select(pl.concat_str("namespace", pl.lit("/"), "name").alias("pod"), bound="time", rank=0))
    if TOLD_EVENTS in frames:
        made = frames[TOLD_EVENTS].filter(pl.col("reason") == "Scheduled")
        name = pl.concat_str("namespace", pl.lit("/"), "name").alias("pod")
        parts.append(made.select(name, pl.coalesce("first_time", "time").alias("bound"), rank=1))
    every = pl.concat([part.with_columns(pl.col("rank").cast(pl.Int32)) for part in parts]).drop_nulls()
    best = pl.col("rank") == pl.col("rank").min().over("pod")
    return every.filter(best).select("pod", "bound").sort("bound", "pod")


def _volumes(starts: pl.LazyFrame, lines: pl.LazyFrame) -> pl.LazyFrame:
    """`local_at` and `remote_at`: when the last volume of either kind was there before the sandbox ran."""
    found, key = starts, ["source", "uid"]
    for name, kind in (("local_at", pl.col("local")), ("remote_at", ~pl.col("local"))):
        there = mounted(lines).filter(kind).select(*key, pl.col("mounted").alias(name)).sort(name)
        found = _before(found, "sandbox_at", there, name, key)
    return found


def _ends(starts: pl.LazyFrame, lines: pl.LazyFrame, frames: Frames) -> pl.LazyFrame:
    """`died_at`, the last end of a container before all ran; `stuck`; and what the Events tell of the pull."""
    ended = _before(starts, "ran", died(lines).sort("died"), "died", ["source", "pod"])
    waits = [stuck(lines)]
    if TOLD_EVENTS in frames:
        failed = frames[TOLD_EVENTS].filter(pl.col("reason").is_in(["FailedMount", "FailedAttachVolume"]))
        name = pl.concat_str("namespace", pl.lit("/"), "name").alias("pod")
        waits += [failed.select(name, stuck=moment) for moment in ("first_time", "time")]
    late = ended.with_columns(late=pl.col("until") + _CLOCKS)
    waited = _before(late, "late", pl.concat(waits).drop_nulls().sort("stuck"), "stuck", ["pod"])
    pulls = frames.get(IMAGE_PULLS, empty(IMAGE_PULLS.table).lazy())
    done = pulls.filter(pl.col("what").is_in(["pulled", "present"]), pl.col("pod").is_not_null())
    told = done.group_by("pod").agg(pl.col("seconds").sum().alias("told_pull"))
    return waited.join(told, on="pod", how="left").with_columns(
        died_at=pl.when(pl.col("died") >= pl.col("container_at")).then("died"),
        stuck=(pl.col("stuck") >= pl.col("first") - _CLOCKS).fill_null(False),
    )


def _parts(starts: pl.LazyFrame) -> pl.LazyFrame:
    """The seconds of each part. Pulls are those of the kubelet's account, else of Events, else mostly not known."""
    given = pl.coalesce("added", "bound", "created")
    after = pl.max_horizontal("local_at", "remote_at", "added")
    observed_ = pl.col("basis") == "observed"
    ended = _seconds(pl.col("died_at"), pl.col("container_at")).fill_null(0.0)
    # Where a pod of the same template ran on the node before, the image is there.
    template = pl.col("pod").str.replace(r"-[^-]+$", "")
    there = pl.col("ran").min().over("source", template) < pl.col("sandbox_at")
    pull = (
        pl.when(observed_).then("pull").otherwise(pl.coalesce("told_pull", pl.when(there.fill_null(False)).then(0.0)))
    )
    cut = starts.with_columns(
        queue=_seconds(pl.col("bound"), pl.col("created")),
        sync=_seconds(pl.col("added"), pl.col("bound")),
        volume=_seconds(pl.col("local_at"), pl.col("added")),
        attach=_seconds(pl.col("remote_at"), pl.max_horizontal("local_at", "added")),
        sandbox=_seconds(pl.col("sandbox_at"), after),
        pull=pull,
        init=pl.when(observed_).then(pl.max_horizontal("init", ended)),
        # A status that a restart of a container delayed tells nothing of the node.
        status=pl.when(pl.col("died_at").is_null()).then("status"),
        since=pl.when(pl.col("added").is_not_null())
        .then(pl.lit("added"))
        .when(pl.col("bound").is_not_null())
        .then(pl.lit("bound"))
        .otherwise(pl.lit("created")),
    )
    begin = pl.coalesce(pl.when(pl.col("sandbox").is_not_null()).then("sandbox_at"), given, "sandbox_at")
    rest = _seconds(pl.col("ran"), begin) - pl.col("pull") - pl.col("init").fill_null(0.0)
    return cut.with_columns(start=rest.clip(0.0), time=pl.coalesce(given, "sandbox_at"))


def _of_events(frames: Frames) -> pl.LazyFrame:
    """Starts that Events alone tell of."""
    told = frames[TOLD_EVENTS]
    failed = told.filter(pl.col("reason").is_in(["FailedMount", "FailedAttachVolume"]))
    stuck_pods = failed.select(pod=pl.concat_str("namespace", pl.lit("/"), "name")).unique().with_columns(stuck=True)
    starts = started(told, frames.get(IMAGE_PULLS, empty(IMAGE_PULLS.table).lazy()))
    starts = with_young(starts.with_columns(node=pl.coalesce(short_node(pl.col("node")), "source")), told)
    made = starts.join(stuck_pods, on="pod", how="left").with_columns(
        basis=pl.lit("event"),
        since=pl.lit("bound"),
        stuck=pl.col("stuck").fill_null(False),
    )
    missing = [
        pl.lit(None, STARTS.schema[part]).alias(part) for part in PARTS if part not in ("attach", "pull", "start")
    ]
    return made.with_columns(missing).select([pl.col(name).cast(dtype) for name, dtype in STARTS.schema.items()])


def _derive(frames: Frames) -> pl.LazyFrame:
    logged = _of_logs(frames) if KLOG_LINES in frames and POD_MOMENTS in frames else empty(STARTS).lazy()
    if TOLD_EVENTS not in frames:
        return logged
    more = _of_events(frames).join(logged.select("pod").unique(), on="pod", how="anti")
    return pl.concat([logged, more]).sort("time", "source", "number")


def _of_logs(frames: Frames) -> pl.LazyFrame:
    lines = kubelets(frames[KLOG_LINES])
    accounts = _accounts(lines, _containers(frames[POD_MOMENTS]))
    found = _before(accounts, "until", added(lines), "added", ["source", "pod"])
    found = found.with_columns(given=pl.coalesce("added", "until") + _CLOCKS)
    found = _before(found, "given", _bindings(frames), "bound", ["pod"])
    found = found.with_columns(first=pl.coalesce("added", "bound", "created", "until"))
    found = found.sort("first", "source", "number").join_asof(
        begun(lines),
        left_on="first",
        right_on="booted",
        by="source",
        strategy="backward",
        tolerance=_YOUNG,
        check_sortedness=False,
    )
    found = _ends(_volumes(found, lines), lines, frames)
    # What only the PLEG tells began when the kubelet was given it; else it may have run long before.
    known = (pl.col("basis") == "observed") | pl.col("added").is_not_null()
    return (
        _parts(found.filter(known))
        .with_columns(
            node=node(),
            young=pl.col("booted").is_not_null(),
        )
        .select([pl.col(name).cast(dtype) for name, dtype in STARTS.schema.items()])
        .sort("time", "source", "number")
    )


POD_STARTS = Fact(
    table=STARTS,
    needs_any=((KLOG_LINES, POD_MOMENTS), (TOLD_EVENTS,)),
    uses=(AUDIT_REQUESTS, IMAGE_PULLS),
    derive=_derive,
)
