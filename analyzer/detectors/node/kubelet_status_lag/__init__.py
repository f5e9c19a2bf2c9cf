"""The API server learns late that pods have started.

## What it finds
Nodes whose kubelet tells the status of started pods late: from a pod's first container (PLEG event `ContainerStarted`)
to the patch of `pods/status` with its address in the audit log, or the next patch where bodies are not logged; without
an audit log by the kubelet's own `Observed pod startup duration`. It fires where the 95th percentile is above five
seconds, or one pod above thirty. Severity is high from a minute on for one pod in twenty, medium from thirty seconds on
for one pod, else low. Confidence is high where the kubelet says that its own rate limit made it wait, medium with an
audit log, low where its start-up lines alone tell.

## Why it matters
Until then the pod has no address for anybody: Services do not send it traffic, and proxies such as kube2iam refuse it
credentials. Kubelets before 1.27 send five requests a second by default, so some dozens of short-lived pods on one node
are enough.

## What does not count
Slow pulls of images: the first container starts after them. Clocks that differ: every pod of the node then has the same
lag, and a remark says so. Patches of other fields, and patches that were refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.node.kubelet_status_lag.evidence import evidence, impact
from analyzer.detectors.node.kubelet_status_lag.hints import Hints, hints
from analyzer.detectors.node.kubelet_status_lag.measure import Lags, by_node
from analyzer.detectors.node.kubelet_status_lag.remedy import REMEDIES, savings, verify
from analyzer.facts.contract import Frames
from analyzer.facts.pod_moments import POD_MOMENTS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.status_lags import STATUS_LAGS
from analyzer.frames import KLOG_LINES
from analyzer.model import Confidence, Finding, Severity

DEFAULT = "engineering default"


@thresholds
class Settings:
    p95_seconds: float = setting(
        5, "95th percentile of the lag of a node's pods.", unit="seconds", minimum=0, source=DEFAULT
    )
    one_seconds: float = setting(30, "Lag of a single pod.", unit="seconds", minimum=0, source=DEFAULT)
    min_pods: int = setting(3, "Pods from which the percentile counts.", unit="pods", minimum=1, source=DEFAULT)
    high_seconds: float = setting(
        60, "95th percentile from which the severity is high.", unit="seconds", minimum=0, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    lines, requests, moments = (frames.get(one) for one in (KLOG_LINES, AUDIT_REQUESTS, POD_MOMENTS))
    for lags in by_node(frames[STATUS_LAGS].collect(), settings.p95_seconds):
        many = lags.pods >= settings.min_pods and lags.p95 > settings.p95_seconds
        if not many and lags.largest <= settings.one_seconds:
            continue
        if lags.constant:
            yield Remark(
                f"the status of {lags.pods} pods of {lags.node} came {lags.median:.1f} s late, each by the same: the "
                "clocks of the node and of the API server differ"
            )
        else:
            yield _finding(lags, hints(lags, lines, moments), requests, settings)


def _finding(lags: Lags, seen: Hints, requests: pl.LazyFrame | None, settings: Settings) -> Finding:
    main, *others = savings(lags, requests) or (None,)
    return Finding(
        detector="kubelet-status-lag",
        subject=lags.node,
        summary=(
            f"The API server learned of {lags.over:,} of {lags.pods:,} started pods of {lags.node} more than "
            f"{settings.p95_seconds:g} s late: 95th percentile {lags.p95:.1f} s, largest {lags.largest:.1f} s."
        ),
        severity=_severity(lags, settings),
        confidence=_confidence(lags, seen),
        confidence_reason=f"{lags.reason}; {seen.sentence}",
        start=lags.start,
        end=lags.end,
        impact=impact(lags, seen),
        evidence=evidence(lags, seen),
        saving=main,
        alternatives=tuple(one for one in others if one is not None),
        why=seen.why,
        refuted_by="Clocks of the node and the API server that differ by as much.",
        remedies=REMEDIES,
        verify=verify(lags),
        stories=(26,),
    )


def _confidence(lags: Lags, seen: Hints) -> Confidence:
    if seen.own_limit:
        return Confidence.HIGH
    # One line of the kubelet about its own watch is one weak source.
    return Confidence.MEDIUM if lags.audited or seen.server.height else Confidence.LOW


def _severity(lags: Lags, settings: Settings) -> Severity:
    if lags.pods >= settings.min_pods and lags.p95 > settings.high_seconds:
        return Severity.HIGH
    return Severity.MEDIUM if lags.largest > settings.one_seconds else Severity.LOW


DETECTOR = Detector(
    id="kubelet-status-lag",
    title="The API server learns late that pods have started",
    needs_any=((STATUS_LAGS,),),
    uses=(KLOG_LINES, AUDIT_REQUESTS, POD_MOMENTS),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(26,),
)
