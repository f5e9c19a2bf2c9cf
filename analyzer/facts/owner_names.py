"""Names the owner of an address at a moment, for rows of any frame and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from analyzer.facts.address_claims import LEVELS
from analyzer.frames import TIME

TOLD = ("kind", "namespace", "name", "uid", "node", "host_network", "known_from", "confidence", "contradicted")
"""Columns of address_owners that a join brings along, each with `owner_` before it."""

Owner = Mapping[str, Any]
"""A row of address_owners."""


def with_owners(rows: pl.DataFrame, owners: pl.DataFrame, address: str = "client", time: str = "time") -> pl.DataFrame:
    """The rows in their order with what is known of who had that address then: `owner_kind`, `owner_namespace` and so
    on, null where nobody is known. The most confident level that knows somebody at that moment counts; a row without a
    time has no owner. One sort and one pass for each level.
    """
    keyed = rows.select(address=pl.col(address).cast(pl.String), at=time).with_row_index("row")
    named = {name: pl.col(name).alias(f"owner_{name}") for name in TOLD}
    beginning = pl.lit(datetime(1970, 1, 1, tzinfo=UTC), TIME)
    left, parts = keyed.filter(pl.col("at").is_not_null()).sort("at"), []
    for level in LEVELS:
        own = owners.filter(pl.col("confidence") == level).select(
            "address", "until", *named.values(), since=pl.col("since").fill_null(beginning)
        )
        met = left.join_asof(
            own.sort("since"), left_on="at", right_on="since", by="address", strategy="backward", check_sortedness=False
        ).filter(pl.col("owner_kind").is_not_null(), pl.col("until").is_null() | (pl.col("at") < pl.col("until")))
        parts.append(met.select("row", *(f"owner_{name}" for name in TOLD)))
        left = left.join(met.select("row"), on="row", how="anti", maintain_order="left")
    found = keyed.select("row").join(pl.concat(parts), on="row", how="left", maintain_order="left").drop("row")
    return pl.concat([rows, found], how="horizontal")


def within(owners: pl.DataFrame, address: str, start: datetime | None, end: datetime | None) -> pl.DataFrame:
    """The owners that an address had in a stretch of time, in order: of the most confident level that knows any.

    Without times, whoever is the only owner of its level.
    """
    own = owners.filter(pl.col("address") == address).with_row_index("row")
    rows = own.select("row", "since", "until", "name", "confidence").rows(named=True)
    return own[[row["row"] for row in at_the_time(rows, start, end)]].drop("row")


def at_the_time(owners: Sequence[Owner], start: datetime | None, end: datetime | None) -> list[Owner]:
    """The same of rows, all of one address: few rows, but an address may stand in many findings."""
    if start is not None and end is not None:
        owners = [one for one in owners if not _before(one["until"], start) and not _after(one["since"], end)]
    for level in LEVELS:
        part = [one for one in owners if one["confidence"] == level]
        if part and (start is not None or len(part) == 1):
            return sorted(part, key=lambda one: (_nulls_first(one["since"]), _nulls_first(one["name"])))
    return []


def _before(until: datetime | None, start: datetime) -> bool:
    return until is not None and until <= start


def _after(since: datetime | None, end: datetime) -> bool:
    return since is not None and since > end


def _nulls_first(value: Any) -> tuple[Any, ...]:
    return () if value is None else (value,)


def label(owner: Owner) -> str:
    """An owner in words: `pod shop/web-1 on node n1`, `node n1 (shared by its host-network pods)`."""
    kind, namespace, name = owner["kind"], owner["namespace"], owner["name"]
    if kind == "node":
        return f"node {name}, host network" if owner["host_network"] else f"node {name}"
    if kind == "namespace":
        return f"namespace {namespace}"
    if kind == "endpoint":
        return f"an endpoint of service {namespace}/{name}"
    where = f" on node {owner['node']}" if kind == "pod" and owner["node"] else ""
    return f"{kind} {namespace}/{name}{where}"
