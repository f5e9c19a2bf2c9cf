"""What to do about the sender, ready to paste. Names come from the evidence: only well-formed ones are written."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.apiserver.apiserver_throttle_storm.flowschema import NEWEST, OWN_RELEASE, cage
from analyzer.detectors.apiserver.apiserver_throttle_storm.load import AGENT, Window
from analyzer.detectors.apiserver.apiserver_throttle_storm.priority import told
from analyzer.facts.audit_windows import short
from analyzer.facts.callers import CONTROL_PLANE, NODE
from analyzer.facts.requests import BUDGET, SHUTTING_DOWN
from analyzer.facts.shell import grep, piped
from analyzer.model import Remedy

METRICS = "apiserver_flowcontrol_rejected_requests_total|apiserver_current_inflight_requests"

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


KEEP_FREE = (
    "The sender is a kubelet or the control plane: do not cage it. Find what makes it ask (a controller in a loop, "
    "pods that come and go, many large lists), and give the server more room meanwhile."
)

SUBJECTS = 5
"""Most users of the offender that a FlowSchema names."""


def remedies(requests: pl.LazyFrame, window: Window, agent: str, served: tuple[str, bool]) -> tuple[Remedy, ...]:
    """The general remedies, the first with the objects for the offender's busiest users, whose names are well formed.

    Kubelets and the control plane are not caged: what they ask for is what keeps the cluster alive. `served` is the
    version of the API and whether it is known.
    """
    sent = (
        requests.filter(window.rows)
        .with_columns(AGENT)
        .filter(pl.col("agent") == agent)
        .group_by("user", "caller", "verb", "api_group", "resource", "subresource", "uri_class")
        .len()
        .collect()
    )
    users = (
        sent.group_by("user", "caller")
        .agg(pl.col("len").sum())
        .sort(["len", "user", "caller"], descending=[True, False, False])
    )
    if not users.height:
        return GENERAL
    if users["caller"][0] in (NODE, CONTROL_PLANE) or agent in OWN_RELEASE:
        return (Remedy(text=f"{KEEP_FREE} {told(users['user'][0], None)}"), *GENERAL[1:])
    free = ~users["caller"].is_in([NODE, CONTROL_PLANE]).fill_null(False)
    chosen = users.filter(free)["user"].head(SUBJECTS).to_list()
    own = sent.filter(pl.col("user").is_in(chosen, nulls_equal=True))
    named = own.filter(pl.col("resource").is_not_null()).sort(["len", "resource"], descending=[True, False])
    place = told(users["user"][0], named["resource"][0] if named.height else None)
    api, known = served
    version = "" if known else f" The API is {NEWEST} from Kubernetes 1.29 on, v1beta3 from 1.26 to 1.28."
    return (Remedy(text=f"{GENERAL[0].text} {place}{version}", snippet=cage(agent, chosen, own, api)), *GENERAL[1:])


def verify(source: str, agent: str) -> tuple[str, ...]:
    """Commands that show the same without this tool, on the log and on the cluster."""
    chosen = (
        'select((.stage=="ResponseComplete" or .stage=="Panic") and .responseStatus.code==429 and '
        '.annotations["authorization.k8s.io/decision"]==null and .objectRef.subresource!="eviction" and '
        f'(.responseStatus.message // "" | startswith("{BUDGET}") or startswith("{SHUTTING_DOWN}") | not))'
    )
    return (
        f"{piped(source)} | jq -r '{chosen} | .userAgent | split(\"/\")[0]' | sort | uniq -c | sort -rn",
        f"kubectl get --raw /metrics | {grep(METRICS, 'E')}",
        "kubectl get --raw /debug/api_priority_and_fairness/dump_priority_levels",
        f"# after the fix the first command counts no line of {short(agent if agent.isprintable() else '', 60)}",
    )
