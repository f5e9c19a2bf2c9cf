"""The sample with what a run of today adds: owners, callers, failure signals, documentation, commands of records."""

from __future__ import annotations

from msgspec.structs import replace

from analyzer.model import (
    Caller,
    Column,
    Curve,
    CurveLane,
    Entity,
    EvidenceTable,
    Finding,
    Gap,
    Heat,
    Lane,
    Result,
    Series,
    Status,
)
from tests.render.sample import sample
from tests.render.sample_findings import HOSTILE, T0, at

ABOUT = """## What it finds
Lookups that walk the search list, told from in-cluster names.

A second paragraph of it.

## Why it matters
Each walk costs queries.

## What does not count
Names that are mistyped once."""

SIGNALS = ("DNS no reply", "API 429", "OOM kills", "FailedScheduling", "Image pulls failed", "TCP sent again")


def _with_commands(finding: Finding) -> Finding:
    records = tuple(
        replace(record, command=f"tshark -r node3.pcap -Y 'frame.number == {record.number}' -V")
        for record in finding.evidence.records
    )
    tables = finding.evidence.tables
    if finding.detector == "apiserver-throttle-storm":
        rows = (("payments/checkout-6c9f8d7b5c-x2k4z", "ip-10-0-12-33.ec2.internal"), ("shop/db-0", "ip-10-0-12-34"))
        columns = (Column(name="pod"), Column(name="node"))
        tables = (*tables, EvidenceTable(caption="Who was rejected", columns=columns, rows=rows))
    return replace(finding, evidence=replace(finding.evidence, records=records, tables=tables))


def failures() -> Series:
    """One lane a signal, an hour long; the first is blind for its last ten minutes."""
    lanes = []
    for i, name in enumerate(SIGNALS):
        values = [0.0] * 3600
        values[600 * i] = float(i + 1)
        gaps = (Gap(start=at(3000), end=at(3600), reason="after the last record of this source"),) if i == 0 else ()
        lanes.append(Lane(name=name, values=tuple(values), gaps=gaps))
    return Series(
        id="failure-signals",
        title="Failure signals",
        unit="per second",
        start=T0,
        step_seconds=1,
        lanes=tuple(lanes),
        never=("PLEG unhealthy", "Evictions"),
    )


def latency() -> Curve:
    """Two lanes: from 1 ms to 2 s by equal ratios, and one that is always 5 ms."""
    return Curve(
        id="api-latency",
        title="Latency of API requests, by verb",
        unit="seconds",
        counted="requests",
        shares=tuple(percent / 100 for percent in range(101)),
        lanes=(
            CurveLane(name="list", count=12_345, values=tuple(0.001 * 2000 ** (i / 100) for i in range(101))),
            CurveLane(name=HOSTILE[0], count=1, values=(0.005,) * 101),
        ),
        remark="Without long-running requests.",
    )


def refusals() -> Heat:
    """Two agents, an hour of minutes: one is refused more every minute from 09:10, the other once; a gap at the end."""
    more = tuple(float(max(minute - 9, 0)) if minute < 50 else 0.0 for minute in range(60))
    once = tuple(float(minute == 30) for minute in range(60))
    return Heat(
        id="api-throttled-agents",
        title="429 answers by user agent and time",
        unit="answers",
        start=T0,
        step_seconds=60,
        lanes=(Lane(name="datadog-agent", values=more), Lane(name=HOSTILE[0], values=once)),
        gaps=(Gap(start=at(3000), end=at(3600), reason="after the last record of this source"),),
    )


def full() -> Result:
    """4 findings of which one names pods and nodes, callers of each kind, 6 failure signals, a curve, a heat map."""
    base = sample()
    runs = tuple(
        replace(run, about=ABOUT, findings=tuple(_with_commands(f) for f in run.findings))
        if run.status is Status.FIRED
        else run
        for run in base.runs
    )
    label = "pod payments/checkout-6c9f8d7b5c-x2k4z on node ip-10-0-12-33.ec2.internal"
    owner = Entity(
        kind="address",
        id="10.0.0.7",
        label=label,
        known_from="audit pods/status; high confidence",
        workload="payments/checkout",
    )
    callers = (
        Caller(kind="user agent", name="datadog-agent", requests=120_004, watches=4, throttled=31_402, server_errors=0),
        Caller(kind="user agent", name=HOSTILE[0], requests=9, watches=0, throttled=0, server_errors=7),
        Caller(
            kind="account", name="system:serviceaccount:monitoring:datadog", requests=120_004, audit_bytes=81_000_000
        ),
        Caller(
            kind="pod", name="payments/checkout-6c9f8d7b5c-x2k4z", dns_queries=6015, dns_nxdomain=4812, dns_failed=0
        ),
    )
    return replace(
        base,
        runs=runs,
        entities=(owner,),
        callers=callers,
        series=(*base.series, failures()),
        curves=(latency(),),
        heats=(refusals(),),
    )
