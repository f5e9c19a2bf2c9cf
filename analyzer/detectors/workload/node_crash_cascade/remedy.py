"""What to do about replicas that take one node down after the other. Only well-formed names are written."""

from __future__ import annotations

import re

from analyzer.detectors.workload.node_crash_cascade.cascade import Cascade
from analyzer.facts.shell import grep, grepped
from analyzer.model import Remedy

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")

GENERAL = (
    Remedy(
        text="Give the workload memory requests that equal its limits, so that the scheduler does not put more of it "
        "on a node than the node can bear, and reserve memory for the system (kubelet: systemReserved, kubeReserved, "
        "evictionHard)."
    ),
    Remedy(
        text="Find out why the first node failed: its kernel log before the silence (memory, disk, panic) and its "
        "metrics. Keep more nodes than the replicas need, so that a lost node does not load the others fully."
    ),
)

_SNIPPET = """# in the pod template of {namespace}/{name}; the label app is taken to be its name
spec:
  template:
    spec:
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: DoNotSchedule
        labelSelector: {{matchLabels: {{app: {name}}}}}
      # or, where there are more nodes than replicas, one replica a node:
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - topologyKey: kubernetes.io/hostname
            labelSelector: {{matchLabels: {{app: {name}}}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {name}
  namespace: {namespace}
spec:
  maxUnavailable: 1
  selector: {{matchLabels: {{app: {name}}}}}
"""


def remedies(cascade: Cascade) -> tuple[Remedy, ...]:
    """The spread, then the general remedies."""
    namespace, _, name = cascade.steps[0].owner
    sound = _NAME.fullmatch(name) and _NAME.fullmatch(namespace)
    now = Remedy(
        text=f"Spread the replicas over nodes by a rule that the scheduler must keep: at most {cascade.spread} would "
        "have been on the node that failed first.",
        snippet=_SNIPPET.format(namespace=namespace, name=name) if sound else "",
    )
    return (now, *GENERAL)


def verify(cascade: Cascade) -> tuple[str, ...]:
    """Commands that show the same without this tool, on the evidence and on the cluster."""
    lines = []
    namespace, _, name = cascade.steps[0].owner
    sources = [str(outage["source"]) for outage in cascade.outages]
    for node, source in dict(zip(cascade.names, sources, strict=True)).items():
        if _NAME.fullmatch(node):
            lines.append(f"{grepped(source, node)} | tail -n 3   # the last words of the node")
    if _NAME.fullmatch(name) and _NAME.fullmatch(namespace):
        listing = f"kubectl -n {namespace} get pods -o wide --no-headers | {grep(f'^{name}-', 'E')}"
        lines.append(f"{listing} | awk '{{print $7}}' | sort | uniq -c   # replicas by node")
    lines.append("kubectl get events -A --field-selector involvedObject.kind=Node")
    return (*lines, "# after the fix no node has more than one replica above any other")
