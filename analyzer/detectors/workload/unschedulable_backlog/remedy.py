"""What to do about a backlog, ready to paste. Only well-formed names are written."""

from __future__ import annotations

import json
import re

from analyzer.detectors.workload.unschedulable_backlog.backlog import ON_A_NODE, RESOURCES, Backlog
from analyzer.detectors.workload.unschedulable_backlog.causes import Cause
from analyzer.facts.shell import piped
from analyzer.model import Remedy

_NAME = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
_TAINT = r"taint \{([A-Za-z0-9./_-]{1,317}): ([A-Za-z0-9._-]{0,63})\}"

GENERAL = (
    Remedy(
        text="Alert on pods that are Pending for ten minutes, with the reason of their FailedScheduling Event: the "
        "scheduler says why, but only there."
    ),
    Remedy(
        text="Give system agents small requests that were measured, and priorities in three or four steps: what may "
        "preempt (control plane, network, storage), what serves, what can wait."
    ),
)

_CRON = """apiVersion: batch/v1
kind: CronJob
metadata:
  name: {name}
  namespace: {namespace}
spec:
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 200
  jobTemplate:
    spec:
      activeDeadlineSeconds: {deadline}
      backoffLimit: 1
"""
_CLAIM = """# the data of the claim is lost with its node: make sure of the copies first
kubectl -n {namespace} delete pvc --wait=false $(kubectl -n {namespace} get pod {pod} \\
  -o jsonpath='{{.spec.volumes[*].persistentVolumeClaim.claimName}}')
kubectl -n {namespace} delete pod {pod}
"""
_PRIORITY = """apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata:
  name: agents-that-wait
value: 0
globalDefault: false
preemptionPolicy: Never
description: Agents on every node, which must not push workloads off it.
---
# in the DaemonSet
spec:
  template:
    spec:
      priorityClassName: agents-that-wait
      containers:
      - name: agent
        resources:
          requests: {cpu: 50m, memory: 64Mi}
"""
_TOLERATE = """spec:
  template:
    spec:
      tolerations:
      - {{key: {key}, operator: Equal, value: {value}, effect: NoSchedule}}
"""


def remedies(backlog: Backlog, cause: Cause) -> tuple[Remedy, ...]:
    """What ends this backlog now, then the general remedies."""
    now = []
    first = backlog.waits.row(0, named=True)
    namespace, name, pod = (first[key] or "" for key in ("namespace", "workload", "pod"))
    sound = all(re.fullmatch(_NAME, one) for one in (namespace, name, pod))
    if backlog.cron:
        deadline = max(60, round((backlog.period or 600) * 0.9))
        now.append(
            Remedy(
                text="Let no run begin while another waits, and end a run that does not come to run.",
                snippet=_CRON.format(name=name, namespace=namespace, deadline=deadline) if sound else "",
            )
        )
    if backlog.reason == ON_A_NODE:
        now.append(
            Remedy(
                text="The volume lies on a node that is gone, or in a zone without room: delete claim and pod, so that "
                "both are made anew. Stop the process that takes nodes away under volumes (AZRebalance of an "
                "autoscaling group: suspend it), or use volumes that follow the pod.",
                snippet=_CLAIM.format(namespace=namespace, pod=pod) if sound else "",
            )
        )
    if cause.daemonsets.height or cause.preempted.height:
        now.append(
            Remedy(
                text="Lower what the DaemonSet asks for to what it uses, and let it wait instead of preempting: every "
                f"node loses its requests, whether it has room or not.{_critical(cause)}",
                snippet=_PRIORITY,
            )
        )
    elif backlog.reason == RESOURCES:
        now.append(Remedy(text="Add nodes, or lower requests to what is used: no node has room for what they ask."))
    if backlog.reason == "taint":
        now.append(
            Remedy(text="Tolerate the taint, or take it off the nodes that are meant.", snippet=_toleration(backlog))
        )
    if backlog.reason == "node selector":
        now.append(Remedy(text="Select labels that nodes have: kubectl get nodes --show-labels."))
    return (*now, *GENERAL)


def _critical(cause: Cause) -> str:
    if not cause.critical:
        return ""
    named = ", ".join(f"{one.name} ({one.priority})" for one in cause.critical)
    return f" What has a system priority sends every other pod away that stands in its way: {named}."


def _toleration(backlog: Backlog) -> str:
    found = [match for text in backlog.waits["message"].unique().sort() for match in re.findall(_TAINT, text or "")]
    own = sorted({match for match in found if "node-role" not in match[0] and "node.kubernetes.io" not in match[0]})
    return _TOLERATE.format(key=json.dumps(own[0][0]), value=json.dumps(own[0][1])) if own else ""


def verify(backlog: Backlog) -> tuple[str, ...]:
    """Commands that show the same without this tool, on the evidence and on the cluster."""
    first = backlog.waits.row(0, named=True)
    source = piped(first["source"])
    if "log" in first["channels"]:
        line = f"{source} | grep -c 'Unable to schedule'"
    else:
        chosen = '(.items // [.])[] | select(.reason=="FailedScheduling")'
        line = (
            f"{source} | jq -r '{chosen} | [.involvedObject.namespace, .involvedObject.name, .count, .message] | @tsv'"
        )
    namespaces = backlog.waits["namespace"].drop_nulls().unique()
    one = namespaces.len() == 1 and re.fullmatch(_NAME, namespaces[0])
    where = f"-n {namespaces[0]}" if one else "-A"
    return (
        line,
        f"kubectl get pods {where} --field-selector status.phase=Pending",
        f"kubectl get events {where} --field-selector reason=FailedScheduling",
        "# after the fix no pod stays Pending, and no new FailedScheduling comes",
    )
