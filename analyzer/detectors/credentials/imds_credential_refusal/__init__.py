"""The metadata service, or a proxy before it, refuses credentials.

## What it finds
Requests for a role or its credential that were answered with an error, in a capture or in the log of kube2iam or kiam,
by their cause. *Terminating pods*: the pod was deleted before, and works on in its grace period. *Pods without an
address yet*: the pod asked before its address was known, by the audit log, or was refused first and granted later.
*Pods with a wrong role*: 403, the proxy says so, or nothing but refusals for a minute and more. *Throttled pods*: 429
or 503. Severity is medium where the refusals are bound to a time in the life of pods, high from ten pods on, else low.
Confidence is high where a log tells the cause, medium where the order of answers does, low where nothing tells.

## Why it matters
A pod without credentials cannot upload its last data, or dies at its start. SDKs then look for credentials elsewhere
and report something else.

## What does not count
Refusals for lack of a session token (401): that is `imds-hop-limit`. Health checks and other paths. Fewer refusals than
the threshold: a start races with its address in a healthy cluster too.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.credentials.imds_credential_refusal.calls import calls
from analyzer.detectors.credentials.imds_credential_refusal.causes import (
    NO_ADDRESS,
    REFUSED,
    TERMINATING,
    UNKNOWN,
    judged,
)
from analyzer.detectors.credentials.imds_credential_refusal.evidence import evidence, impact
from analyzer.detectors.credentials.imds_credential_refusal.measure import Refusals, by_cause
from analyzer.detectors.credentials.imds_credential_refusal.remedy import REMEDIES, WHY, remedies, saving, verify
from analyzer.facts.contract import Frames
from analyzer.facts.metadata_requests import METADATA_REQUESTS
from analyzer.facts.pod_moments import MOMENTS, POD_MOMENTS
from analyzer.frames import IAM_PROXY_MESSAGES, empty
from analyzer.model import Confidence, Finding, Severity

DEFAULT = "engineering default"


@thresholds
class Settings:
    min_refused: int = setting(3, "Refused requests of one cause.", unit="requests", minimum=1, source=DEFAULT)
    constant_seconds: float = setting(
        60,
        "How long a client must get nothing but refusals to be held for one with a wrong role.",
        unit="seconds",
        minimum=0,
        source=DEFAULT,
    )
    high_pods: int = setting(10, "Pods from which the severity is high.", unit="pods", minimum=1, source=DEFAULT)


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    asked = calls(frames)
    if not (asked["status"] >= REFUSED).any():
        return
    moments = frames[POD_MOMENTS].collect() if POD_MOMENTS in frames else empty(MOMENTS)
    for refusals in by_cause(judged(asked, moments, settings.constant_seconds)):
        if refusals.count >= settings.min_refused:
            yield _finding(refusals, settings)


def _finding(refusals: Refusals, settings: Settings) -> Finding:
    pods = refusals.pods
    whom = pods[0] if len(pods) == 1 else f"{len(pods):,} pods"
    bound = refusals.cause in (TERMINATING, NO_ADDRESS)
    high = len(pods) >= settings.high_pods
    return Finding(
        detector="imds-credential-refusal",
        subject=refusals.cause,
        summary=(
            f"{refusals.count:,} requests for credentials by {whom} were refused ({refusals.cause}), which blocked "
            f"{refusals.seconds:.1f} s in all; {refusals.granted:,} others were granted meanwhile."
        ),
        severity=Severity.LOW if not bound else Severity.HIGH if high else Severity.MEDIUM,
        confidence=_confidence(refusals),
        confidence_reason=_reason(refusals),
        start=refusals.start,
        end=refusals.end,
        impact=impact(refusals),
        evidence=evidence(refusals),
        saving=saving(refusals),
        why=WHY[refusals.cause],
        refuted_by="Credentials that the same pods got at the same time from the same place.",
        remedies=remedies(refusals.cause),
        verify=verify(refusals),
        stories={TERMINATING: (22,), NO_ADDRESS: (26,)}.get(refusals.cause, ()),
    )


def _confidence(refusals: Refusals) -> Confidence:
    if refusals.cause == UNKNOWN:
        return Confidence.LOW
    return Confidence.HIGH if refusals.known else Confidence.MEDIUM


def _reason(refusals: Refusals) -> str:
    if refusals.cause == UNKNOWN:
        return "no log tells of these pods, and their answers have no order that would"
    return (
        "a log or the answer itself tells the cause" if refusals.known else "the order of the answers tells the cause"
    )


DETECTOR = Detector(
    id="imds-credential-refusal",
    title="Credentials are refused",
    needs_any=((METADATA_REQUESTS,), (IAM_PROXY_MESSAGES,)),
    uses=(POD_MOMENTS,),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(22, 26),
)
