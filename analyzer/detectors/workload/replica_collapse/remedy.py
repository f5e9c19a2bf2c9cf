"""What to do about a field that was taken out of a manifest, ready to paste. Only well-formed names are written."""

from __future__ import annotations

import re

from analyzer.detectors.workload.replica_collapse.collapse import Collapse
from analyzer.facts.shell import piped
from analyzer.model import Remedy

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")

GENERAL = (
    Remedy(
        text="Before spec.replicas is taken out of a manifest, take it out of the annotation "
        "last-applied-configuration (kubectl apply edit-last-applied), or hand it over to the autoscaler by "
        "server-side apply: else apply deletes the field, and the server writes 1."
    ),
    Remedy(
        text="Give the autoscaler a minReplicas that carries the load. A PodDisruptionBudget does not protect: "
        "deleting pods for a smaller number is no eviction. Watch for a Deployment whose replicas fall by half."
    ),
)

_SNIPPET = """# now
kubectl -n {namespace} scale deployment {name} --replicas={before}
# then, once: the autoscaler owns the field, and the manifest without spec.replicas takes nothing away
cat <<'EOF' | kubectl apply --server-side --field-manager=handover-to-hpa --force-conflicts -f -
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: {namespace}
spec:
  replicas: {before}
EOF
kubectl -n {namespace} patch hpa {name} --type merge -p '{{"spec":{{"minReplicas":{floor}}}}}'
"""


def remedies(collapse: Collapse) -> tuple[Remedy, ...]:
    """What brings the replicas back and keeps them, then the general remedies."""
    sound = _NAME.fullmatch(collapse.namespace) and _NAME.fullmatch(collapse.name)
    now = Remedy(
        text=f"Ask for {collapse.before} replicas again; an autoscaler needs several rounds for that. The autoscaler "
        "is taken to have the Deployment's name.",
        snippet=_SNIPPET.format(
            namespace=collapse.namespace,
            name=collapse.name,
            before=collapse.before,
            floor=max(2, collapse.before // 2),
        )
        if sound
        else "",
    )
    return (now, *GENERAL)


def verify(collapse: Collapse) -> tuple[str, ...]:
    """Commands that show the same without this tool, on the evidence and on the cluster."""
    chosen = (
        'select(.stage=="ResponseComplete" and .objectRef.resource=="deployments" and .requestObject!=null and '
        ".requestObject.spec.replicas==null and .responseObject.spec.replicas==1)"
    )
    shown = "[.requestReceivedTimestamp, .user.username, .objectRef.namespace, .objectRef.name] | @tsv"
    sound = _NAME.fullmatch(collapse.namespace) and _NAME.fullmatch(collapse.name)
    on = f"-n {collapse.namespace} deployment {collapse.name}" if sound else "-A deployments"
    return (
        f"{piped(collapse.source)} | jq -r '{chosen} | {shown}'",
        f"kubectl get {on} -o yaml --show-managed-fields",
        "kubectl get events -A --field-selector reason=ScalingReplicaSet",
        "# after the fix kubectl diff -f MANIFEST shows no change of spec.replicas",
    )
