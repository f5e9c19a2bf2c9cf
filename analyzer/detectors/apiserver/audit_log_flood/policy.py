"""The audit policy that would have kept the log small, replayed on the records themselves.

The rules follow the policy that Kubernetes ships for GCE (`cluster/gce/gci/configure-helper.sh`): RequestReceived is
left out, events and health checks are not logged, bodies are kept by nobody who writes in a loop. Rules match as in
apiserver `pkg/audit/policy/checker.go`: the first that fits; `pods` is not `pods/status`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import polars as pl
from msgspec import Struct

_NAME = r"[A-Za-z0-9][A-Za-z0-9@:._/-]{0,252}"
_RESOURCE = r"[a-z][a-z0-9.-]{0,62}(/[a-z]{1,30})?"
_GROUP = r"([a-z][a-z0-9.-]{0,252})?"

READS = ("get", "list", "watch")
HOT = 0.01
"""Share of the writer's bytes from which one of its resources is named in the policy."""

HEALTH = r"^/(?:healthz|livez|readyz|version|openapi)(?:[/?]|$)"


class Rule(Struct, frozen=True):
    """One rule: its YAML, the records it takes, whether their metadata stay, and what cannot be answered any more."""

    name: str
    yaml: str
    matches: pl.Expr
    keeps_metadata: bool
    lost: str
    keeps_request: bool = False


SHIPPED = (
    Rule(
        "omitStages: RequestReceived",
        "",
        pl.col("stage") == "RequestReceived",
        False,
        "which requests were received but never answered, as when the server crashed",
    ),
    Rule(
        "None: leases",
        '- level: None\n  resources: [{group: "coordination.k8s.io", resources: ["leases"]}]',
        (pl.col("resource") == "leases") & (pl.col("api_group") == "coordination.k8s.io"),
        False,
        "who held or renewed a lease, and how often",
    ),
    Rule(
        "None: events",
        '- level: None\n  resources: [{group: "", resources: ["events"]}, '
        '{group: "events.k8s.io", resources: ["events"]}]',
        (pl.col("resource") == "events") & pl.col("api_group").is_in(["", "events.k8s.io"]),
        False,
        "who wrote which Event",
    ),
    Rule(
        "None: health checks",
        '- level: None\n  nonResourceURLs: ["/healthz*", "/livez*", "/readyz*", "/version", "/openapi*"]',
        pl.col("resource").is_null() & pl.col("uri").str.contains(HEALTH),
        False,
        "who asked for health, version or the API schema",
    ),
)

PART = pl.concat_str("resource", pl.concat_str(pl.lit("/"), "subresource").fill_null(""))
"""A resource as a policy names it: `pods`, or `pods/status` of a subresource."""

READ = Rule(
    "Metadata: reads",
    '- level: Metadata\n  verbs: ["get", "list", "watch"]',
    pl.col("verb").is_in(READS),
    True,
    "what was in the answers of reads",
)

REST = Rule(
    "Metadata: everything else",
    "- level: Metadata",
    pl.lit(True),
    True,
    "what others wrote: replica counts, images, who changed which field; keep Request for what you need",
)

LOST = "what the server made of a write: defaults, and what others had changed"
WRITES = Rule("Request: everything else", "- level: Request", pl.lit(True), True, LOST, keeps_request=True)
"""What a policy for a steady volume does with the rest, as the policy shipped for GCE does with nodes and pods."""


def rules(user: str, resources: Sequence[tuple[str, str]]) -> tuple[Rule, ...]:
    """The policy in order; `resources` are the (group, resource) that the writer is hot on.

    Names come from the evidence: those that are not well formed are not written into the policy.
    """
    hot = [(group, name) for group, name in resources if re.fullmatch(_GROUP, group) and re.fullmatch(_RESOURCE, name)]
    if not hot or not re.fullmatch(_NAME, user):
        return (*SHIPPED, REST)
    named = ", ".join(f'{{group: {json.dumps(group)}, resources: ["{name}"]}}' for group, name in hot)
    own = Rule(
        "Metadata: the writer's hot resources",
        f"- level: Metadata\n  users: [{json.dumps(user)}]\n  resources: [{named}]",
        (pl.col("user") == user)
        & pl.any_horizontal((pl.col("api_group") == group) & (name == PART) for group, name in hot),
        True,
        "what this writer wrote or was given: old and new content of its objects",
    )
    return (*SHIPPED, own, REST)


def advised() -> tuple[Rule, ...]:
    """What a log without a flood can do without: what a write asked for stays."""
    return (*SHIPPED, READ, WRITES)


def text(policy: Sequence[Rule]) -> str:
    """The policy file."""
    head = 'apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: ["RequestReceived"]\nrules:\n'
    return head + "\n".join(rule.yaml for rule in policy if rule.yaml) + "\n"


def replayed(rows: pl.LazyFrame, policy: Sequence[Rule]) -> pl.DataFrame:
    """`rule` (its place), `records`, `before` and `after` in bytes. Each record falls under the first rule it fits."""
    place = pl.lit(len(policy) - 1)
    for at in reversed(range(len(policy))):
        place = pl.when(policy[at].matches.fill_null(False)).then(pl.lit(at)).otherwise(place)
    keeps = [at for at, rule in enumerate(policy) if rule.keeps_metadata]
    asked = [at for at, rule in enumerate(policy) if rule.keeps_request]
    dropped = pl.when(pl.col("rule").is_in(asked)).then(0).otherwise("request_body_bytes")
    return (
        rows.with_columns(place.alias("rule"))
        .group_by("rule")
        .agg(
            pl.len().alias("records"),
            pl.col("event_bytes").sum().alias("before"),
            (pl.col("event_bytes") - pl.col("response_body_bytes") - dropped).sum().alias("after"),
        )
        .with_columns(pl.when(pl.col("rule").is_in(keeps)).then("after").otherwise(0).alias("after"))
        .sort("rule")
        .collect()
    )
