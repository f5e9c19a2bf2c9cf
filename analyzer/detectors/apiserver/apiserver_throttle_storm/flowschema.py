"""The objects that cage a sender: names come from the evidence, so only well-formed ones are written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

import polars as pl

ACCOUNT = r"system:serviceaccount:([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?):([a-z0-9][a-z0-9.-]{0,252})"
"""RFC 1123 names of a namespace and of a service account (apimachinery `pkg/util/validation`)."""

_USER = r"[A-Za-z0-9][A-Za-z0-9@:._/-]{0,252}"
_WORD = r"[a-z][a-z0-9.-]{0,62}(/[a-z]{1,30})?"
_PATH = r"(/[A-Za-z0-9._-]+)+(/\*)?|/"

NEWEST = "v1"
APIS = ((29, NEWEST), (26, "v1beta3"), (23, "v1beta2"), (20, "v1beta1"))
"""Least minor version of Kubernetes for each version of flowcontrol.apiserver.k8s.io (deprecation guide: v1 since 1.29,
v1beta3 since 1.26, v1beta2 since 1.23, v1beta1 since 1.20)."""

SHARES = {"v1beta1": "assuredConcurrencyShares", "v1beta2": "assuredConcurrencyShares"}
"""What nominalConcurrencyShares was called before v1beta3; limits could not be lent then."""

OWN_RELEASE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""Agents that have the version of the server, or one release less while it is being upgraded."""


def flow_api(requests: pl.LazyFrame) -> tuple[str, bool]:
    """The version of the API that the cluster serves, and whether the log tells it: by the control plane's agents."""
    minor = (
        requests.filter(pl.col("agent").is_in(OWN_RELEASE))
        .select(pl.col("user_agent").str.extract(r"/v1\.([0-9]{1,3})\.").cast(pl.Int64).max())
        .collect()
        .item()
    )
    found = next((api for least, api in APIS if minor is not None and minor >= least), None)
    return found or NEWEST, found is not None


def cage(agent: str, users: Sequence[str | None], sent: pl.DataFrame, api: str = NEWEST) -> str:
    """PriorityLevelConfiguration and FlowSchema for these users; '' where none of their names is well formed.

    `sent` has what they asked for: verb, api_group, resource, subresource, and uri_class where there is no resource.
    Precedence 800 stands before those of service accounts (900, 9000) and after those of kubelets (400, 500).
    """
    subjects = [subject for user in users if (subject := _subject(user))]
    if not subjects:
        return ""
    name = "caged-" + (re.sub(r"[^a-z0-9]+", "-", agent.lower()).strip("-")[:40].strip("-") or "agent")
    shares = SHARES.get(api, "nominalConcurrencyShares")
    lent = "" if api in SHARES else "\n    lendablePercent: 0"
    indented = "\n".join(f"    - {subject}" for subject in subjects)
    return f"""apiVersion: flowcontrol.apiserver.k8s.io/{api}
kind: PriorityLevelConfiguration
metadata:
  name: {name}
spec:
  type: Limited
  limited:
    {shares}: 5{lent}
    limitResponse:
      type: Queue
      queuing: {{queues: 16, handSize: 4, queueLengthLimit: 50}}
---
apiVersion: flowcontrol.apiserver.k8s.io/{api}
kind: FlowSchema
metadata:
  name: {name}
spec:
  matchingPrecedence: 800
  priorityLevelConfiguration: {{name: {name}}}
  distinguisherMethod: {{type: ByUser}}
  rules:
  - subjects:
{indented}
{_rules(sent)}"""


def _rules(sent: pl.DataFrame) -> str:
    """The kinds of requests that the sender makes; resources and other paths apart."""
    named, other = sent.filter(pl.col("resource").is_not_null()), sent.filter(pl.col("resource").is_null())
    text = ""
    if named.height:
        groups = sorted({json.dumps(one) for one in named["api_group"] if one == "" or re.fullmatch(_WORD, one or "?")})
        resources = _words(
            f"{row['resource']}/{row['subresource']}" if row["subresource"] else row["resource"]
            for row in named.rows(named=True)
        )
        text += f"""    resourceRules:
    - verbs: [{", ".join(_words(named["verb"])) or '"*"'}]
      apiGroups: [{", ".join(groups) or '"*"'}]
      resources: [{", ".join(resources) or '"*"'}]
      clusterScope: true
      namespaces: ["*"]
"""
    # one `*` at the end is all that such a rule may have
    starts = {re.sub(r"/\*.*$", "/*", one) for one in other["uri_class"] if one}
    if paths := sorted(json.dumps(one) for one in starts if re.fullmatch(_PATH, one)):
        text += f"""    nonResourceRules:
    - verbs: [{", ".join(_words(other["verb"])) or '"*"'}]
      nonResourceURLs: [{", ".join(paths)}]
"""
    return text


def _subject(user: str | None) -> str:
    if user and (account := re.fullmatch(ACCOUNT, user)):
        place = f"{{namespace: {json.dumps(account[1])}, name: {json.dumps(account[3])}}}"
        return f"{{kind: ServiceAccount, serviceAccount: {place}}}"
    return f"{{kind: User, user: {{name: {json.dumps(user)}}}}}" if user and re.fullmatch(_USER, user) else ""


def _words(names: Iterable[str | None]) -> list[str]:
    return sorted({json.dumps(name) for name in names if name and re.fullmatch(_WORD, name)})
