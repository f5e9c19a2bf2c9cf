"""Pods that were deleted, with the address that they had and for how long it was nobody else's."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.facts import workload_names
from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.contract import Frames
from analyzer.facts.endpoint_writes import ENDPOINT_WRITES
from analyzer.facts.pod_life import POD_LIFE

POD = ["namespace", "pod"]
ENDING = ["namespace", "pod", "address"]


def asked(frames: Frames) -> pl.DataFrame:
    """Records that say that a pod shall end: deletions by whomever but its kubelet, and evictions."""
    return (
        frames[POD_LIFE].filter(pl.col("what").is_in(["deleted", "evicted"])).sort("time", "source", "number").collect()
    )


def addresses(frames: Frames) -> pl.DataFrame:
    """Every pod's addresses with its workload: address, namespace, pod, workload_kind, workload, node, since, until,
    uid."""
    known = frames[POD_LIFE].select(*POD, kind="workload_kind", known="workload").unique(POD, keep="first")
    named = workload_names.of_pod(pl.col("pod")).struct
    return (
        frames[ADDRESS_OWNERS]
        .filter(pl.col("kind") == "pod", ~pl.col("contradicted"))
        .rename({"name": "pod"})
        .join(known.rename({"kind": "known_kind"}), on=POD, how="left")
        .with_columns(
            workload_kind=pl.when(pl.col("known").is_not_null()).then("known_kind").otherwise(named.field("kind")),
            workload=pl.coalesce("known", named.field("workload")),
        )
        .select("address", *POD, "workload_kind", "workload", "node", "since", "until", "uid")
        .collect()
    )


def endings(deleted: pl.DataFrame, owned: pl.DataFrame, window: timedelta) -> pl.DataFrame:
    """One row per pod, life and address: deleted (time, source, number of the first record of it), until when what goes
    there is meant for it: the next owner's beginning, and `window` after at the most."""
    met = deleted.select("time", "source", "number", *POD).join(owned, on=POD)
    inside = (pl.col("since").is_null() | (pl.col("since") <= pl.col("time"))) & (
        pl.col("until").is_null() | (pl.col("time") <= pl.col("until"))
    )
    first = (
        met.filter(inside)
        .sort("time", "source", "number")
        .unique([*ENDING, "since"], keep="first", maintain_order=True)
        .rename({"time": "deleted"})
        .with_row_index("ending")
    )
    others = owned.filter(pl.col("since").is_not_null()).select("address", other="pod", other_uid="uid", begins="since")
    following = (
        first.select("ending", "address", "pod", "uid", "deleted")
        .join(others, on="address")
        # A StatefulSet gives the name to the next one.
        .filter(
            (pl.col("other") != pl.col("pod")) | (pl.col("other_uid") != pl.col("uid")).fill_null(False),
            pl.col("begins") > pl.col("deleted"),
        )
        .group_by("ending")
        .agg(pl.col("begins").min())
    )
    return (
        first.join(following, on="ending", how="left", maintain_order="left")
        .with_columns(bound=pl.min_horizontal(pl.col("deleted") + window, "begins"))
        .drop("begins", "since", "until", "uid")
    )


def with_removals(ended: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """With `removed`: the first write after the deletion of an EndpointSlice or Endpoints that held the address, in
    which it is no longer ready; where no body told of it, of one whose Service has the workload's name. Null where
    nothing tells."""
    none = pl.lit(None, ended.schema["deleted"])
    if ENDPOINT_WRITES not in frames:
        return ended.with_columns(removed=none)
    writes = frames[ENDPOINT_WRITES].collect()
    place = ["resource", "namespace", "name"]
    held = (
        writes.explode("addresses", empty_as_null=True)
        .filter(pl.col("addresses").is_not_null())
        .group_by(*place, address="addresses")
        .agg(told=pl.col("time").min())
    )
    later = writes.select(*place, "service", "ready", written="time")
    # A body says who is in it; without one the names of Service and workload are mostly the same.
    by_body = (
        ended.select("ending", "namespace", "address", "deleted", "bound")
        .join(held, on=["namespace", "address"])
        .filter(pl.col("told") <= pl.col("deleted"))
        .join(later, on=place)
        # Written for others meanwhile: pods that come are put in one by one.
        .filter(~pl.col("ready").list.contains(pl.col("address")))
    )
    bare = ended.join(held.select("namespace", "address").unique(), on=["namespace", "address"], how="anti")
    by_name = bare.select("ending", "namespace", "deleted", "bound", service="workload").join(
        later, on=["namespace", "service"]
    )
    after = (pl.col("written") > pl.col("deleted")) & (pl.col("written") < pl.col("bound"))
    body, name = (
        part.filter(after).group_by("ending").agg(pl.col("written").min().alias(told))
        for part, told in ((by_body, "by_body"), (by_name, "by_name"))
    )
    return (
        ended.join(body, on="ending", how="left", maintain_order="left")
        .join(name, on="ending", how="left", maintain_order="left")
        .with_columns(removed=pl.coalesce("by_body", "by_name"))
        .drop("by_body", "by_name")
    )
