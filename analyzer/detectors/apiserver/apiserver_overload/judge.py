"""What filled the server, how bad it is, how sure that is, what would help, and what a fix would have saved."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.apiserver.apiserver_overload.evidence import agents
from analyzer.detectors.apiserver.apiserver_overload.measure import Measured
from analyzer.detectors.apiserver.apiserver_overload.signs import Window
from analyzer.facts.audit_windows import short
from analyzer.facts.shell import piped
from analyzer.model import Confidence, Remedy, Saving, Severity

HALF = 0.5
ETCD, QUEUE, ERRORS, LATENCY = "etcd", "queue", "errors", "latency"

GENERAL = (
    Remedy(
        text="Give etcd a disk of its own with a low fsync latency (its 99th percentile below 10 ms), and compact and "
        "defragment it.",
        snippet="kubectl get --raw /metrics | grep etcd_request_duration_seconds\n"
        "etcdctl endpoint status --cluster -w table\netcdctl defrag --cluster\n",
    ),
    Remedy(
        text="Take the load away: let the agents that stand first in the table watch instead of list, and cage them "
        "with a FlowSchema.",
    ),
    Remedy(
        text="Size the server for its objects, and let its limit of memory be above what its caches need.",
        snippet="# kube-apiserver\n--max-requests-inflight=400\n--max-mutating-requests-inflight=200\n"
        "--goaway-chance=0.001\n",
    ),
)


def variant(found: Measured) -> str:
    if found.etcd is not None and found.etcd >= HALF:
        return ETCD
    if found.queue is not None and found.queue >= HALF:
        return QUEUE
    return ERRORS if found.failed > found.slow else LATENCY


def severity(found: Measured, restarts: int, slo: float) -> Severity:
    """High where heartbeats of nodes, half of all requests or the server itself were hit; else medium."""
    most = (found.failed + found.slow) >= HALF * found.requests or (found.p50 or 0.0) > slo
    return Severity.HIGH if most or restarts or found.node_requests else Severity.MEDIUM


def confidence(found: Measured) -> tuple[Confidence, str]:
    told = " and ".join(
        text
        for text in (
            f"{found.failed:,} requests failed" if found.failed else "",
            f"{found.slow:,} were above the latency that SLOs allow" if found.slow else "",
        )
        if text
    )
    if found.complaints:
        return Confidence.HIGH, f"{told}, and {found.complaints:,} log lines of clients complain of the server"
    return Confidence.MEDIUM, f"{told}; the audit log alone tells it"


def savings(requests: pl.DataFrame, window: Window, found: Measured) -> tuple[Saving | None, tuple[Saving, ...]]:
    """The time of the server without its heaviest agent, and without etcd; the likelier cause first."""
    ranked = agents(requests.filter(window.rows))
    made = []
    if ranked.height and found.spent > 0:
        agent, _, spent = ranked.row(0)
        made.append(
            Saving(
                fix=f"no requests of {short(agent)}",
                observed=found.spent,
                modelled=round(found.spent - spent, 6),
                unit="seconds",
                assumption="The latency of all others stays as it was; without this load it would rather have sunk.",
                formula="sum of the latencies of the requests of all other agents in this time",
            )
        )
    if found.etcd is not None:
        made.append(
            Saving(
                fix="an etcd that answers at once",
                observed=found.spent,
                modelled=round(max(0.0, found.spent - found.etcd_seconds), 6),
                unit="seconds",
                assumption="Only requests above 500 ms tell what etcd took; of the others nothing is taken off.",
                formula="sum of the latencies less apiserver.latency.k8s.io/etcd",
            )
        )
    if variant(found) == ETCD:
        made.reverse()
    return (made[0], tuple(made[1:])) if made else (None, ())


def verify(source: str) -> tuple[str, ...]:
    failed = 'select((.stage=="ResponseComplete" or .stage=="Panic") and .responseStatus.code>=500)'
    fields = "[.responseStatus.code, .verb, .objectRef.resource]"
    etcd = '.annotations["apiserver.latency.k8s.io/etcd"]'
    return (
        f"{piped(source)} | jq -r '{failed} | {fields} | @tsv' | sort | uniq -c | sort -rn | head",
        f"{piped(source)} | jq -r 'select({etcd}) | [{etcd}, .requestURI] | @tsv' | head",
        "kubectl get --raw /metrics | grep -E 'apiserver_request_duration_seconds_(sum|count)'",
    )
