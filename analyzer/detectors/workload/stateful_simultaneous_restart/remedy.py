"""What to do about replicas that restart together, ready to paste. Only well-formed names are written."""

from __future__ import annotations

import re

from analyzer.detectors.workload.stateful_simultaneous_restart.causes import CUSTOM, Cause
from analyzer.detectors.workload.stateful_simultaneous_restart.groups import Group
from analyzer.facts.shell import grepped, piped
from analyzer.model import Remedy

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")

GENERAL = (
    Remedy(
        text="A readiness probe that knows the state of replication: a replica that still loads or syncs is not ready, "
        "and an ordered update waits for it."
    ),
    Remedy(
        text="Before an operator's resource is changed, read how it rolls the change out, and try it elsewhere: "
        "some delete all pods at once. Take a backup first. A PodDisruptionBudget stops evictions, and no deletions."
    ),
)

_SNIPPET = """apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {name}
  namespace: {namespace}
spec:
  podManagementPolicy: OrderedReady    # cannot be changed later: make the StatefulSet anew (--cascade=orphan)
  updateStrategy:
    type: RollingUpdate
    rollingUpdate: {{maxUnavailable: 1}}
  minReadySeconds: 30
---
# spread the replicas, so that no node takes several of them along
spec:
  template:
    spec:
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: DoNotSchedule
        labelSelector: {{matchLabels: {{app: {name}}}}}
"""


def remedies(group: Group, cause: Cause | None) -> tuple[Remedy, ...]:
    """An update that goes from replica to replica, then the general remedies."""
    name, namespace = group.workload, group.namespace
    sound = _NAME.fullmatch(name) and _NAME.fullmatch(namespace)
    by = (
        "The operator owns the StatefulSet: set this in its resource, or ask for it upstream."
        if cause and cause.what == CUSTOM
        else "The label app is taken to be the workload's name."
    )
    now = Remedy(
        text=f"Let updates go from replica to replica, and the next wait until the one before is ready. {by}",
        snippet=_SNIPPET.format(name=name, namespace=namespace) if sound else "",
    )
    return (now, *GENERAL)


def verify(group: Group, cause: Cause | None) -> tuple[str, ...]:
    """Commands that show the same without this tool, on the evidence and on the cluster."""
    sound = _NAME.fullmatch(group.workload) and _NAME.fullmatch(group.namespace)
    first = group.stops.row(0, named=True)
    lines = []
    if cause is not None and _NAME.fullmatch(cause.name):
        chosen = (
            f'select(.stage=="ResponseComplete" and .objectRef.name=="{cause.name}" and (.verb=="patch" or '
            '.verb=="update"))'
        )
        shown = "[.requestReceivedTimestamp, .verb, .user.username, .objectRef.resource, .objectRef.name] | @tsv"
        lines.append(f"{piped(cause.source)} | jq -r '{chosen} | {shown}'")
    if sound:
        lines.append(f"{grepped(first['source'], f'{group.workload}-[0-9]+', 'E')} | grep -iE 'delete|kill|died'")
        lines.append(f"kubectl -n {group.namespace} get statefulset {group.workload} -o yaml")
    return (*lines, "# after the fix at most one replica is not ready while an update rolls")
