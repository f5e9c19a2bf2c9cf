"""The name of its cluster that an export of a cloud writes beside every record."""

from __future__ import annotations

import re

HEAD = 65_536

_NAME = rb"([A-Za-z0-9][A-Za-z0-9._-]{0,99})"

_FORMS = (
    re.compile(rb"/aws/eks/" + _NAME + rb"/cluster\b"),
    re.compile(rb'"cluster_name"\s*:\s*"' + _NAME + rb'"'),
    re.compile(rb"/managedclusters/" + _NAME, re.IGNORECASE),
)
"""EKS: the log group /aws/eks/NAME/cluster (Amazon EKS User Guide, control plane logs). GKE: `resource.labels` of
k8s_cluster, k8s_node and k8s_container (Cloud Logging, monitored resource types). AKS: `resourceId`
(Azure Monitor, resource logs of Microsoft.ContainerService/managedClusters)."""


def cluster_of(head: bytes) -> str:
    """The name that the head of an input tells; empty where it tells none, or several."""
    found = {name.lower() for form in _FORMS for name in form.findall(head[:HEAD])}
    return found.pop().decode("ascii") if len(found) == 1 else ""
