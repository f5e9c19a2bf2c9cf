"""What to do about a hop limit, what it would have saved, and how to check it."""

from __future__ import annotations

from analyzer.detectors.credentials.imds_hop_limit.measure import Lost
from analyzer.facts.shell import tshark
from analyzer.model import Remedy, Saving

REMEDIES = (
    Remedy(
        text="Allow the answer with the session token one hop more.",
        snippet="aws ec2 modify-instance-metadata-options --instance-id INSTANCE --http-put-response-hop-limit 2\n",
    ),
    Remedy(
        text="Keep pods from the metadata service and give the service account a role of its own (IRSA, Pod Identity).",
    ),
)


def saving(lost: Lost) -> Saving:
    """Seconds with a hop limit of 2: a token then takes as long as another answer."""
    waited = lost.rows["wait"].count()
    return Saving(
        fix="a hop limit of 2",
        observed=round(lost.seconds, 6),
        modelled=round(min(waited * lost.typical, lost.seconds), 6),
        unit="seconds",
        assumption="a token takes as long as the client's other metadata requests",
        formula="token requests that were waited for, times the median of the answered requests",
    )


def verify(lost: Lost) -> tuple[str, ...]:
    """Commands that show paths and times only; a token is never printed."""
    field, icmp = ("ipv6.src", "icmpv6.type == 3") if ":" in lost.client else ("ip.src", "icmp.type == 11")
    sources = sorted(set(lost.rows["source"].to_list()))
    shown = [
        f"{tshark(source)} -Y '(http.request && {field} == {lost.client}) || {icmp}'"
        " -T fields -e frame.time_epoch -e ip.src -e http.request.method -e http.request.uri"
        for source in sources[:3]
    ]
    return (
        *shown,
        "aws ec2 describe-instances --instance-ids INSTANCE --query 'Reservations[].Instances[].MetadataOptions'",
    )
