"""Why no node would take a pod, by the scheduler's text of any version.

`0/5 nodes are available: 1 node(s) had untolerated taint {a: b}, 4 Insufficient cpu. preemption: 0/5 nodes are ...`
(pkg/scheduler/framework/types.go, FitError): since 1.10 the count stands before its reason, before it behind it
(`No nodes are available that match all of the predicates: Insufficient cpu (3).`). The texts are those of the filter
plugins (pkg/scheduler/framework/plugins/*, before 1.19 algorithm/predicates/error.go). Until 1.20 all filters that a
node failed could be told, so counts may add up to more than the nodes.
"""

from __future__ import annotations

import polars as pl

_NEW = r"^(?:\(combined from similar events\): )?0/([0-9]{1,7}) nodes are available: ([\s\S]*)$"
_OLD = r"^No nodes are available that match all of the (?:following )?predicates:+ ([\s\S]*)$"

_CLASSES = (
    ("gang", r"(?i)pod ?group|gang|permit|scheduling gate"),
    ("volume on a node", r"volume node affinity conflict|PersistentVolume's node affinity|NoVolumeNodeConflict"),
    ("volume", r"(?i)volume|pv\(s\)"),
    ("resources", r"^Insufficient |^Too many pods|didn't have enough resource"),
    ("ports", r"free ports|PodFitsHostPorts"),
    ("spread", r"topology spread|anti-?affinity rules|pod affinity rules|MatchInterPodAffinity"),
    (
        "unschedulable",
        r"unschedulable|control-plane|node-role\.kubernetes\.io/master|not[ -]ready|pressure|unreachable",
    ),
    ("taint", r"taint|PodToleratesNodeTaints"),
    ("node selector", r"node selector|node affinity|affinity/selector|MatchNodeSelector|requested node name"),
)
"""Classes by the text of a reason, the first that fits. Nodes that take no ordinary pod (cordoned, control plane, not
ready) are told apart from nodes that are kept for somebody: only a taint of the latter is the pod's own matter."""

ORDER = (
    "volume on a node",
    "volume",
    "resources",
    "ports",
    "spread",
    "taint",
    "node selector",
    "gang",
    "unschedulable",
    "other",
)
"""Which class tells why a pod waits. A node is told with the first filter that it fails, cordons, taints and selectors
before resources, those before volumes (pkg/scheduler/apis/config/v1/default_plugins.go): so the last of them is what
the nodes meant for the pod lacked."""


def split(messages: pl.LazyFrame) -> pl.LazyFrame:
    """One row per distinct `message` and reason in it: message, reason, class, nodes (how many gave it), of (nodes in
    all); counts are null where the text has none."""
    text = pl.col("message")
    new, old = text.str.contains(_NEW), text.str.contains(_OLD)
    body = pl.when(new).then(text.str.extract(_NEW, 2)).when(old).then(text.str.extract(_OLD, 1)).otherwise(text)
    # what follows the reasons: `. preemption: ..`, `. no new claims to deallocate, ..`
    body = body.str.replace(r"\. [\s\S]*$", "").str.strip_chars_end(". ")
    parts = (
        pl.when(old)
        .then(body.str.replace_all(r"\), ", ")\x1f"))
        .otherwise(body.str.replace_all(r", ([0-9]+ )", "\x1f$1"))
        .str.split("\x1f")
    )
    one = pl.col("part")
    counted, behind = r"^([0-9]{1,7}) (.*)$", r"^(.*) \(([0-9]{1,7})\)$"
    return (
        messages.select("message")
        .drop_nulls()
        .unique()
        .with_columns(parts.alias("part"), text.str.extract(_NEW, 1).cast(pl.Int64).alias("of"), old.alias("old"))
        .explode("part")
        .with_columns(
            pl.when("old").then(one.str.extract(behind, 1)).otherwise(one.str.extract(counted, 2)).alias("told"),
            pl.when("old").then(one.str.extract(behind, 2)).otherwise(one.str.extract(counted, 1)).alias("nodes"),
        )
        .select(
            "message",
            pl.coalesce("told", "part").alias("reason"),
            pl.col("nodes").cast(pl.Int64),
            "of",
        )
        .with_columns(_class(pl.col("reason")).alias("class"))
    )


def _class(reason: pl.Expr) -> pl.Expr:
    found = pl.lit("other")
    for name, form in reversed(_CLASSES):
        found = pl.when(reason.str.contains(form)).then(pl.lit(name)).otherwise(found)
    return found


def decisive(reasons: pl.LazyFrame) -> pl.LazyFrame:
    """The class that tells why a pod waits, for each message: message, class.

    Where the classes add up to more than the nodes, each node was told with all filters that it failed: then the class
    of most nodes counts.
    """
    rank = pl.col("class").replace_strict({name: at for at, name in enumerate(ORDER)}, return_dtype=pl.Int64)
    classes = reasons.group_by("message", "class").agg(pl.col("nodes").max().fill_null(0), pl.col("of").first())
    several = (pl.col("nodes").sum().over("message") > pl.col("of")).fill_null(False)
    return (
        classes.with_columns(rank=rank, most=pl.when(several).then(-pl.col("nodes")).otherwise(0))
        .sort("message", "most", "rank")
        .unique("message", keep="first", maintain_order=True)
        .select("message", "class")
    )
