"""What to do about refused credentials, by their cause, and how to check it."""

from __future__ import annotations

from analyzer.detectors.credentials.imds_credential_refusal import causes
from analyzer.detectors.credentials.imds_credential_refusal.measure import Refusals
from analyzer.facts.shell import grepped, tshark
from analyzer.model import Remedy, Saving

LEAVE = Remedy(
    text="Leave the proxy: give the service account a role of its own (IRSA) or use EKS Pod Identity.",
    snippet=(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: NAME\n  namespace: NAMESPACE\n  annotations:\n"
        "    eks.amazonaws.com/role-arn: arn:aws:iam::123456789012:role/ROLE\n"
    ),
)
_UPGRADE = Remedy(
    text="Upgrade kube2iam to 0.10.5 or later, which serves pods until their grace period is over (pull request 173)."
)
_WATCH = Remedy(
    text="Let kube2iam watch the pods of its own node only, and let the kubelet tell addresses sooner.",
    snippet="# argument of kube2iam\n--node=$(NODE_NAME)\n# KubeletConfiguration\nkubeAPIQPS: 50\nkubeAPIBurst: 100\n",
)
_RETRY = Remedy(text="Let the program ask again for some seconds at its start before it gives up.")
_ROLE = Remedy(
    text="Mend the annotation, the roles that the namespace allows, or the trust of the role in the node's role.",
    snippet=(
        "kubectl get pods -A -o custom-columns=POD:.metadata.name,ROLE:.metadata.annotations.iam"
        "\\\\.amazonaws\\\\.com/role\n"
    ),
)
_CACHE = Remedy(text="Fetch credentials once a process and share them: the service answers so many requests a second.")

REMEDIES = (_UPGRADE, _WATCH, _RETRY, _ROLE, LEAVE)

_OF = {
    causes.TERMINATING: (_UPGRADE, LEAVE),
    causes.NO_ADDRESS: (_WATCH, _RETRY, LEAVE),
    causes.WRONG_ROLE: (_ROLE, LEAVE),
    causes.THROTTLED: (_CACHE, LEAVE),
    causes.UNKNOWN: (LEAVE,),
}

WHY = {
    causes.TERMINATING: "The proxy no longer serves a pod once it is deleted, though it works on for its grace period.",
    causes.NO_ADDRESS: "The pod asks before the API server, and so the proxy, knows its address.",
    causes.WRONG_ROLE: "The role that the pod asks for, or is annotated with, is not one that it can have.",
    causes.THROTTLED: "The metadata service turns requests away because there are too many.",
    causes.UNKNOWN: "The metadata service or its proxy refuses credentials; nothing here tells why.",
}


def remedies(cause: str) -> tuple[Remedy, ...]:
    return _OF[cause]


def saving(refusals: Refusals) -> Saving | None:
    """Time-bound refusals would not be with a proxy that does not go by addresses."""
    if refusals.cause not in (causes.TERMINATING, causes.NO_ADDRESS):
        return None
    return Saving(
        fix="credentials that do not go by the pod's address",
        observed=round(refusals.seconds, 6),
        modelled=0,
        unit="seconds",
        assumption="a role of the service account is there from the start of the pod to its end",
        formula="seconds from the first refused request of a streak to the next granted answer",
    )


def verify(refusals: Refusals) -> tuple[str, ...]:
    """Commands that show paths and codes only; a credential is never printed."""
    client = refusals.rows["client"].sort().item(0)
    sources = sorted(set(refusals.rows["source"].to_list()))
    return tuple(
        f"{tshark(one)} -Y 'http.response.code >= 400' -T fields -e frame.time_epoch -e ip.dst"
        " -e http.response.code -e http.response_for.uri"
        if refusals.rows.filter(source=one)["log"].not_().any()
        else grepped(one, str(client))
        for one in sources[:3]
    )
