"""What to do about a check that blocks controllers, ready to paste. Only well-formed names are written."""

from __future__ import annotations

import json
import re

from analyzer.detectors.workload.admission_denial_loop.measure import Loop
from analyzer.detectors.workload.admission_denial_loop.saving import Quota
from analyzer.facts import admission_texts
from analyzer.facts.shell import piped
from analyzer.model import Remedy

_NAME = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
_BINDING = r"with binding '([a-z0-9][a-z0-9.-]{0,252})'"
_RESOURCE = r"[a-z0-9][a-z0-9./-]{0,120}"

GENERAL = (
    Remedy(
        text="Validate what people write (Deployments, Jobs), not the pods that controllers make of it: then the "
        "person who writes gets the refusal, and a rule that is new cannot stop a workload that runs."
    ),
    Remedy(
        text="Report before you enforce: run a new rule in audit or warn mode, list the workloads that violate it, "
        "mend them, then enforce. Leave kube-system out, and let a webhook that guards no security fail open."
    ),
)

_WEBHOOK = """webhooks:
- name: {name}
  namespaceSelector:
    matchExpressions:
    - {{key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system]}}
  {rest}
"""
_CONDITION = """matchConditions:
  - name: not-made-by-a-controller
    expression: "!has(object.metadata.ownerReferences) || object.metadata.ownerReferences.size() == 0\""""

_SECURITY = """apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels:
    pod-security.kubernetes.io/enforce: privileged
    pod-security.kubernetes.io/audit: {level}
    pod-security.kubernetes.io/warn: {level}
"""
_QUOTA = """apiVersion: v1
kind: ResourceQuota
metadata:
  name: {name}
  namespace: {namespace}
spec:
  hard:
{hard}
"""
_BOUND = """apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {binding}
spec:
  policyName: {name}
  validationActions: [Audit, Warn]
"""


def remedies(loop: Loop, quotas: tuple[Quota, ...]) -> tuple[Remedy, ...]:
    """What ends this loop now, then the general remedies."""
    return (_now(loop, quotas), *GENERAL)


def _now(loop: Loop, quotas: tuple[Quota, ...]) -> Remedy:
    name = loop.policy if re.fullmatch(_NAME, loop.policy) else ""
    namespace = loop.namespace if re.fullmatch(_NAME, loop.namespace) else ""
    if loop.check in (admission_texts.DENIED, admission_texts.FAILING):
        failing = loop.check == admission_texts.FAILING
        rest = "failurePolicy: Ignore" if failing else _CONDITION
        text = (
            f"The webhook could not be called ({loop.cause}): bring its pods, Service and certificate back, and until "
            "then let it fail open."
            if failing
            else "Mend the templates that the webhook refuses, and leave out pods that a controller owns "
            "(matchConditions: Kubernetes 1.28 and newer)."
        )
        return Remedy(
            text=f"{text} The snippet is for kubectl patch validatingwebhookconfiguration CONFIGURATION --patch-file, "
            "where CONFIGURATION holds the webhook; mutatingwebhookconfiguration if it is a mutating one.",
            snippet=_WEBHOOK.format(name=name, rest=rest) if name else "",
        )
    if loop.check == admission_texts.POD_SECURITY:
        level = loop.policy.partition(":")[0]
        sound = namespace and level in ("baseline", "restricted")
        return Remedy(
            text="Report instead of refusing until the templates comply: the labels of the namespace.",
            snippet=_SECURITY.format(namespace=namespace, level=level) if sound else "",
        )
    if loop.check == admission_texts.QUOTA:
        return _quota(name, namespace, quotas)
    if loop.check == admission_texts.POLICY:
        binding = next((found[1] for text in loop.rows["message"] if (found := re.search(_BINDING, text or ""))), "")
        return Remedy(
            text="Report instead of refusing until the templates comply: the actions of the binding. Keep what the "
            "binding matches as it is.",
            snippet=_BOUND.format(binding=binding, name=name) if binding and name else "",
        )
    return Remedy(text="Give the workload's service account what its template needs, or mend the template.")


def _quota(name: str, namespace: str, quotas: tuple[Quota, ...]) -> Remedy:
    hard = "\n".join(
        f"    {quota.resource}: {json.dumps(f'{quota.needed.normalize():f}')}"
        for quota in quotas
        if re.fullmatch(_RESOURCE, quota.resource)
    )
    return Remedy(
        text="Raise the quota to what is used and what the missing replicas ask for (keep its other entries), or lower "
        "the requests; a rolling update needs its surge on top.",
        snippet=_QUOTA.format(name=name, namespace=namespace, hard=hard) if name and namespace and hard else "",
    )


def verify(loop: Loop) -> tuple[str, ...]:
    """Commands that show the same without this tool, on the evidence and on the cluster."""
    audit = loop.rows.filter(loop.rows["channel"] == "audit")
    chosen = 'select(.stage=="ResponseComplete" and .verb=="create" and .responseStatus.code>=400)'
    shown = "[.user.username, .objectRef.namespace, .responseStatus.message] | @tsv"
    lines = (
        [f"{piped(audit['source'][0])} | jq -r '{chosen} | {shown}' | sort | uniq -c | sort -rn"]
        if audit.height
        else []
    )
    namespaces = sorted({owner.namespace for owner in loop.owners if re.fullmatch(_NAME, owner.namespace)})
    where = f"-n {namespaces[0]}" if len(namespaces) == 1 else "-A"
    return (
        *lines,
        f"kubectl get events {where} --field-selector reason=FailedCreate",
        f"kubectl get replicasets,statefulsets,daemonsets {where}",
        "# after the fix DESIRED and CURRENT are equal and no new FailedCreate comes",
    )
