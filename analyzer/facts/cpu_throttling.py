"""How often containers ran out of their CPU quota, by the kernel's counters: snapshots of cpu.stat, saved scrapes.

The metrics are those of cAdvisor in the kubelet (cadvisor/metrics/prometheus.go): `container_cpu_cfs_periods_total`,
`container_cpu_cfs_throttled_periods_total` and `container_cpu_cfs_throttled_seconds_total`, with the labels namespace,
pod, container (until Kubernetes 1.15 `pod_name`, `container_name`) and `id`, the path of the cgroup.
"""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.frames import CGROUP_CPU, METRIC_SAMPLES, TIME, Col, Table
from analyzer.frames.contract import PLACE, empty

COUNTERS = {
    "container_cpu_cfs_periods_total": "periods",
    "container_cpu_cfs_throttled_periods_total": "throttled_periods",
    "container_cpu_cfs_throttled_seconds_total": "throttled_seconds",
    "container_cpu_usage_seconds_total": "usage_seconds",
}
_VALUES = ("periods", "throttled_periods", "throttled_seconds", "usage_seconds")

_TABLE = Table(
    "cpu_throttling",
    "One row per two snapshots of one container's counters, with what was added from the earlier to the later; where "
    "there is one snapshot only, with what it holds. `time`, `source` and `number` are of the later.",
    (
        *PLACE,
        Col("since", TIME, "Time of the earlier snapshot; null without one, or where it has none."),
        Col("since_source", pl.String(), "Its input; null without one."),
        Col("since_number", pl.Int64(), "Its line; null without one."),
        Col("told_by", pl.String(), "cgroup (cpu.stat) or metrics (a scrape)."),
        Col("subject", pl.String(), "What tells containers apart: the id, else the path or the names."),
        Col("namespace", pl.String(), "Namespace of the pod; null if not told."),
        Col("pod", pl.String(), "Name of the pod; null if not told."),
        Col("container", pl.String(), "Name of the container; null if not told."),
        Col("path", pl.String(), "Path of the cgroup; null if not told."),
        Col("pod_uid", pl.String(), "UID of the pod; null if not told."),
        Col("periods", pl.Int64(), "Enforcement periods in which the container wanted to run."),
        Col("throttled_periods", pl.Int64(), "Of them those in which it ran out of its quota."),
        Col("throttled_seconds", pl.Float64(), "Time its threads were held back, summed over CPUs; null if not told."),
        Col("usage_seconds", pl.Float64(), "CPU time that it used; null if not told."),
    ),
)

_UID = r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})"
_ID = r"[/:-]([0-9a-f]{64})(?:\.scope)?(?:/[^/]*)*$"
_SANDBOX = "POD"
"""What the container of a pod's sandbox is called by cAdvisor."""


def _of_cgroups(frame: pl.LazyFrame) -> pl.DataFrame:
    none = pl.lit(None, pl.String)
    return (
        frame.filter(pl.col("periods").is_not_null(), pl.col("throttled_periods").is_not_null())
        .with_columns(told_by=pl.lit("cgroup"), namespace=none, pod=none, container=none)
        .collect()
    )


def _of_metrics(frame: pl.LazyFrame) -> pl.DataFrame:
    """The counters of one container, which stand in lines of their own, brought together: n-th with n-th."""
    samples = frame.filter(pl.col("metric").is_in(list(COUNTERS)), pl.col("value").is_finite(), pl.col("value") >= 0)
    found = samples.with_columns(
        pl.col("metric").replace(COUNTERS),
        nth=pl.int_range(pl.len()).over("source", "metric", "labels"),
    ).collect()
    key = ["source", "labels", "nth"]
    rows = found.filter(pl.col("metric") == "periods").select(*key, "time", "number", periods="value")
    for name in _VALUES[1:]:
        other = found.filter(pl.col("metric") == name).select(*key, pl.col("value").alias(name))
        rows = rows.join(other, on=key, how="left", maintain_order="left")
    named = {
        name: pl.coalesce(_label(name), _label(f"{name}_name")) if name != "namespace" else _label(name)
        for name in ("namespace", "pod", "container")
    }
    path = _label("id")
    return (
        rows.filter(pl.col("throttled_periods").is_not_null())
        .with_columns(told_by=pl.lit("metrics"), **named)
        .with_columns(path=path, pod_uid=path.str.extract(_UID, 1).str.replace_all("_", "-", literal=True))
        .with_columns(container_id=path.str.extract(_ID, 1))
        .filter((pl.col("container") != _SANDBOX).fill_null(True))
    )


def _label(name: str) -> pl.Expr:
    """The value of a label; null where it is missing or empty."""
    value = pl.col("labels").str.json_path_match(f"$.{name}")
    return pl.when(value != "").then(value)


def _containers(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of containers: a pod's own cgroup sums up its containers, and counts only where none of them is told."""
    pod = pl.coalesce("pod_uid", pl.concat_str("namespace", pl.lit("/"), "pod"))
    named = pl.col("container").is_not_null() | pl.col("container_id").is_not_null()
    whole = rows.with_columns(whose=pod, named=named)
    inner = whole.filter("named")["whose"].drop_nulls().unique()
    kept = whole.filter(pl.col("named") | ~pl.col("whose").is_in(inner.implode()).fill_null(False))
    names = pl.concat_str("namespace", "pod", "container", separator="/", ignore_nulls=True)
    subject = pl.coalesce("container_id", "path", pl.when(names != "").then(names), "source")
    by_kernel = kept.filter(pl.col("told_by") == "cgroup")["container_id"].drop_nulls().unique()
    twice = (pl.col("told_by") == "metrics") & pl.col("container_id").is_in(by_kernel.implode())
    return kept.filter(~twice.fill_null(False)).with_columns(subject=subject)


def _derive(frames: Frames) -> pl.LazyFrame:
    parts = [
        _of_cgroups(frames.get(CGROUP_CPU, empty(CGROUP_CPU).lazy())),
        _of_metrics(frames.get(METRIC_SAMPLES, empty(METRIC_SAMPLES).lazy())),
    ]
    counters = {name: pl.col(name).cast(_TABLE.schema[name], strict=False) for name in _VALUES}
    shared = [one.with_columns(**counters) for one in parts]
    rows = _containers(pl.concat(shared, how="diagonal"))
    # Without times the counters themselves tell the order, for they only grow.
    return _added(rows.sort("subject", "time", "periods", "throttled_periods", "source", "number")).lazy()


def _added(rows: pl.DataFrame) -> pl.DataFrame:
    """What each snapshot has more than the one before it. A counter that fell began anew; more throttled periods than
    periods is damage."""
    before = {name: pl.col(name).shift(1).over("subject") for name in ("time", "source", "number", *_VALUES)}
    ordered = rows.with_columns(
        first=pl.col("number").shift(1).over("subject").is_null(),
        alone=pl.len().over("subject") == 1,
        since=before["time"],
        since_source=before["source"],
        since_number=before["number"],
        anew=((pl.col("periods") < before["periods"]) | (pl.col("throttled_periods") < before["throttled_periods"])),
        **{f"was_{name}": before[name] for name in _VALUES},
    )
    more = {
        name: pl.when(pl.col("anew").fill_null(True)).then(name).otherwise(pl.col(name) - pl.col(f"was_{name}"))
        for name in _VALUES
    }
    return (
        ordered.filter(~pl.col("first") | pl.col("alone"))
        .with_columns(**more)
        .filter(pl.col("throttled_periods") <= pl.col("periods"))
        .select(pl.col(name).cast(dtype) for name, dtype in _TABLE.schema.items())
        .sort("time", "source", "number", "subject")
    )


CPU_THROTTLING = Fact(table=_TABLE, needs_any=((CGROUP_CPU,), (METRIC_SAMPLES,)), derive=_derive)
