"""A client asks for all API groups again and again, because its discovery cache never lives.

## What it finds
Runs of one user, agent and address that ask for at least ten different paths of discovery (`/api`, `/openapi/v2`,
`/apis/GROUP/VERSION`), with less than two seconds between neighbours, three times at least. Runs may come from a new
address each, as pods of a CronJob do: user and agent make them one subject. Runs at the same time are told by how often
one path is asked for. Severity is medium from a thousand GETs an hour on, high where some were rejected, else low.
Confidence is high where the runs keep a period (from five runs on), else medium.

## Why it matters
A kubectl with an empty cache sends one request for each group and version, 45 in a plain cluster, before it does its
work; each run of a cron job pays for it anew, in time and in the server's requests in flight.

## What does not count
A first use after an upgrade, and an operator at its start: once or twice. A cache that is warm, or a server and client
that know aggregated discovery: two paths in each run, however many runs follow each other. The collectors of garbage
and quota of the controller manager, which ask by design. A log without any request to a path that is no resource cannot
show it: then it is not observable.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, NotObservable, Remark, setting, thresholds
from analyzer.detectors.apiserver.discovery_burst.evidence import GENERAL, evidence, impact, savings, verify
from analyzer.detectors.apiserver.discovery_burst.runs import Burst, bursts
from analyzer.facts.audit_windows import short
from analyzer.facts.contract import Frames
from analyzer.facts.observable_requests import blind_to, without
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import KLOG_LINES
from analyzer.model import Confidence, Finding, Severity

DEFAULT = "engineering default"
HOUR = 3600
REGULAR_RUNS = 5
VARIATION = 0.3


@thresholds
class Settings:
    paths: int = setting(
        10, "Different paths from which a run is a cold discovery.", unit="paths", minimum=1, source=DEFAULT
    )
    gap_seconds: float = setting(
        2, "Longest time between two requests of a run.", unit="seconds", minimum=0, source=DEFAULT
    )
    runs: int = setting(
        3, "Runs from which it fires: twice may be a person or a restart.", unit="runs", minimum=1, source=DEFAULT
    )
    cache_seconds: float = setting(
        6 * HOUR,
        "How long a cache of kubectl is good.",
        unit="seconds",
        minimum=0,
        source="k8s.io/cli-runtime pkg/genericclioptions/config_flags.go (10 minutes before 1.22)",
    )
    medium_per_hour: float = setting(
        1000, "GETs an hour from which the severity is medium.", unit="requests", minimum=0, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    requests = frames[AUDIT_REQUESTS]
    if reason := blind_to(requests, ("get",)):
        raise NotObservable(reason)
    every, paths = requests.select(pl.len(), pl.col("path").is_not_null().any().alias("paths")).collect().row(0)
    if every and not paths:
        raise NotObservable(
            "the audit log holds no request to a path that is no resource: its policy leaves discovery out, as "
            "a table of resources does"
        )
    if reason := without(requests, "time", "user", "agent", "source_ip"):
        raise NotObservable(reason)
    for burst in bursts(frames, settings.gap_seconds, settings.paths, settings.runs):
        yield _finding(frames, burst, settings)


def _finding(frames: Frames, burst: Burst, settings: Settings) -> Finding:
    saving, aggregated = savings(burst, settings.cache_seconds)
    begin, end = burst.times
    clock = f", about every {burst.period:.3g} s" if burst.period else ""
    sure, reason = _confidence(burst)
    return Finding(
        detector="discovery-burst",
        subject=short(burst.user or burst.agent),
        summary=(
            f"{burst.count:,} runs of {short(burst.agent)} by {short(burst.user)} asked for discovery with "
            f"{burst.per_run:.3g} GETs each, {burst.gets.height:,} in all{clock}."
        ),
        severity=_severity(burst, settings),
        confidence=sure,
        confidence_reason=reason,
        start=begin,
        end=end,
        impact=impact(burst, _starts(frames, burst)),
        evidence=evidence(burst),
        saving=saving,
        alternatives=(aggregated,),
        why="Each run starts without a discovery cache and asks for every API group and version first.",
        refuted_by="Runs of different people on machines of their own, or a cache that is written and found again.",
        remedies=GENERAL,
        verify=verify(burst),
        stories=(21,),
    )


def _severity(burst: Burst, settings: Settings) -> Severity:
    if burst.gets["throttled"].any():
        return Severity.HIGH
    begin, end = burst.times
    hourly = burst.gets.height / max((end - begin).total_seconds(), HOUR) * HOUR
    return Severity.MEDIUM if hourly >= settings.medium_per_hour else Severity.LOW


def _confidence(burst: Burst) -> tuple[Confidence, str]:
    between = burst.between
    told = f"{burst.count:,} runs each asked for the same {burst.gets['path'].n_unique():,} paths"
    mean, spread = between.mean(), between.std()
    many = between.len() + 1 >= REGULAR_RUNS
    if many and isinstance(mean, float) and isinstance(spread, float) and spread < VARIATION * mean:
        return Confidence.HIGH, f"{told}, by the clock"
    return Confidence.MEDIUM, told


def _starts(frames: Frames, burst: Burst) -> int | None:
    """Containers that kubelets of the nodes of the runs started meanwhile; None where that is not told."""
    nodes = burst.gets["client_node"].drop_nulls().unique().to_list()
    if KLOG_LINES not in frames or not nodes:
        return None
    started = pl.col("text").str.contains("ContainerStarted", literal=True)
    here = pl.col("host").is_in(nodes).fill_null(False) & pl.col("time").is_between(*burst.times)
    return int(frames[KLOG_LINES].filter(started & here).select(pl.len()).collect().item())


DETECTOR = Detector(
    id="discovery-burst",
    title="Discovery is repeated by every run of a client",
    needs_any=((AUDIT_REQUESTS,),),
    uses=(KLOG_LINES,),
    settings=Settings(),
    detect=detect,
    remedies=GENERAL,
    stories=(21,),
)
