"""Figures, records and tables of discovery that is repeated, and what to do."""

from __future__ import annotations

import shlex

import polars as pl

from analyzer.detectors.apiserver.discovery_burst.runs import DISCOVERY, ROOTS, Burst, cold
from analyzer.facts.audit_windows import records
from analyzer.facts.shell import piped
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure, Remedy, Saving

ROWS = 15
DAY = 86_400
SERIES_BINS = 400

CACHED = """# in the pod template of the CronJob; one volume that outlives the pod
containers:
- name: job
  command: ["kubectl", "--cache-dir=/cache/kube", "--request-timeout=30s", "get", "pods"]
  volumeMounts: [{name: kube-cache, mountPath: /cache}]
volumes: [{name: kube-cache, persistentVolumeClaim: {claimName: kube-cache}}]
"""

SPREAD = """# or one pod that stays and sleeps between its turns, not on the same node as the others
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
    - {weight: 100, podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: job}}}}
"""

GENERAL = (
    Remedy(text="Keep the discovery cache of kubectl between runs (--cache-dir on a volume).", snippet=CACHED),
    Remedy(text="Use kubectl 1.27 or newer against a server 1.27 or newer: two requests answer for all groups."),
    Remedy(
        text="Ask the API directly (kubectl get --raw, an API client without discovery), or run one Deployment instead "
        "of a new container each time.",
        snippet=SPREAD,
    ),
)


def impact(burst: Burst, starts: int | None) -> tuple[Figure, ...]:
    begin, end = burst.times
    length = (end - begin).total_seconds()
    figures: tuple[tuple[str, int | float | None, str], ...] = (
        ("GETs", burst.gets.height, "requests"),
        ("runs", burst.count, "runs"),
        ("GETs per run", round(burst.per_run, 3), "requests"),
        ("seconds per run", round(burst.seconds, 6), "seconds"),
        ("period", None if burst.period is None else round(burst.period, 6), "seconds"),
        ("client addresses", burst.gets["source_ip"].n_unique(), "addresses"),
        ("GETs per day", round(burst.gets.height / length * DAY) if length >= 1 else None, "requests"),
        ("rejected GETs", int(burst.gets["throttled"].sum()), "requests"),
        ("container starts on its nodes meanwhile", starts, "starts"),
    )
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def evidence(burst: Burst) -> Evidence:
    """The first and last GET, the slowest, some between; what each run asks for; the runs; how many a minute."""
    slowest = int(burst.gets["latency_seconds"].arg_max() or 0)
    paths = burst.gets.group_by("path").len().sort(["len", "path"], descending=[True, False])
    runs = burst.runs.with_columns(
        ((pl.col("end") - pl.col("start")).dt.total_microseconds() / 1e6).alias("took"),
        pl.col("start").dt.strftime("%Y-%m-%d %H:%M:%S").alias("at"),
    )
    return Evidence(
        records=records(burst.gets, slowest),
        tables=(
            EvidenceTable(
                caption=f"Runs: the first {min(ROWS, runs.height)} of {runs.height:,}",
                columns=(
                    Column(name="start (UTC)"),
                    Column(name="address"),
                    Column(name="GETs", unit="requests"),
                    Column(name="runs at once", unit="runs"),
                    Column(name="seconds", unit="seconds"),
                ),
                rows=tuple(runs.select("at", "source_ip", "gets", "copies", "took").head(ROWS).rows()),
            ),
            EvidenceTable(
                caption=f"Paths: {paths.height:,}, asked for again in each run",
                columns=(Column(name="path"), Column(name="GETs", unit="requests")),
                rows=tuple(paths.head(ROWS).rows()),
            ),
        ),
        series=(_series(burst),),
    )


def _series(burst: Burst) -> EvidenceSeries:
    begin, end = burst.times
    step = 60 * max(1, -int(-(end - begin).total_seconds() // (60 * SERIES_BINS)))
    place = (burst.gets["time"] - begin).dt.total_seconds() // step
    counts: dict[int, int] = dict(place.value_counts().rows())
    values = tuple(float(counts.get(at, 0)) for at in range(max(counts) + 1))
    return EvidenceSeries(
        caption=f"GETs for discovery per {step} s", unit="requests", start=begin, step_seconds=step, values=values
    )


def savings(burst: Burst, ttl: float) -> tuple[Saving, Saving]:
    both = sum(1 for path in ROOTS if (burst.gets["path"] == path).any()) or len(ROOTS)
    return (
        Saving(
            fix="a discovery cache that outlives the run",
            observed=burst.gets.height,
            modelled=cold(burst, ttl),
            unit="requests",
            assumption=f"Each address keeps its cache, which is good for {ttl / 3600:g} h; the same runs at the same "
            "times.",
            formula="requests of the runs that find no cache, or one that is too old",
        ),
        Saving(
            fix="aggregated discovery (client and server 1.27 or newer)",
            observed=burst.gets.height,
            modelled=both * burst.count,
            unit="requests",
            assumption="Without any cache; measured on kubectl 1.36: /api and /apis once in each run.",
            formula="two requests for each run",
        ),
    )


def verify(burst: Burst) -> tuple[str, ...]:
    """The same count in the log. Names are data: they are quoted."""
    user = shlex.quote(burst.user if burst.user.isprintable() else "")
    pattern = DISCOVERY.replace("/?$", "/?(\\\\?|$)")
    chosen = (
        'select(.stage=="ResponseComplete" and .verb=="get" and .objectRef==null and (.user.username // "")==$user and '
        f'(.requestURI | test("{pattern}")))'
    )
    minute = f"jq -r --arg user {user} '{chosen} | .requestReceivedTimestamp[0:16]'"
    return (
        f"{piped(burst.gets['source'][0])} | {minute} | sort | uniq -c",
        "kubectl get --raw /metrics | grep aggregator_discovery",
    )
