"""What to do about the sender, ready to paste. Names come from the evidence: only well-formed ones are written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import polars as pl

from analyzer.detectors.apiserver.apiserver_throttle_storm.load import AGENT, Window
from analyzer.detectors.apiserver.apiserver_throttle_storm.priority import told
from analyzer.facts.audit_windows import piped, short
from analyzer.model import Remedy

ACCOUNT = re.compile(r"system:serviceaccount:([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?):([a-z0-9][a-z0-9.-]{0,252})")
"""RFC 1123 names of a namespace and of a service account (apimachinery `pkg/util/validation`)."""

METRICS = "apiserver_flowcontrol_rejected_requests_total|apiserver_current_inflight_requests"

_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9@:._/-]{0,252}")
_WORD = re.compile(r"[a-z][a-z0-9.-]{0,62}(/[a-z]{1,30})?")

GENERAL = (
    Remedy(
        text="Cage the sender: a FlowSchema that sends its requests to a small priority level of their own, so that "
        "they queue behind each other and not before kubelets and controllers."
    ),
    Remedy(
        text="Let the sender watch instead of list: one informer, resourceVersion=0, a field selector on its own node, "
        "or one cluster agent for all nodes. Raising --max-requests-inflight only moves the limit."
    ),
)


def remedies(requests: pl.LazyFrame, window: Window, agent: str) -> tuple[Remedy, ...]:
    """The general remedies, the first with the objects for the offender's busiest account where that is well formed."""
    sent = (
        requests.filter(window.rows)
        .with_columns(AGENT)
        .filter((pl.col("agent") == agent) & pl.col("resource").is_not_null())
        .group_by("user", "verb", "api_group", "resource", "subresource")
        .len()
        .collect()
    )
    users = sent.group_by("user").agg(pl.col("len").sum()).sort(["len", "user"], descending=[True, False])
    if not users.height:
        return GENERAL
    user = users["user"][0]
    own = sent.filter(pl.col("user").eq_missing(pl.lit(user, pl.String)))
    resource = own.sort(["len", "resource"], descending=[True, False])["resource"][0]
    text = f"{GENERAL[0].text} {told(user, resource)} On Kubernetes 1.26 to 1.28 the API version is v1beta3."
    return (Remedy(text=text, snippet=cage(agent, user, own)), *GENERAL[1:])


def cage(agent: str, user: str | None, sent: pl.DataFrame) -> str:
    """PriorityLevelConfiguration and FlowSchema for one user; '' where its name is not well formed."""
    subject = _subject(user)
    if not subject:
        return ""
    name = "caged-" + (re.sub(r"[^a-z0-9]+", "-", agent.lower()).strip("-")[:40].strip("-") or "agent")
    verbs = _words(sent["verb"])
    groups = sorted({json.dumps(group) for group in sent["api_group"] if group == "" or _WORD.fullmatch(group or "?")})
    resources = _words(
        f"{row['resource']}/{row['subresource']}" if row["subresource"] else row["resource"]
        for row in sent.rows(named=True)
    )
    return f"""apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata:
  name: {name}
spec:
  type: Limited
  limited:
    nominalConcurrencyShares: 5
    lendablePercent: 0
    limitResponse:
      type: Queue
      queuing: {{queues: 16, handSize: 4, queueLengthLimit: 50}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata:
  name: {name}
spec:
  matchingPrecedence: 800
  priorityLevelConfiguration: {{name: {name}}}
  distinguisherMethod: {{type: ByUser}}
  rules:
  - subjects:
    - {subject}
    resourceRules:
    - verbs: [{", ".join(verbs) or '"*"'}]
      apiGroups: [{", ".join(groups) or '"*"'}]
      resources: [{", ".join(resources) or '"*"'}]
      clusterScope: true
      namespaces: ["*"]
"""


def _subject(user: str | None) -> str:
    if user and (account := ACCOUNT.fullmatch(user)):
        place = f"{{namespace: {json.dumps(account[1])}, name: {json.dumps(account[3])}}}"
        return f"{{kind: ServiceAccount, serviceAccount: {place}}}"
    return f"{{kind: User, user: {{name: {json.dumps(user)}}}}}" if user and _USER.fullmatch(user) else ""


def _words(names: Iterable[str | None]) -> list[str]:
    return sorted({json.dumps(name) for name in names if name and _WORD.fullmatch(name)})


def verify(source: str, agent: str) -> tuple[str, ...]:
    """Commands that show the same without this tool, on the log and on the cluster."""
    chosen = (
        'select((.stage=="ResponseComplete" or .stage=="Panic") and .responseStatus.code==429 and '
        '.annotations["authorization.k8s.io/decision"]==null and .objectRef.subresource!="eviction")'
    )
    return (
        f"{piped(source)} | jq -r '{chosen} | .userAgent | split(\"/\")[0]' | sort | uniq -c | sort -rn",
        f"kubectl get --raw /metrics | grep -E '{METRICS}'",
        "kubectl get --raw /debug/api_priority_and_fairness/dump_priority_levels",
        f"# after the fix the first command counts no line of {short(agent if agent.isprintable() else '', 60)}",
    )
