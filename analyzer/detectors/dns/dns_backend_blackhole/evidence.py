"""Figures, records, tables and commands that prove a black hole."""

from __future__ import annotations

import shlex
from math import inf

import polars as pl

from analyzer.detectors.dns.dns_backend_blackhole.judge import Verdict
from analyzer.detectors.dns.dns_backend_blackhole.measure import Hole
from analyzer.facts.audit_windows import records
from analyzer.facts.dns_witness import Witness
from analyzer.facts.shell import tshark
from analyzer.model import Column, Evidence, EvidenceTable, Figure, Record, Remedy, Saving

ROWS = 15

REMEDIES = (
    Remedy(
        text="Let IPVS forget a server that is gone: kube-proxy does so since 1.15.3; on older nodes set it by hand.",
        snippet="sysctl -w net.ipv4.vs.expire_nodest_conn=1\nsysctl -w net.ipv4.vs.expire_quiescent_template=1\n",
    ),
    Remedy(
        text="With iptables, drop the entries of the server that is gone.",
        snippet="conntrack -D -p udp --dport 53 --reply-src POD-IP\n",
    ),
    Remedy(
        text="Let CoreDNS answer until everybody knows that it goes; terminationGracePeriodSeconds must be longer.",
        snippet="health {\n    lameduck 15s\n}\n",
    ),
    Remedy(
        text="Keep the autoscaler of CoreDNS from taking servers away at each ebb.",
        snippet='{"preventSinglePointOfFailure": true, "min": 3}\n',
    ),
    Remedy(text="Run NodeLocal DNSCache: pods ask on their node, and it asks CoreDNS by TCP."),
)


def impact(hole: Hole, verdict: Verdict, witness: Witness) -> tuple[Figure, ...]:
    figures: list[tuple[str, int | float, str]] = [
        ("unanswered queries", hole.lost.height, "queries"),
        ("failed lookups", hole.failed.height, "lookups"),
        ("clients", hole.failed["client"].n_unique(), "clients"),
        ("answered lookups from reused ports", hole.ports.reused_answered, "lookups"),
        ("answered lookups from fresh ports", hole.ports.fresh_answered, "lookups"),
        ("window", round(hole.seconds, 6), "seconds"),
        ("seconds waited", round(hole.waited, 6), "seconds"),
    ]
    told = {when: (verdict.scaled or verdict.change or {}).get(f"replicas_{when}") for when in ("before", "after")}
    figures += [(f"replicas {when}", count, "replicas") for when, count in told.items() if count is not None]
    return (*(Figure(name=name, value=value, unit=unit) for name, value, unit in figures), *witness.figures)


def evidence(hole: Hole, verdict: Verdict) -> Evidence:
    """The unanswered queries, the change before them, the ports and the clients."""
    quoted = records(hole.lost.select("time", "source", "number"))
    if verdict.change:
        change = verdict.change
        told = [change, *([verdict.scaled] if verdict.scaled and verdict.scaled != change else [])]
        quoted = (*(Record(source=one["source"], number=one["number"], time=one["time"]) for one in told), *quoted)
    ports = hole.ports
    by_port = EvidenceTable(
        caption=_tested(hole),
        columns=(
            Column(name="port"),
            *(Column(name="failed", unit="lookups"), Column(name="answered", unit="lookups")),
        ),
        rows=(
            ("in use before", ports.reused_failed, ports.reused_answered),
            ("fresh", ports.fresh_failed, ports.fresh_answered),
        ),
    )
    clients = hole.failed.group_by("client").agg(
        pl.len().alias("lookups"), pl.col("queries").sum(), pl.col("name").sort().first()
    )
    by_client = EvidenceTable(
        caption="Clients whose lookups failed",
        columns=(
            Column(name="client"),
            *(Column(name="lookups", unit="lookups"), Column(name="queries", unit="queries"), Column(name="a name")),
        ),
        rows=tuple(clients.sort(["lookups", "client"], descending=[True, False]).head(ROWS).rows()),
    )
    return Evidence(records=quoted, tables=(by_port, by_client))


def _tested(hole: Hole) -> str:
    ratio = hole.ports.risk_ratio
    times = "infinitely" if ratio == inf else f"{ratio:.3g}"
    return f"Lookups by port; reused ports fail {times} times as often, by chance with p = {hole.ports.p_value:.2g}"


def saving(hole: Hole, verdict: Verdict) -> Saving | None:
    """Only where the port decides: then what failed on ports that were in use before is what stale entries cost."""
    if not verdict.by_port:
        return None
    return Saving(
        fix="no stale entries",
        observed=hole.failed.height,
        modelled=hole.ports.fresh_failed,
        unit="lookups",
        assumption="a lookup from a port that was in use before the window is sent to a server that is there",
        formula="failed lookups without those from ports in use before the window",
    )


def verify(hole: Hole) -> tuple[str, ...]:
    """Commands that show the queries, and what the kernel remembers of the server."""
    field = "ipv6.dst" if ":" in hole.server else "ip.dst"
    shown = f"udp.dstport == 53 && {field} == {hole.server}"
    return (
        f"{tshark(hole.lost['source'][0], '-t a')} -Y {shlex.quote(shown)}",
        f"conntrack -L -p udp --dport 53 --orig-dst {hole.server}   # on the node: reply sources that are gone",
        "ipvsadm -Lnc | grep UDP   # on the node, with IPVS",
        "kubectl -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns -o wide",
    )
