"""What a kubelet says of a runtime that stands still."""

from __future__ import annotations

import polars as pl

from analyzer.facts.klog_values import go_seconds, number, value
from analyzer.facts.node_names import node
from analyzer.facts.pleg_events import bare_id, bounded_seconds

SCHEMA = pl.Schema(
    {
        "time": pl.Datetime("us", "UTC"),
        "source": pl.String(),
        "number": pl.Int64(),
        "node": pl.String(),
        "host": pl.String(),
        "kind": pl.String(),
        "weight": pl.String(),
        "seconds": pl.Float64(),
        "about": pl.String(),
        "text": pl.String(),
    }
)


DEADLINE = r"DeadlineExceeded|context deadline exceeded|[Oo]peration timeout|timed out"


LAST_ACTIVE = r"pleg was last seen active ([0-9a-zµ.]+) ago"


_CALLS = {
    "stop deadline": r'^(?:StopContainer|StopPodSandbox)(?: "[^"]*")? from runtime service failed',
    "sandbox deadline": r"^RunPodSandbox from runtime service failed",
}
"""kubernetes pkg/kubelet/cri/remote/remote_runtime.go: structured since 1.21, before `StopContainer "id" from runtime
service failed: error`. A stop may take its grace and two minutes more, another call two minutes."""


_CGROUP = r"^[Ff]ailed to (?:kill all the processes attached to (?:the .* )?cgroups?|delete cgroup paths)"
"""pkg/kubelet/cm/pod_container_manager_linux.go."""


_READY = r"^(?:Fast updating node status as it just became ready|Recording NodeReady event message for node )"
"""Before 1.21 `Recording NodeReady event message for node NAME` and `Node became not ready: {Type:Ready ..`
(pkg/kubelet/kubelet_node_status.go, pkg/kubelet/nodestatus/setters.go); since 1.27 the first form."""


_HOUSEKEEPING = "housekeeping took too long"


LONG_HOUSEKEEPING = 15.0
"""Seconds that Kubernetes 1.23 to 1.26 complain of (housekeepingWarningDuration); since 1.27 one second is enough."""


def shaped(rows: pl.LazyFrame, kind: str, weight: str) -> pl.LazyFrame:
    there = rows.collect_schema()
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in SCHEMA.items() if name not in there]
    return (
        rows.with_columns(missing)
        .with_columns(kind=pl.lit(kind), weight=pl.lit(weight), seconds=bounded_seconds(pl.col("seconds")))
        .select(list(SCHEMA))
    )


def of_kubelet(lines: pl.LazyFrame) -> list[pl.LazyFrame]:
    message, text = pl.col("message"), pl.col("text")
    named = lines.with_columns(node=node())
    late = text.str.contains(DEADLINE)
    who = pl.coalesce(
        "pod", bare_id(value("containerID")), value("podSandboxID"), message.str.extract(r' "([^"]+)" ', 1)
    )
    sync = message.str.starts_with("Skipping pod sync") | message.str.starts_with("skipping pod sync")
    took = pl.coalesce(go_seconds(value("actual")), go_seconds(value("seconds")), number("seconds"))
    parts = [
        shaped(
            named.filter(sync)
            .with_columns(seconds=go_seconds(text.str.extract(LAST_ACTIVE, 1)))
            .filter(bounded_seconds(pl.col("seconds")) > 0),
            "PLEG",
            "pleg",
        ),
        shaped(
            named.filter(sync, text.str.contains("container runtime is down", literal=True)), "runtime down", "weak"
        ),
        shaped(
            named.filter(
                message.str.contains(
                    r"^[kK]illPod failed$|^Container termination failed|^Container .* termination failed"
                ),
                late,
            ).with_columns(about=who),
            "failed kill",
            "weak",
        ),
        shaped(named.filter(message.str.contains(_CGROUP)).with_columns(about=value("cgroupName")), "cgroup", "weak"),
        shaped(
            named.filter(message == _HOUSEKEEPING)
            .with_columns(seconds=took)
            .filter(pl.col("seconds") >= LONG_HOUSEKEEPING),
            "housekeeping",
            "weak",
        ),
        shaped(named.filter(message.str.starts_with("Node became not ready")), "not ready", "context"),
        shaped(named.filter(message.str.contains(_READY)), "ready", "context"),
    ]
    for kind, pattern in _CALLS.items():
        calls = named.filter(message.str.contains(pattern), late).with_columns(about=who)
        parts.append(shaped(calls, kind, "strong"))
    return parts
