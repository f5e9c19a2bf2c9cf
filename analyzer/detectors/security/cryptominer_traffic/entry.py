"""How the miner may have come in: who made its pod, and who ran commands in it before."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.security.cryptominer_traffic.operations import Operation
from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.callers import NODE
from analyzer.facts.contract import Frames
from analyzer.facts.owner_names import within
from analyzer.facts.requests import AUDIT_REQUESTS

MOST = 8
"""Requests that are shown."""
PODS_MOST = 20
"""Pods that are looked up: one operation's pods mostly have one workload."""

WAYS = pl.Schema(
    {
        "time": pl.Datetime("us", "UTC"),
        "source": pl.String(),
        "number": pl.Int64(),
        "pod": pl.String(),
        "did": pl.String(),
        "user": pl.String(),
        "source_ip": pl.String(),
        "agent": pl.String(),
    }
)


def entry(one: Operation, frames: Frames) -> pl.DataFrame:
    """Creations of the pods, and exec, attach and ephemeral containers in them until the end; WAYS."""
    if ADDRESS_OWNERS not in frames or AUDIT_REQUESTS not in frames:
        return pl.DataFrame(schema=WAYS)
    clients = list(one.clients[:PODS_MOST])
    owners = frames[ADDRESS_OWNERS].filter(pl.col("address").is_in(clients)).collect()
    pods = [within(owners, client, one.start, one.end) for client in clients]
    named = pl.concat(pods).filter(pl.col("kind") == "pod").select("namespace", "name").unique() if pods else owners
    if not named.height:
        return pl.DataFrame(schema=WAYS)
    commands = pl.col("subresource").is_in(["exec", "attach", "ephemeralcontainers"])
    made = (pl.col("verb") == "create") & pl.col("subresource").is_null()
    asked = frames[AUDIT_REQUESTS].filter(
        pl.col("resource") == "pods",
        commands | made,
        pl.col("caller") != NODE,
        pl.col("code").is_null() | (pl.col("code") < 400),
    )
    if one.end is not None:
        asked = asked.filter((pl.col("time") <= one.end).fill_null(value=True))
    found = asked.join(named.lazy(), on=["namespace", "name"], how="semi").select(
        *("time", "source", "number"),
        *(
            pl.concat_str("namespace", pl.lit("/"), "name").alias("pod"),
            pl.coalesce("subresource", "verb").alias("did"),
        ),
        *("user", "source_ip", "agent"),
    )
    return found.sort("time", "source", "number", nulls_last=True).head(MOST).collect()
