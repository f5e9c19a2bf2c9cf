"""What kubelet logs tell of the start of pods, one frame for each kind of line."""

from __future__ import annotations

import polars as pl

from analyzer.facts.klog_values import names, number, seconds, value

_MOMENT = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})((?:\.[0-9]{1,9})?)"

_LOCAL = r"^kubernetes\.io/(?:projected|configmap|secret|empty-dir|downward-api|host-path|git-repo|local-volume)/"
"""Plugins whose volumes need neither a controller nor a storage server (pkg/volume, each plugin's GetPluginName)."""

_OLD_PODS = r"[a-z0-9.-]+_[a-z0-9-]+\([0-9a-f-]+\)"
_OLD_POD = r"^([a-z0-9.-]+)_([a-z0-9-]+)\(.*$"

_DAY = 86_400.0


def kubelets(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Lines with a time that a kubelet may have written."""
    return lines.filter(pl.col("time").is_not_null(), (pl.col("component") == "kubelet").fill_null(True))


def added(lines: pl.LazyFrame) -> pl.LazyFrame:
    """`source, pod, added`: when the kubelet was given a pod by the API server, in both forms of the line
    (`pkg/kubelet/kubelet.go`, syncLoopIteration): `"SyncLoop ADD" source="api" pods=["ns/name"]`, before 1.21
    `SyncLoop (ADD, "api"): "name_ns(uid), ..."`."""
    new = lines.filter(pl.col("message") == "SyncLoop ADD").with_columns(from_=value("source"), pods=names("pods"))
    new = new.filter((pl.col("from_") == "api").fill_null(True))
    old = lines.filter(pl.col("message").str.starts_with('SyncLoop (ADD, "api")')).with_columns(
        pods=pl.col("text").str.extract_all(_OLD_PODS)
    )
    both = pl.concat([frame.select("source", "time", "pods") for frame in (new, old)])
    one = both.explode("pods", empty_as_null=True).with_columns(pod=pl.col("pods").str.replace(_OLD_POD, "$2/$1"))
    return one.filter(pl.col("pod").is_not_null()).select("source", "pod", added="time").sort("added", "source", "pod")


def begun(lines: pl.LazyFrame) -> pl.LazyFrame:
    """`source, booted`: when a kubelet began its work; then it is given all pods that it has anyway."""
    found = lines.filter(pl.col("message").str.starts_with("Starting kubelet main sync loop"))
    return found.select("source", booted="time").sort("booted", "source")


def died(lines: pl.LazyFrame) -> pl.LazyFrame:
    """`source, pod, died`: when a container of a pod ended."""
    pleg = pl.col("message").str.starts_with("SyncLoop (PLEG)") & pl.col("text").str.contains(
        "ContainerDied", literal=True
    )
    return lines.filter(pleg, pl.col("pod").is_not_null()).select("source", "pod", died="time")


def mounted(lines: pl.LazyFrame) -> pl.LazyFrame:
    """`source, uid, mounted, local`: volumes that are there; `local` needs nothing but the node."""
    text = pl.col("text")
    found = lines.filter(text.str.contains("MountVolume.SetUp succeeded", literal=True))
    plugin = text.str.extract(r'UniqueName: \\?"([^"\\]+)', 1)
    return found.select(
        "source",
        uid=text.str.extract(r'\(UID: \\?"([0-9a-f-]{32,36})', 1),
        mounted="time",
        local=plugin.str.contains(_LOCAL).fill_null(True),
    ).filter(pl.col("uid").is_not_null())


def stuck(lines: pl.LazyFrame) -> pl.LazyFrame:
    """`pod, stuck`: pods that waited for a volume in vain."""
    found = lines.filter(pl.col("message").str.starts_with("Unable to attach or mount volumes for pod"))
    return found.filter(pl.col("pod").is_not_null()).select("pod", stuck="time")


def observed(lines: pl.LazyFrame) -> pl.LazyFrame:
    """The kubelet's own account of a start, of every era (`pkg/kubelet/util/pod_startup_latency_tracker.go`): `whole`
    seconds from the creation until its watch brought back that all containers run, of which `pull`, `init` (since 1.36;
    null before) and `status`; `ran` and `created` by the node's clock.

    1.27 does not tell the whole: it is the SLO's duration and the pull. Of what was not seen Go's zero time is told.
    """
    found = lines.filter(pl.col("message") == "Observed pod startup duration", pl.col("pod").is_not_null())
    told = found.with_columns(
        e2e=seconds("podStartE2EDuration"),
        slo=number("podStartSLOduration"),
        pulls=seconds("totalImagesPullingTime"),
        init=seconds("totalInitContainerRuntime"),
        **{key: micros(value(key)) for key in ("firstStartedPulling", "lastFinishedPulling")},
        **{key: micros(value(key)) for key in ("observedRunningTime", "watchObservedRunningTime")},
    )
    pulled = (pl.col("lastFinishedPulling") - pl.col("firstStartedPulling")) / 1e6
    known = (pl.col("firstStartedPulling") > 0) & (pl.col("lastFinishedPulling") > 0)
    status = (pl.col("watchObservedRunningTime") - pl.col("observedRunningTime")) / 1e6
    pull = pl.coalesce("pulls", pl.when(known).then(pulled), pl.lit(0.0)).clip(0, _DAY)
    made = told.with_columns(pull=pull, status=pl.when(pl.col("observedRunningTime") > 0).then(status))
    return (
        made.with_columns(whole=pl.coalesce("e2e", pl.col("slo") + pl.col("pull")))
        .filter(pl.col("whole").is_between(0, _DAY), pl.col("status").is_between(0, _DAY).fill_null(True))
        .select(
            *("time", "source", "number", "pod", "host", "whole", "pull", "init", "status"),
            ran=pl.col("time") - _duration(pl.col("status").fill_null(0.0)),
            created=pl.col("time") - _duration(pl.col("whole")),
        )
    )


def micros(text: pl.Expr) -> pl.Expr:
    """Microseconds of a Go time, as printed or as RFC 3339, without its zone: those of a line have the same."""
    parts = [text.str.extract(_MOMENT, group) for group in (1, 2, 3)]
    whole = (parts[0] + "T" + parts[1]).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    return whole.dt.timestamp("us") + (("0" + parts[2]).cast(pl.Float64, strict=False) * 1e6).round().cast(pl.Int64)


def _duration(text: pl.Expr) -> pl.Expr:
    return pl.duration(microseconds=(text * 1e6).round().cast(pl.Int64))
