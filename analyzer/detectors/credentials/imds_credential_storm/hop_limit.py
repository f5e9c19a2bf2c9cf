"""Session token requests that nobody answers."""

from __future__ import annotations

from analyzer.detectors.credentials.imds_credential_storm.evidence import evidence, impact
from analyzer.detectors.credentials.imds_credential_storm.remedy import HOP_LIMIT, verify
from analyzer.detectors.credentials.imds_credential_storm.storm import Storm
from analyzer.model import Confidence, Finding, Severity


def hop_limit(storm: Storm) -> Finding:
    """The variant `imds-hop-limit`: session tokens that never arrive."""
    return Finding(
        detector="imds-credential-storm",
        subject=storm.client,
        summary=(
            f"{storm.unanswered:,} metadata token requests by {storm.client} were never answered and cost "
            f"{storm.token_wait:.1f} s before the client went on without a token."
        ),
        severity=Severity.LOW,
        confidence=Confidence.MEDIUM,
        confidence_reason="the token requests have no answer, the requests after them have one",
        start=storm.start,
        end=storm.end,
        impact=impact(storm),
        evidence=evidence(storm),
        variant="imds-hop-limit",
        why="The answer with the token may not take one hop more, so a pod with its own network never gets it.",
        refuted_by="Answers to the token requests in a capture on the pod's own interface.",
        remedies=(HOP_LIMIT,),
        verify=verify(storm),
        stories=(25,),
    )
