"""The ends of links: findings and observations, each with its time and the entities that it is about."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from analyzer.model import CauseEnd

SESSION = timedelta(minutes=5)
"""Records of one kind about the same with more between them are two observations."""

MOST_SIGNS = 5_000
"""Observations of one kind that are compared with findings, the earliest; only those about an entity of a finding."""

COLUMNS = ("time", "source", "number", "who", "what", "count", "keys")
"""What the frame of a witness holds: a record's place, its subject and predicate in words, how many occurrences it
stands for, and its entities as a list of keys."""

_ADDRESS = r"^[0-9.]+$|:.*:"
_IS_ADDRESS = _ADDRESS


class Sign(Struct, frozen=True, kw_only=True):
    """One end of a link before it is one. Two are joined by a key that both have, an entity as `kind:name`.

    `kind` is the detector of a finding, or the kind of an observation. An observation stands for `count` records about
    `who` from `time` to `until`; `end` names the first, `source` is its input, and `where` its kind in words.
    """

    kind: str
    time: datetime
    until: datetime
    keys: frozenset[str]
    end: CauseEnd
    who: str = ""
    what: str = ""
    source: str = ""
    where: str = ""
    count: int = 1

    @property
    def is_finding(self) -> bool:
        return self.end.kind == "finding"


def key(kind: str, name: str) -> str:
    """The entity of that kind and name. A node goes by its name up to the first dot: logs, Events and requests differ
    in the domain."""
    if kind.endswith("node"):
        name = (name if re.search(_IS_ADDRESS, name) else name.split(".", 1)[0]).lower()
    return f"{kind}:{name}"


def keyed(kind: str, name: pl.Expr) -> pl.Expr:
    """`key` for a column; null where the name is."""
    if kind.endswith("node"):
        whole = name.str.contains(_ADDRESS)
        name = pl.when(whole).then(name).otherwise(name.str.extract(r"^([^.]*)", 1)).str.to_lowercase()
    return pl.concat_str(pl.lit(f"{kind}:"), name)


def keys(*each: pl.Expr) -> pl.Expr:
    """The column `keys` of a witness."""
    return pl.concat_list(*each).list.drop_nulls().alias("keys")


def observed(kind: str, where: str, frame: pl.LazyFrame, wanted: Collection[str]) -> list[Sign]:
    """The observations that a witness's frame holds about wanted entities, in order of time: one for each subject and
    predicate until nothing more is told for SESSION."""
    if not wanted:
        return []
    about = ["who", "what"]
    told = (
        frame.select(COLUMNS)
        .filter(pl.col("time").is_not_null(), pl.col("who").is_not_null())
        .with_row_index("row")
        .collect()
        .lazy()
    )
    named = told.select("row", "keys").explode("keys", empty_as_null=True)
    about_them = named.filter(pl.col("keys").is_in(pl.Series(sorted(wanted), dtype=pl.String).implode()))
    rows = (
        told.join(about_them, on="row", how="semi")
        .sort("time", "source", "number")
        .with_columns(late=(pl.col("time").diff().over(about) > SESSION).fill_null(value=False))
        .with_columns(session=pl.col("late").cum_sum().over(about))
        .group_by(*about, "session", maintain_order=True)
        .agg(
            pl.col("time", "source", "number").first(),
            until=pl.col("time").last(),
            count=pl.col("count").sum(),
            keys=pl.col("keys").explode(empty_as_null=True).unique(),
        )
        .head(MOST_SIGNS)
        .collect()
    )
    return [
        Sign(
            kind=kind,
            time=row["time"],
            until=row["until"],
            keys=frozenset(row["keys"]),
            end=CauseEnd(kind="observation", id=f"{row['source']}:{row['number']}", text=""),
            who=row["who"],
            what=row["what"],
            source=row["source"],
            where=where,
            count=row["count"],
        )
        for row in rows.iter_rows(named=True)
    ]
