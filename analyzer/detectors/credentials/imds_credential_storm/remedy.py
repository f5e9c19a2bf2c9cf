"""What to do about a storm, what that would have saved, and how to check it on the original."""

from __future__ import annotations

from analyzer.detectors.credentials.imds_credential_storm.lives import Lives
from analyzer.detectors.credentials.imds_credential_storm.storm import Storm
from analyzer.facts.shell import tshark
from analyzer.model import Remedy, Saving

GENERAL = (
    Remedy(
        text="Hand out credentials for an hour with kiam.",
        snippet="# arguments of the kiam server\n--session-duration=60m\n--session-refresh=5m\n",
    ),
    Remedy(
        text="Hand out credentials for an hour with kube2iam; the role must allow that session duration.",
        snippet="# arguments of kube2iam\n--iam-role-session-ttl=3600s\n",
    ),
    Remedy(
        text="Leave the metadata service: give the service account a role of its own (IRSA) or use EKS Pod Identity.",
        snippet=(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: NAME\n  namespace: NAMESPACE\n  annotations:\n"
            "    eks.amazonaws.com/role-arn: arn:aws:iam::123456789012:role/ROLE\n"
        ),
    ),
    Remedy(text="Upgrade the SDK to one that extends short credentials or refreshes later, and reuse one provider."),
)

EARLIER = Remedy(
    text="Let the proxy renew credentials before the SDK wants others; metadataproxy 2.0 does.",
    snippet="# environment of metadataproxy, in minutes\nROLE_EXPIRATION_THRESHOLD=15\n",
)
"""The setting of lyft/metadataproxy (CHANGELOG, 2.0.0)."""

PER_REQUEST = 0.2
"""So close to 1 refreshes and requests go together."""

_POD = (
    'kubectl get pods -A -o jsonpath=\'{range .items[?(@.status.podIP=="%s")]}'
    '{.metadata.namespace}/{.metadata.name} {.spec.serviceAccountName}{"\\n"}{end}\''
)


def why(storm: Storm, lives: Lives | None) -> str:
    """What happened, as far as the figures tell."""
    told = "An SDK refreshes a credential that has less life left than its refresh window, on every call."
    if lives:
        return f"{told} A proxy hands the old one out until {lives.left:,.0f} s before its end; then there is peace."
    if storm.per_request is not None and abs(storm.per_request - 1) <= PER_REQUEST:
        return f"{told} There is one refresh per request to other servers."
    return told


def savings(storm: Storm, session_seconds: float) -> tuple[Saving, ...]:
    """Refreshes first, then requests and seconds, with credentials that live long enough."""
    share = storm.needed / storm.refreshes
    minutes = session_seconds / 60
    assumption = f"credentials of {minutes:g} min; each program refreshes once per life less its refresh window"
    formula = "sum over programs of ceil(seconds observed / (session - window))"
    rows = (
        (storm.refreshes, min(storm.needed, storm.refreshes), "refreshes"),
        (storm.requests, round(storm.requests * min(share, 1)), "requests"),
        (round(storm.seconds, 6), round(storm.seconds * min(share, 1), 6), "seconds"),
    )
    return tuple(
        Saving(
            fix=f"credentials of {minutes:g} min",
            observed=observed,
            modelled=modelled,
            unit=unit,
            assumption=assumption,
            formula=formula if unit == "refreshes" else f"{formula}, times the mean {unit} of a refresh",
        )
        for observed, modelled, unit in rows
    )


def verify(storm: Storm) -> tuple[str, ...]:
    """Commands that show paths and times only; a credential is never printed."""
    field = "ipv6.src" if ":" in storm.client else "ip.src"
    sources = sorted(set(storm.used["source"].to_list()))
    shown = [
        f"{tshark(source)} -Y 'http.request && {field} == {storm.client}'"
        " -T fields -e frame.time_epoch -e http.host -e http.request.method -e http.request.uri -e http.user_agent"
        for source in sources[:3]
    ]
    return (*shown, _POD % storm.client)
