"""A rich result, made by hand: four patterns, hostile names, gaps, an hour of seconds, causes and changes."""

from __future__ import annotations

import math

from msgspec.structs import replace

from analyzer.model import (
    Caller,
    Cause,
    CauseEnd,
    Change,
    Coverage,
    Entity,
    Gap,
    InputReport,
    Lane,
    Moment,
    Offset,
    Result,
    Run,
    Series,
    SettingValue,
    SkippedReason,
    Status,
    Story,
    Tool,
)
from tests.render.sample_findings import (
    ANSI,
    BIDI,
    HOSTILE,
    SCRIPT,
    T0,
    at,
    credential_storm,
    log_flood,
    search_chain,
    throttle_storm,
)

__all__ = ["HOSTILE", "empty", "many_findings", "sample"]


def _wave(base: float, swing: float, seconds: int = 3600) -> list[float]:
    """A rate that breathes; integers, so that the sample is the same everywhere."""
    return [round(base + swing * math.sin(i / 97) + swing / 2 * math.sin(i / 13)) for i in range(seconds)]


def _during(values: list[float], first: int, last: int, extra: float) -> list[float]:
    out = list(values)
    for i in range(first, last):
        out[i] += round(extra * min(1.0, (i - first) / 60))
    return out


def many_findings(count: int) -> Result:
    """The sample with `count` more findings of one pattern."""
    base = sample()
    chain = search_chain()
    more = tuple(
        replace(
            chain,
            subject=f"10.9.{i // 250}.{i % 250}",
            key=f"dns-search-chain:10.9.{i // 250}.{i % 250}",
            start=at(i * 10),
            end=at(i * 10 + 300),
        )
        for i in range(count)
    )
    run = Run(detector="dns-search-chain", title="Search domains multiply lookups", status=Status.FIRED, findings=more)
    return replace(base, runs=(*base.runs, run))


def _runs() -> tuple[Run, ...]:
    fired = (
        ("dns-search-chain", "Search domains multiply DNS lookups", search_chain()),
        ("imds-credential-storm", "Short-lived credentials are fetched on every call", credential_storm()),
        ("apiserver-throttle-storm", "One client exhausts the API server's request limit", throttle_storm()),
        ("audit-log-flood", "One writer floods the audit log", log_flood()),
    )
    runs = [
        Run(
            detector=detector,
            title=title,
            status=Status.FIRED,
            findings=(finding,),
            remarks=("12 look-alikes: a name that was mistyped, " + BIDI,) if detector == "dns-search-chain" else (),
        )
        for detector, title, finding in fired
    ]
    runs += [
        Run(
            detector="dns-backend-blackhole",
            title="Flows keep going to a deleted resolver",
            status=Status.QUIET,
            reason="no unanswered query in 88,120 over 09:00:00 to 10:00:00Z",
        ),
        Run(
            detector="exec-probe-timeout",
            title="Exec probes leave zombies",
            status=Status.SKIPPED,
            reason="needs kubelet logs, which were not given",
        ),
        Run(
            detector="snat-retransmission",
            title="Source NAT races cost seconds",
            status=Status.FAILED,
            reason="ZeroDivisionError: division by zero",
        ),
    ]
    return tuple(runs)


def _inputs() -> tuple[InputReport, ...]:
    return (
        InputReport(
            path="node3.pcap",
            kind="pcap",
            sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            bytes=1_288_490_188,
            records=2_880_112,
            used=2_878_906,
            skipped=1_205,
            skipped_reasons=(
                SkippedReason(
                    reason="malformed DNS message", count=1_204, places=("frame 812", "frame 901", "frame 905")
                ),
                SkippedReason(reason="packet cut by the snap length", count=1, places=("frame 88412",)),
            ),
            incomplete_tail=1,
            first_time=at(0),
            last_time=at(3599),
            notes=("interface dropped 312 packets before they were written",),
        ),
        InputReport(
            path="audit.log.gz",
            kind="audit",
            sha256="60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
            bytes=201_326_592,
            records=1_691_010,
            used=1_691_010,
            first_time=at(-540),
            last_time=at(3590),
        ),
        InputReport(
            path="coredns-7db6d8ff4d-2kx.log",
            kind="coredns",
            sha256="fd61a03af4f77d870fc21e05e7e80678095c92d808cfb3b5c279ee04c74aca13",
            bytes=9_120_000,
            records=88_120,
            used=88_120,
            first_time=at(0),
            last_time=at(3599),
        ),
        InputReport(
            path=f"evil{SCRIPT}.log", kind="unknown", sha256="0" * 64, bytes=12, error=f"not a log I know: {ANSI}"
        ),
    )


def _series() -> tuple[Series, ...]:
    noerror = _wave(940, 60)
    nxdomain = _during(_wave(60, 12), 1500, 2640, 2600)
    servfail = [0.0] * 3600
    servfail[777] = 1900.0
    gap = Gap(start=at(3000), end=at(3180), reason="the log was rotated and one part is missing")
    ok = _during(_wave(320, 40), 1620, 2880, 260)
    rejected = _during([0.0] * 3600, 1620, 2880, 25)
    names = ("datadog-agent", "kubelet", "argocd", SCRIPT, BIDI, "cluster-autoscaler", "velero", "prometheus")
    agents = tuple(
        Lane(name=name, values=tuple(_during([0.0] * 3600, 1620 + 40 * i, 2880 - 30 * i, 22 - 2 * i)))
        for i, name in enumerate(names)
    )
    metadata = _during(_wave(2, 1), 600, 1320, 1.7)
    written = _during(_wave(70_000, 9_000), 2400, 3600, 1_500_000)
    return (
        _chart(
            "dns-log",
            "DNS answers by code, from CoreDNS",
            "answers per second",
            (("NOERROR", noerror), ("NXDOMAIN", nxdomain), ("SERVFAIL", servfail)),
            (gap,),
        ),
        _chart(
            "api-answers", "API server answers by code", "requests per second", (("2xx, 3xx", ok), ("429", rejected))
        ),
        _chart(
            "metadata-requests",
            "Instance metadata requests by client",
            "requests per second",
            (("10.0.1.23", metadata), ("10.0.1.9", _wave(1, 1))),
        ),
        Series(
            id="api-throttled",
            title="429 answers by user agent",
            unit="requests per second",
            lanes=agents,
            start=T0,
            step_seconds=1,
        ),
        _chart("audit-bytes", "Audit log volume by writer", "bytes per second", (("noisy", written),)),
    )


def _chart(
    id_: str, title: str, unit: str, lanes: tuple[tuple[str, list[float]], ...], gaps: tuple[Gap, ...] = ()
) -> Series:
    made = tuple(Lane(name=name, values=tuple(max(v, 0.0) for v in values)) for name, values in lanes)
    return Series(id=id_, title=title, unit=unit, start=T0, step_seconds=1, lanes=made, gaps=gaps)


def _story() -> Story:
    timeline = [
        Moment(
            time=at(-120),
            text="patch of deployments kube-system/metrics-agent",
            kind="change",
            source="audit.log.gz",
            number=212,
        ),
        Moment(
            time=at(777), text="1,900 SERVFAIL in one second", kind="observation", source="node3.pcap", number=30111
        ),
        Moment(time=at(780), text=f"a name of {ANSI} was asked", kind="observation", source="node3.pcap", number=30115),
    ]
    for finding in (credential_storm(), search_chain(), throttle_storm(), log_flood()):
        record = finding.evidence.records[0]
        for time, kind, word in ((finding.start, "finding-start", "begins"), (finding.end, "finding-end", "ends")):
            assert time is not None
            text = f"{finding.detector} of {finding.subject} {word}"
            timeline.append(
                Moment(time=time, text=text, kind=kind, source=record.source, number=record.number, finding=finding.key)
            )
    causes = (
        Cause(
            rule="change-before-onset",
            from_=CauseEnd(
                kind="change", id="audit.log.gz:212", text="patch deployments kube-system/metrics-agent (audit log)"
            ),
            to=CauseEnd(
                kind="finding",
                id="apiserver-throttle-storm:datadog-agent",
                text="429 answers to datadog-agent",
            ),
            lag_seconds=1740,
            verdict="The change preceded the onset by 29 min; nothing else of its kind lies between them.",
        ),
        Cause(
            rule="throttled-then-flood",
            from_=CauseEnd(
                kind="finding", id="apiserver-throttle-storm:datadog-agent", text="429 answers to datadog-agent"
            ),
            to=CauseEnd(kind="finding", id=log_flood().key, text="audit log flood by one service account"),
            lag_seconds=780,
            verdict="Retries of the rejected requests explain 1,004 records per second.",
        ),
    )
    verdict = (
        "From 09:27 to 09:48Z the API server turned away 31,402 requests, 95.1 % of them from datadog-agent; "
        "search-domain misses tripled the load on CoreDNS at the same time."
    )
    return Story(verdict=verdict, timeline=tuple(sorted(timeline, key=lambda m: (m.time, m.text))), causes=causes)


def _callers() -> tuple[Caller, ...]:
    clients = [("10.0.0.7", 6015), ("10.0.0.9", 4210), (BIDI, 1200), ("10.0.2.31", 640)]
    agents = [("datadog-agent/7.51", 120_004), ("kubelet/v1.31.2", 98_120), (SCRIPT, 4_022)]
    return (
        *(Caller(kind="user agent", name=name, requests=count) for name, count in agents),
        *(Caller(kind="address", name=name, dns_queries=count) for name, count in clients),
    )


def sample() -> Result:
    """The whole sample: 4 findings, 7 runs, 5 series of 3600 steps."""
    return Result(
        tool=Tool(name="kube-postmortem", version="0.1.0", python="3.11.7", libraries=("polars 2.1.0", "numpy 2.3.0")),
        title="DNS and API degradation, cluster prod-eu-1",
        command="analyze postmortem audit.log.gz coredns-7db6d8ff4d-2kx.log node3.pcap --set dns-search-chain.walks=20",
        settings=(
            SettingValue(
                detector="dns-search-chain",
                name="chains",
                value="20",
                default=False,
                doc="Complete chains for a finding.",
            ),
            SettingValue(
                detector="audit-log-flood",
                name="step",
                value="10",
                default=True,
                doc="Rate over the median of the run.",
            ),
        ),
        inputs=_inputs(),
        runs=_runs(),
        story=_story(),
        series=_series(),
        callers=_callers(),
        changes=(
            Change(
                time=at(-120),
                actor="system:serviceaccount:ci:deployer",
                verb="patch",
                resource="deployments",
                namespace="kube-system",
                name="metrics-agent",
                source="audit.log.gz",
                number=212,
            ),
        ),
        entities=(Entity(kind="pod", id="10.0.0.7", label="payments/checkout-6c9f-x2k", known_from="audit.log.gz"),),
        offsets=(
            Offset(source="audit.log.gz", reference="node3.pcap", seconds=-0.212, spread_seconds=0.04, events=118),
        ),
        coverage=(
            Coverage(
                table="coredns_queries",
                rows=88_120,
                first_time=at(0),
                last_time=at(3599),
                sources=("coredns-7db6d8ff4d-2kx.log",),
                gaps=(Gap(start=at(3000), end=at(3180), reason="the log was rotated and one part is missing"),),
                remark="log plugin writes answers only",
            ),
        ),
        remarks=("The clocks of audit.log.gz and node3.pcap differ by 0.2 s; times are shown as written.",),
    )


def empty() -> Result:
    """No input, no check."""
    return Result(tool=Tool(name="kube-postmortem", version="0.1.0", python="3.11.7"))
