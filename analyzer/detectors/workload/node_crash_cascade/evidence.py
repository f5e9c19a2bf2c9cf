"""Figures, records and tables of a cascade, how bad it is, how sure, and what spreading would have kept."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.workload.node_crash_cascade.cascade import Cascade
from analyzer.facts.audit_windows import RECORDS, records, short
from analyzer.model import Column, Confidence, Evidence, EvidenceTable, Figure, Record, Saving, Severity

ROWS = 15
MANY = 3
"""Nodes from which a cascade is critical: it goes on."""

WEAK = {"silence", "kubelet start"}
"""Signs that a log that leaves something out, or a kubelet that starts anew, shows as well."""


def impact(cascade: Cascade) -> tuple[Figure, ...]:
    """The figures. Where no node is silent in the evidence there is no silence."""
    first = cascade.steps[0]
    lasted = (cascade.last - cascade.start).total_seconds()
    figures = [
        ("nodes", len(cascade.outages), "nodes"),
        ("replicas of the owner on the first node", first.lost.height, "replicas"),
        ("replicas of the owner in all", first.replicas, "replicas"),
        ("pods moved", cascade.moved.height, "pods"),
        ("longest silence of a node", None if cascade.silence is None else round(cascade.silence, 6), "seconds"),
        (
            "seconds from the first failure to the last",
            round(lasted, 6),
            "seconds",
        ),
    ]
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def severity(cascade: Cascade) -> Severity:
    first = cascade.steps[0]
    all_lost = first.lost.height >= first.replicas
    return Severity.CRITICAL if all_lost or len(cascade.outages) >= MANY else Severity.HIGH


def confidence(cascade: Cascade) -> tuple[Confidence, str]:
    """An Event, the node controller, a kubelet or a boot tells of an outage; silence alone may be the log's."""
    silent = sum(set(outage["told_by"].split(", ")) <= WEAK for outage in cascade.outages)
    count = len(cascade.outages)
    if not silent:
        return Confidence.HIGH, f"Events, the node controller, kubelets or a boot tell of all {count} outages"
    if silent < count:
        return Confidence.MEDIUM, f"{silent} of {count} outages are known by the silence of the kubelet alone"
    return Confidence.LOW, "the outages are known by the silence of the kubelets alone"


def evidence(cascade: Cascade) -> Evidence:
    """Each outage, then the placements between them; node by node, and the pods that moved."""
    outages = tuple(Record(source=one["source"], number=one["number"], time=one["time"]) for one in cascade.outages)
    moved = cascade.moved.sort("time", "source", "number")
    kept = outages[: RECORDS // 2]
    return Evidence(
        records=(*kept, *records(moved, count=RECORDS - len(kept))), tables=(_nodes(cascade), _moved(cascade))
    )


def _nodes(cascade: Cascade) -> EvidenceTable:
    held = [cascade.steps[0].lost.height, *(step.moved.height for step in cascade.steps)]
    rows = []
    for outage, replicas in zip(cascade.outages, held, strict=True):
        after = (outage["time"] - cascade.start).total_seconds()
        silent = outage["silent_seconds"]
        silence = None if silent is None else round(silent, 3)
        rows.append((outage["node"], round(after, 3), silence, outage["told_by"], replicas))
    return EvidenceTable(
        caption="Nodes that failed, and how many replicas of the owner they had",
        columns=(
            *(Column(name="node"), Column(name="after the first", unit="seconds")),
            *(Column(name="silent", unit="seconds"), Column(name="told by"), Column(name="replicas", unit="replicas")),
        ),
        rows=tuple(rows)[:ROWS],
    )


def _moved(cascade: Cascade) -> EvidenceTable:
    after = (pl.col("since") - cascade.start).dt.total_microseconds().cast(pl.Float64) / 1e6
    rows = cascade.moved.select("pod", "node", after.round(3)).head(ROWS)
    return EvidenceTable(
        caption="Replicas that came to the next node before it failed",
        columns=(Column(name="pod"), Column(name="node"), Column(name="after the first failure", unit="seconds")),
        rows=tuple((short(pod), node, seconds) for pod, node, seconds in rows.rows()),
    )


def saving(cascade: Cascade) -> Saving:
    """The replicas spread over all nodes that are known."""
    first = cascade.steps[0]
    return Saving(
        fix="anti-affinity or a spread over nodes that is required",
        observed=first.lost.height,
        modelled=min(first.lost.height, cascade.spread),
        unit="replicas lost with the first node",
        assumption=f"The {cascade.nodes} nodes that the evidence knows have room for one replica after the other.",
        formula=f"replicas divided by nodes, rounded up: {first.replicas} / {cascade.nodes}",
    )
