"""Session tokens of the metadata service never arrive.

## What it finds
Clients whose requests for a session token (`PUT /latest/api/token`, the first step of IMDSv2) stay without an answer
while the same service answers their other requests: each costs the SDK's timeout of about a second before it goes on
without a token. EC2 sends the answer with as many hops to live as the instance's hop limit says; with a limit of 1 the
node drops it on the way to a pod with a network of its own. In a capture on the node the answer is seen, and the node's
time exceeded message about it. Severity is high where the service then refuses requests for lack of a token (401),
medium from a minute of waiting on, else low. Confidence is high with a time exceeded message, else medium.

## Why it matters
Every fetch of a credential takes a second longer. Where the instance demands tokens, there is no credential at all.

## What does not count
A service that does not answer other requests either: it is away, throttles, or the capture saw one direction. Clients
that got other tokens: those were lost by chance. Requests after which the client did not wait: their answers were lost
to the capture, not to the client. Token requests that are refused: the proxies kube2iam and kiam do not know them.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.credentials.imds_hop_limit.evidence import evidence, impact
from analyzer.detectors.credentials.imds_hop_limit.measure import Lost, by_client
from analyzer.detectors.credentials.imds_hop_limit.remedy import REMEDIES, saving, verify
from analyzer.facts.contract import Frames
from analyzer.facts.metadata_requests import METADATA_REQUESTS
from analyzer.frames import ICMP_ERRORS
from analyzer.model import Confidence, Finding, Severity

DEFAULT = "engineering default"


@thresholds
class Settings:
    min_lost: int = setting(3, "Token requests without an answer.", unit="requests", minimum=1, source=DEFAULT)
    lost_share: float = setting(
        0.9, "Part of the client's token requests that they must be.", unit="fraction", minimum=0, source=DEFAULT
    )
    answered_share: float = setting(
        0.9, "Part of its other metadata requests that must be answered.", unit="fraction", minimum=0, source=DEFAULT
    )
    min_wait_seconds: float = setting(
        0.5,
        "Median wait before the client goes on.",
        unit="seconds",
        minimum=0,
        source="half of botocore's metadata_service_timeout of 1 s",
    )
    medium_seconds: float = setting(
        60, "Waiting in all from which the severity is medium.", unit="seconds", minimum=0, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    requests = frames[METADATA_REQUESTS].collect()
    if not (requests["kind"] == "token").any():
        return
    errors = frames[ICMP_ERRORS].collect() if ICMP_ERRORS in frames else None
    for lost in by_client(requests, errors):
        if lost.count < settings.min_lost or lost.count < settings.lost_share * lost.tokens:
            continue
        if not lost.others or lost.answered < settings.answered_share * lost.others:
            yield Remark(
                f"{lost.count} token requests by {lost.client} were not answered, and of its {lost.others} other "
                f"metadata requests {lost.answered} were: the service does not answer it, whatever the hop limit is"
            )
        elif lost.median >= settings.min_wait_seconds:
            yield _finding(lost, settings)


def _finding(lost: Lost, settings: Settings) -> Finding:
    bounced = lost.expired
    if lost.refused:
        severity = Severity.HIGH
    else:
        severity = Severity.MEDIUM if lost.seconds >= settings.medium_seconds else Severity.LOW
    end = f" {lost.refused:,} requests without one were then refused." if lost.refused else ""
    return Finding(
        detector="imds-hop-limit",
        subject=lost.client,
        summary=(
            f"{lost.count:,} of {lost.tokens:,} metadata token requests by {lost.client} were never answered and cost "
            f"{lost.seconds:.1f} s before it went on without a token.{end}"
        ),
        severity=severity,
        confidence=Confidence.HIGH if bounced else Confidence.MEDIUM,
        confidence_reason=(
            f"the answers to {bounced:,} of them were dropped on the way, with a time exceeded message each time"
            if bounced
            else "the token requests have no answer and the client waited, its other requests have one"
        ),
        start=lost.start,
        end=lost.end,
        impact=impact(lost),
        evidence=evidence(lost),
        saving=saving(lost),
        why="The answer with the token may not take one hop more, so a pod with its own network never gets it.",
        refuted_by="An instance whose http-put-response-hop-limit is 2 or more, or a filter that drops PUT requests.",
        remedies=REMEDIES,
        verify=verify(lost),
    )


DETECTOR = Detector(
    id="imds-hop-limit",
    title="Session tokens of the metadata service never arrive",
    needs_any=((METADATA_REQUESTS,),),
    uses=(ICMP_ERRORS,),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
)
