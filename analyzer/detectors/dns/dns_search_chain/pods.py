"""Which pods the clients are, by the audit log.

A fact that tells who held an address at what time can take the place of this: `pods` is all that is asked of it.
"""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Frames
from analyzer.facts.workload_names import of_owner
from analyzer.frames import AUDIT_OBJECTS

_SCHEMA = {"client": pl.String, "namespace": pl.String, "pod": pl.String, "owner": pl.String}


def pods(frames: Frames, suffixes: pl.DataFrame) -> pl.DataFrame:
    """Client, namespace, pod and owner (`Deployment storefront`, null if unknown) of clients that are one pod.

    An address that several pods held, one after another or on the host's network, is told of none of them, nor is one
    whose search list (`suffixes`) is that of another namespace.
    """
    if AUDIT_OBJECTS not in frames:
        return pl.DataFrame(schema=_SCHEMA)
    whole = frames[AUDIT_OBJECTS].filter(pl.col("resource") == "pods", pl.col("name").is_not_null())
    held, owners = pl.collect_all(
        [
            whole.filter(pl.col("pod_ip").is_in(suffixes["client"].unique().implode()))
            .select("namespace", client="pod_ip", pod="name")
            .unique(),
            whole.filter(pl.col("owner_name").is_not_null())
            .group_by("namespace", pod="name")
            .agg(pl.col("owner_kind", "owner_name").sort_by("time", "source", "number").last()),
        ]
    )
    lists = suffixes.select("client", "namespace").drop_nulls().unique()
    named = of_owner(pl.col("owner_kind"), pl.col("owner_name")).struct
    owner = pl.concat_str(named.field("kind"), named.field("workload"), separator=" ")
    return (
        held.filter(pl.len().over("client") == 1)
        .join(lists, on=["client", "namespace"], how="semi")
        .join(owners, on=["namespace", "pod"], how="left")
        .select("client", "namespace", "pod", owner=owner)
        .sort("client")
    )
