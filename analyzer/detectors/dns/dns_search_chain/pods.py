"""Which pods the clients are."""

from __future__ import annotations

import polars as pl

from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.contract import Frames
from analyzer.facts.pod_owners import POD_OWNERS
from analyzer.frames.contract import empty

NONE = pl.DataFrame(schema={"client": pl.String, "namespace": pl.String, "pod": pl.String, "owner": pl.String})


def pods(frames: Frames, suffixes: pl.DataFrame) -> pl.DataFrame:
    """Client, namespace, pod and owner (`Deployment storefront`, null if unknown) of clients that are one pod.

    An address that several pods held, one after another or on the host's network, is told of none of them, nor is one
    whose search list (`suffixes`) is that of another namespace.
    """
    held, owners = (frames.get(fact, empty(fact.table).lazy()) for fact in (ADDRESS_OWNERS, POD_OWNERS))
    lists = suffixes.select("client", "namespace").drop_nulls().unique().lazy()
    pod = pl.col("kind") == "pod"
    owner = pl.concat_str("workload_kind", "workload", separator=" ")
    return (
        held.filter(pod | pl.col("host_network"), pl.col("name").is_not_null())
        .select("namespace", client="address", pod="name")
        .unique()
        .filter(pl.len().over("client") == 1)
        .join(lists, on=["client", "namespace"], how="semi")
        .join(owners.select("namespace", "pod", owner=owner), on=["namespace", "pod"], how="left")
        .select(NONE.columns)
        .collect()
        .sort("client")
    )
