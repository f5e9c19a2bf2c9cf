"""What to do about late statuses, what it would change, and how to check it."""

from __future__ import annotations

import shlex

import polars as pl

from analyzer.detectors.node.kubelet_status_lag.measure import Lags
from analyzer.facts.node_names import short_node
from analyzer.facts.shell import grepped, piped
from analyzer.model import Remedy, Saving

REMEDIES = (
    Remedy(
        text="Let the kubelet send more requests a second; 50 and 100 are the defaults since Kubernetes 1.27.",
        snippet="# KubeletConfiguration\nkubeAPIQPS: 50\nkubeAPIBurst: 100\n",
    ),
    Remedy(
        text="Spread pods that come and go in numbers, such as those of builds, over more nodes.",
        snippet=(
            "topologySpreadConstraints:\n  - maxSkew: 1\n    topologyKey: kubernetes.io/hostname\n"
            "    whenUnsatisfiable: ScheduleAnyway\n    labelSelector: {matchLabels: {app: NAME}}\n"
        ),
    ),
    Remedy(
        text="Give pods credentials that do not go by their address (IRSA, Pod Identity) and retries at their start."
    ),
)

LIMITS = ((50, 100), (100, 200))
"""kubeAPIQPS and kubeAPIBurst: the defaults since 1.27 (kubelet config v1beta1/defaults.go), and twice that."""


def savings(lags: Lags, requests: pl.LazyFrame | None) -> tuple[Saving, ...]:
    """The largest lag with other limits: what the kubelet sent meanwhile, less the burst, at so many a second."""
    if requests is None or lags.rows["patch_number"].item(0) is None:
        return ()
    start, told = lags.rows.select("time", "told").row(0)
    sent = requests.filter(short_node(pl.col("node")) == lags.node, pl.col("time").is_between(start, told)).select(
        pl.len()
    )
    count = int(sent.collect().item())
    return tuple(
        Saving(
            fix=f"kubeAPIQPS {qps}, kubeAPIBurst {burst}",
            observed=round(lags.largest, 6),
            modelled=round(min(max(count - burst, 0) / qps, lags.largest), 6),
            unit="seconds",
            assumption=f"the {count:,} requests that the kubelet sent during the largest lag stood before the patch",
            formula="(requests - burst) / requests a second",
        )
        for qps, burst in LIMITS
    )


def verify(lags: Lags) -> tuple[str, ...]:
    """Commands on the original logs."""
    pod, source, other = lags.rows.select("pod", "source", "patch_source").row(0)
    namespace, _, name = pod.partition("/")
    shown = [f"{grepped(source, pod)} | grep -E 'PLEG|Observed pod startup'"]
    if other is not None:
        chosen = '.objectRef.subresource=="status" and .objectRef.namespace==$namespace and .objectRef.name==$name'
        given = f"--arg namespace {shlex.quote(namespace)} --arg name {shlex.quote(name)}"
        program = f"select({chosen}) | [.stage, .requestReceivedTimestamp, .verb]"
        shown.append(f"{piped(other)} | jq -c {given} {shlex.quote(program)}")
    shown.append(grepped(source, "client-side throttling|Throttling request took", "cE"))
    return tuple(shown)
