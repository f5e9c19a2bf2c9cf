"""What to do about an agent that lists too much, ready to paste, and how to see the same without this tool."""

from __future__ import annotations

import shlex

from analyzer.detectors.apiserver.watch_list_amplification.patterns import Pattern
from analyzer.facts.shell import piped
from analyzer.model import Remedy

NODE_NAME = """env:
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
# and ask for this node only, from the server's cache:
#   GET /api/v1/pods?fieldSelector=spec.nodeName%3D$(NODE_NAME)&resourceVersion=0
"""

ROLLING = """spec:
  updateStrategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 1}
"""

GENERAL = (
    Remedy(
        text="Watch instead of list: an informer lists once and then holds a watch of 5 to 10 minutes. Ask for the "
        "pods of the own node only, with resourceVersion=0.",
        snippet=NODE_NAME,
    ),
    Remedy(text="Let one agent of the cluster ask for all nodes, and the agents of the nodes ask that one."),
    Remedy(
        text="Roll the DaemonSet node by node, so that not all of them list at the same time; give the agent the "
        "memory that all objects of its first list need, or it dies and lists again.",
        snippet=ROLLING,
    ),
)

KNOWN = (
    (
        "datadog",
        "Datadog: run the cluster agent, and let it collect the tags.",
        """env:
- {name: DD_CLUSTER_AGENT_ENABLED, value: "true"}
# without a cluster agent:
- {name: DD_KUBERNETES_COLLECT_METADATA_TAGS, value: "false"}
""",
    ),
    (
        "kube2iam",
        "kube2iam: give it the node, so that it watches the pods of that node only.",
        "args:\n- --node=$(NODE_NAME)\nenv:\n- name: NODE_NAME\n  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}\n",
    ),
    (
        "fluent-bit",
        "fluent-bit: ask the kubelet of the node instead of the API server.",
        "[FILTER]\n    Name kubernetes\n    Match kube.*\n    Use_Kubelet On\n    Kubelet_Port 10250\n",
    ),
    (
        "fluentd",
        "fluentd: no watch, and a larger cache of metadata.",
        """<filter kubernetes.**>
  @type kubernetes_metadata
  watch false
  cache_size 5000
  cache_ttl 3600
</filter>
""",
    ),
)
"""Agents that are known for it, and the settings of each against it (their documentation; kube2iam d0518d9)."""


def remedies(agent: str) -> tuple[Remedy, ...]:
    """The general remedies; of a known agent its own setting first."""
    own = [Remedy(text=text, snippet=snippet) for name, text, snippet in KNOWN if name in agent.lower()]
    return (*own[:1], *GENERAL)


def verify(pattern: Pattern) -> tuple[str, ...]:
    """Commands that count the same in the log and on the cluster. The name of the agent is data: it is quoted."""
    source = piped(pattern.rows["source"][0])
    name = shlex.quote(pattern.agent if pattern.agent.isprintable() else "")
    chosen = (
        'select(.stage=="ResponseComplete" and .verb=="list" and ((.userAgent // "") | split("/")[0] // "")==$agent)'
    )
    fields = "[.sourceIPs[0], .objectRef.resource]"
    return (
        f"{source} | jq -r --arg agent {name} '{chosen} | {fields} | @tsv' | sort | uniq -c | sort -rn | head",
        "kubectl get --raw /metrics | grep -E 'apiserver_request_total.*verb=\"LIST\"' | sort -t' ' -k2 -rn | head",
    )
