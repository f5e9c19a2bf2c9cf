"""The findings of the sample, one per pattern, with hostile names in their evidence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from analyzer.model import (
    Column,
    Confidence,
    Evidence,
    EvidenceSeries,
    EvidenceTable,
    Figure,
    Finding,
    Record,
    Remedy,
    Saving,
    Severity,
)

T0 = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)

SCRIPT = "</script><script>alert(1)</script>"
BIDI = "invoice\u202egpj.exe.example.com"
ANSI = "\x1b[31mred\x1b[0m"
NUL = "a\x00b.example.com"
QUOTES = "\" onload=alert(1) x='"
TEMPLATE = "{{ 7 * 7 }}{% raw %}"
NDOTS = """spec:
  template:
    spec:
      dnsConfig:
        options:
        - {name: ndots, value: "1"}
"""

HOSTILE = (SCRIPT, BIDI, ANSI, NUL, QUOTES, TEMPLATE)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def search_chain() -> Finding:
    rows = tuple((f"api{i}.example.com", 120 - i, 480 - 4 * i, round(0.8 - i / 100, 2)) for i in range(30))
    return Finding(
        detector="dns-search-chain",
        subject="10.0.0.7",
        key="dns-search-chain:10.0.0.7",
        summary="4,812 of 6,015 queries by 10.0.0.7 were search-domain misses: 1,203 lookups walked 4 suffixes each.",
        severity=Severity.HIGH,
        confidence=Confidence.HIGH,
        confidence_reason="every chain is complete: four misses in the client's suffix order, then the name itself",
        start=at(1500),
        end=at(2640),
        impact=(
            Figure(name="lookups walked", value=1203, unit="lookups"),
            Figure(name="wasted queries", value=4812, unit="queries"),
            Figure(name="in-cluster wasted queries", value=96, unit="queries"),
            Figure(name="queries of the client", value=6015, unit="queries"),
            Figure(name="queries in the evidence", value=88120, unit="queries"),
            Figure(name="suffixes per chain", value=4, unit="suffixes"),
            Figure(name="added seconds", value=61.42, unit="seconds"),
            Figure(name="wasted bytes", value=981648, unit="bytes"),
        ),
        saving=Saving(
            fix="dnsConfig ndots: 1",
            observed=6015,
            modelled=1203,
            unit="queries",
            assumption="Every walked lookup asks its own name first; in-cluster short names keep working with glibc.",
            formula="queries - wasted queries",
        ),
        alternatives=(
            Saving(
                fix="NodeLocal DNSCache",
                observed=6015,
                modelled=2210,
                unit="queries",
                assumption="Repeats within the negative TTL of 30 s are answered on the node.",
                formula="queries - repeats within min(SOA minimum, 30 s)",
            ),
        ),
        why="A chain counts when base + suffix fails for each suffix in order and the base itself follows. "
        "At least 20 chains, or 10 % of the queries, make a finding; here are 1,203 chains and 80.0 %.",
        refuted_by="The same client with ndots:1, or an authority that really answers the suffixed names.",
        remedies=(
            Remedy(
                text="Let external names be asked as they are.",
                snippet=NDOTS,
            ),
            Remedy(text="Write external names with a final dot where the client allows it."),
        ),
        verify=(
            "tshark -r node3.pcap -Y 'frame.number == 48211' -V",
            "kubectl -n payments get deploy checkout -o jsonpath='{.spec.template.spec.dnsConfig}'",
        ),
        stories=(1, 37),
        evidence=Evidence(
            records=tuple(
                Record(
                    source="node3.pcap",
                    number=48211 + 3 * i,
                    time=at(1500 + i / 50),
                    text=f"10.0.0.7 → 10.96.0.10 DNS A? {name} NXDOMAIN",
                )
                for i, name in enumerate([*HOSTILE, *(f"api.example.com.s{i}.cluster.local" for i in range(40))])
            ),
            tables=(
                EvidenceTable(
                    caption="Names that cost most",
                    columns=(
                        Column(name="name"),
                        Column(name="lookups"),
                        Column(name="wasted", unit="queries"),
                        Column(name="share", unit="fraction"),
                    ),
                    rows=rows,
                ),
            ),
            series=(
                EvidenceSeries(
                    caption="Wasted queries per minute of this client",
                    unit="queries per minute",
                    start=at(1200),
                    step_seconds=60,
                    values=tuple(float(v) for v in (0, 0, 2, 1, 0, *[250 + 9 * i for i in range(19)], 3, 0, 0)),
                ),
            ),
        ),
    )


def credential_storm() -> Finding:
    return Finding(
        detector="imds-credential-storm",
        subject="10.0.1.23",
        key="imds-credential-storm:10.0.1.23",
        summary="10.0.1.23 refreshed its credentials 611 times in 12 min where 2 would do: one for each request.",
        severity=Severity.MEDIUM,
        confidence=Confidence.MEDIUM,
        confidence_reason="one capture on the client's node",
        start=at(600),
        end=at(1320),
        variant="refresh-on-every-call",
        impact=(
            Figure(name="refreshes", value=611, unit="refreshes"),
            Figure(name="metadata requests", value=1222, unit="requests"),
            Figure(name="seconds spent", value=183.3, unit="seconds"),
            Figure(name="median refresh seconds", value=0.284, unit="seconds"),
            Figure(name="application requests", value=640, unit="requests"),
            Figure(name="refreshes needed", value=2, unit="refreshes"),
        ),
        saving=Saving(
            fix="session duration 60 min",
            observed=611,
            modelled=2,
            unit="refreshes",
            assumption="A refresh happens once in (life - window) of 45 min.",
            formula="ceil(720 s / (3600 s - 900 s)) per process, 2 processes",
        ),
        why="The credentials' remaining life (14 min) is shorter than the client's refresh window (15 min).",
        refuted_by="A remaining life above 15 min in the answers.",
        remedies=(Remedy(text="Ask for sessions of an hour.", snippet="kiam agent --session-duration=60m\n"),),
        verify=("tshark -r node3.pcap -Y 'ip.addr == 169.254.169.254 && http.request'",),
        stories=(25,),
        evidence=Evidence(
            records=(
                Record(
                    source="node3.pcap",
                    number=1204,
                    time=at(600.25),
                    text="GET /latest/meta-data/iam/security-credentials/checkout",
                ),
            )
        ),
    )


def throttle_storm() -> Finding:
    snippet = """apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: noisy-agents}
spec:
  matchingPrecedence: 800
  priorityLevelConfiguration: {name: noisy-agents}
  distinguisherMethod: {type: ByUser}
"""
    return Finding(
        detector="apiserver-throttle-storm",
        subject="datadog-agent",
        key="apiserver-throttle-storm:datadog-agent",
        summary="31,402 requests were answered 429 in 21 min; 29,871 of them came from datadog-agent on 212 addresses.",
        severity=Severity.CRITICAL,
        confidence=Confidence.HIGH,
        confidence_reason="429 without a decision annotation comes only from the server's own limits",
        start=at(1620),
        end=at(2880),
        impact=(
            Figure(name="rejected requests", value=31402, unit="requests"),
            Figure(name="rejected requests of the offender", value=29871, unit="requests"),
            Figure(name="rejected requests of others", value=1531, unit="requests"),
            Figure(name="client addresses of the offender", value=212, unit="addresses"),
            Figure(name="least seconds of waiting", value=31402, unit="seconds"),
            Figure(name="requests meanwhile", value=402113, unit="requests"),
        ),
        saving=Saving(
            fix="FlowSchema for the agent",
            observed=31402,
            modelled=1531,
            unit="requests",
            assumption="Without the agent the requests in flight stay under 400.",
            formula="rejected - rejected of the offender",
        ),
        why="At least 10 rejections a minute; here are 1,495.",
        refuted_by="A decision annotation on the rejected requests, or an eviction subresource.",
        remedies=(
            Remedy(text="Give the agent its own FlowSchema and priority level.", snippet=snippet),
            Remedy(text="Let the agent watch instead of listing all pods.", snippet=""),
        ),
        verify=("zcat audit.log.gz | sed -n 88410p | jq .",),
        stories=(37,),
        evidence=Evidence(
            records=tuple(
                Record(
                    source="audit.log.gz",
                    number=88410 + i,
                    time=at(1620 + i),
                    text=f"429 list pods user={SCRIPT} agent=datadog-agent/7.{i}",
                )
                for i in range(6)
            )
        ),
    )


def log_flood() -> Finding:
    return Finding(
        detector="audit-log-flood",
        subject="system:serviceaccount:kube-system:" + QUOTES,
        key="audit-log-flood:system:serviceaccount:kube-system:" + QUOTES,
        summary="One service account wrote 71.2 % of the audit log: 1,204,118 records, 20 times its rate before.",
        severity=Severity.LOW,
        confidence=Confidence.LOW,
        confidence_reason="one weak source; the log begins 9 min before the step",
        start=at(2400),
        end=at(3599),
        impact=(
            Figure(name="records of the writer", value=1204118, unit="records"),
            Figure(name="bytes of the writer", value=1830221004, unit="bytes"),
            Figure(name="records per second before", value=50.2, unit="records per second"),
            Figure(name="records per second during", value=1004.3, unit="records per second"),
            Figure(name="share of the records", value=0.712, unit="fraction"),
            Figure(name="bytes saved by the policy", value=1610000000, unit="bytes"),
        ),
        saving=Saving(
            fix="audit policy below",
            observed=2570000000,
            modelled=960000000,
            unit="bytes",
            assumption="Measured on this log: RequestReceived dropped, bodies of get and list dropped.",
            formula="sum of the records that the policy keeps",
        ),
        remedies=(Remedy(text="Write less of what nobody reads.", snippet='omitStages: ["RequestReceived"]\n'),),
        verify=("zcat audit.log.gz | jq -r .user.username | sort | uniq -c | sort -rn | head",),
        evidence=Evidence(records=(Record(source="audit.log.gz", number=1, time=None, text=""),)),
    )
