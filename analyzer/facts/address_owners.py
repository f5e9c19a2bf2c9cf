"""Who had an address when: addresses of pods are used again, so every owner has an interval."""

from __future__ import annotations

import polars as pl

from analyzer.facts.address_claims import LEVELS, SOURCES, claims
from analyzer.facts.contract import Fact, Frames
from analyzer.frames import AUDIT_EVENTS, TIME, Col, Table
from analyzer.frames.contract import PLACE, empty

TABLE = Table(
    "address_owners",
    "One row per address, owner and level of confidence, with the interval [since, until). Rows of one address and "
    "level do not overlap, unless what was read contradicts itself. `time` is the first record that tells it.",
    (
        *PLACE,
        Col("address", pl.String(), "The address, canonical text."),
        Col("kind", pl.String(), "pod, node, service, endpoint (a pod of a service) or namespace (a pod of it)."),
        Col("namespace", pl.String(), "Namespace of the owner; null for a node."),
        Col("name", pl.String(), "Name of the pod, the node or the service; null of a namespace."),
        Col("uid", pl.String(), "UID of the pod; null if not told."),
        Col("node", pl.String(), "Node of the pod, or the node itself; null if not told."),
        Col("host_network", pl.Boolean(), "A node whose address was told to be that of pods too: they share it."),
        Col("since", TIME, "From when on; null where nothing tells of a beginning."),
        Col("until", TIME, "Until when; null where nothing tells of an end."),
        Col("known_from", pl.String(), "What told it, joined by commas."),
        Col("confidence", pl.String(), "high, medium or low, by what told it."),
        Col("contradicted", pl.Boolean(), "Somebody else of the same level had the address within the same interval."),
    ),
)

_WHO = ["address", "level", "kind", "namespace", "name", "uid"]
_LANE = ["address", "level"]


def _derive(frames: Frames) -> pl.LazyFrame:
    told = _without_proxies(_whole_uids(claims(frames)))
    if told.is_empty():
        return empty(TABLE).lazy()
    told, shared = _on_nodes(told)
    owners = _spans(told, _deleted(frames))
    bounded = _bounded(owners)
    return (
        bounded.with_columns(
            confidence=pl.lit(list(LEVELS)).list.get(pl.col("level").cast(pl.UInt32)),
            host_network=(pl.col("kind") == "node") & pl.col("address").is_in(shared.implode()),
            node=pl.when(pl.col("kind") == "node").then("name").otherwise("node"),
        )
        .sort("address", "level", "first", "kind", "namespace", "name", "uid", nulls_last=True)
        .select(list(TABLE.schema))
        .lazy()
    )


def _whole_uids(told: pl.DataFrame) -> pl.DataFrame:
    """Claims without a pod's UID take that of the pod of this name at this address, where there is one only."""
    pod = ["address", "namespace", "name"]
    known = (
        told.filter(pl.col("kind") == "pod", pl.col("uid").is_not_null())
        .group_by(pod)
        .agg(pl.col("uid").min().alias("known"), pl.col("uid").n_unique().alias("many"))
    )
    met = told.join(known, on=pod, how="left", maintain_order="left")
    bare = (pl.col("kind") == "pod") & pl.col("uid").is_null()
    # Of several pods of one name, which one is meant is not known, and each has claims of its own.
    return (
        met.filter(~(bare & (pl.col("many") > 1)).fill_null(value=False))
        .with_columns(uid=pl.when(bare).then(pl.col("known")).otherwise("uid"))
        .drop("known", "many")
    )


def _without_proxies(told: pl.DataFrame) -> pl.DataFrame:
    """Without addresses from which several callers asked kube-apiserver by turns: a load balancer's or a tunnel's."""
    asked = pl.col("known_from") == "audit sourceIPs"
    spans = (
        told.filter(asked)
        .group_by("address", "kind", "namespace", "name", "uid")
        .agg(first=pl.col("time").min(), last=pl.col("time").max())
        .sort("address", "first")
    )
    nodes = spans.filter(pl.col("kind") == "node").sort("address", "first")
    same = pl.col("address") == pl.col("address").shift(1)
    by_turns = nodes.filter(same & (pl.col("first") <= pl.col("last").shift(1)))["address"].unique()
    return told.filter(~(asked & pl.col("address").is_in(by_turns.implode())))


def _on_nodes(told: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """The claims without those of pods at the address of their node (hostNetwork), and the addresses of these nodes."""
    nodes = (
        told.filter(pl.col("kind") == "node")
        .group_by("address", host="name")
        .agg(first=pl.col("time").min(), last=pl.col("time").max())
    )
    pods = told.with_row_index("row").filter(pl.col("kind") != "node")
    met = pods.join(nodes, on="address")
    inside = pl.col("time").is_between("first", "last") & pl.col("node").is_null()
    # What no kubelet nor controller says of an address gives way to the node that has it.
    weaker = pl.col("kind").is_in(["endpoint", "namespace"]) | (pl.col("level") > 0)
    folded = met.filter(
        (pl.col("node") == pl.col("host")).fill_null(value=False) | inside.fill_null(value=False) | weaker
    )
    left = told.with_row_index("row").filter(~pl.col("row").is_in(folded["row"].implode())).drop("row")
    pods_there = folded.filter(pl.col("kind") == "pod")["address"].unique()
    return left, pods_there


def _deleted(frames: Frames) -> pl.DataFrame:
    """When pods were gone: the kubelet deletes a pod for good once its containers and its network are (columns
    namespace, name, deleted)."""
    schema = pl.Schema({"namespace": pl.String(), "name": pl.String(), "deleted": TIME})
    if AUDIT_EVENTS not in frames:
        return pl.DataFrame(schema=schema)
    return (
        frames[AUDIT_EVENTS]
        .filter(
            pl.col("resource") == "pods",
            pl.col("verb") == "delete",
            pl.col("subresource").is_null(),
            pl.col("node").is_not_null(),
            pl.col("code").is_between(200, 299),
            pl.col("time").is_not_null(),
        )
        .select("namespace", "name", deleted="time")
        .sort("deleted")
        .collect()
    )


def _spans(told: pl.DataFrame, deleted: pl.DataFrame) -> pl.DataFrame:
    """One row per address, level and owner: first and last claim, begin, end (of the pod, by whatever tells it)."""
    alive = ~pl.col("over")
    owners = (
        told.sort("time", "source", "number", nulls_last=True)
        .group_by(_WHO, maintain_order=True)
        .agg(
            pl.col("time", "source", "number").first(),
            first=pl.col("time").min(),
            last=pl.coalesce(pl.col("time").filter(alive).max(), pl.col("time").min()),
            begin=pl.col("begin").min(),
            over=pl.col("time").filter(pl.col("over")).min(),
            node=pl.col("node").drop_nulls().first(),
            known_from=pl.col("known_from").unique().sort().str.join(", "),
        )
    )
    # A pod that is deleted while nothing was heard of it for a while ends there: the first deletion after `first`.
    ends = (
        owners.filter(pl.col("kind") == "pod", pl.col("first").is_not_null())
        .sort("first")
        .join_asof(
            deleted,
            left_on="first",
            right_on="deleted",
            by=["namespace", "name"],
            strategy="forward",
            check_sortedness=False,
        )
    )
    keyed = ends.select(*_WHO, "deleted")
    return owners.join(keyed, on=_WHO, how="left", nulls_equal=True, maintain_order="left").with_columns(
        end=pl.min_horizontal("over", "deleted")
    )


def _bounded(owners: pl.DataFrame) -> pl.DataFrame:
    """With since, until and contradicted. An owner keeps an address until it ends or another one has it."""
    ordered = owners.sort(*_LANE, "first", "last", "name", nulls_last=True)
    # A claim after the end is a copy of the object that was read late.
    last = pl.min_horizontal("last", "end")
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in _LANE).fill_null(value=False)
    lanes = ordered.with_columns(last=last, lane=(~same).cum_sum())
    lanes = lanes.with_columns(
        before=pl.col("last").cum_max().shift(1).over("lane"),
        ended=pl.col("end").cum_max().shift(1).over("lane"),
        following=pl.col("first").shift(-1).over("lane"),
    )
    against = (pl.col("first") <= pl.col("before")) | (pl.col("following") <= pl.col("last"))
    lanes = lanes.with_columns(contradicted=against.fill_null(value=False))
    begin = pl.min_horizontal("begin", "first")
    earliest = pl.max_horizontal("before", pl.when(pl.col("ended") <= pl.col("first")).then("ended"))
    later = pl.col("before").is_not_null()
    since = (
        pl.when(pl.col("begin").is_not_null())
        .then(pl.min_horizontal(pl.max_horizontal(begin, earliest), "first"))
        .when(later)
        .then("first")
    )
    lanes = lanes.with_columns(since=since)
    next_since = pl.col("since").shift(-1).over("lane")
    told_until = pl.when(next_since.is_not_null()).then(pl.max_horizontal("last", next_since))
    until = pl.when("contradicted").then(pl.coalesce("end", told_until)).otherwise(pl.min_horizontal("end", next_since))
    return lanes.with_columns(until=until)


ADDRESS_OWNERS = Fact(table=TABLE, needs_any=SOURCES, derive=_derive)
