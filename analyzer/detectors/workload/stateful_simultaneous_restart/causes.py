"""Which write preceded a restart: of the StatefulSet, or of the custom resource that an operator makes it from."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.workload.stateful_simultaneous_restart.groups import Group
from analyzer.facts.change_ledger import CHANGE_LEDGER
from analyzer.facts.contract import Frames
from analyzer.facts.requests import AUDIT_REQUESTS, meant
from analyzer.frames import AUDIT_OBJECTS, TIME

BUILT_IN = ("apps", "batch", "autoscaling", "policy", "extensions", "")
"""API groups of Kubernetes itself without a dot (staging/src/k8s.io/api); its others end in .k8s.io."""

MOMENT = timedelta(seconds=1)
"""Clocks of the API server and of a kubelet differ by that much."""

LOOP = 20
"""Writes of one actor to one custom resource from which they are its loop (status in the object itself), no change."""

TEMPLATE, CUSTOM = "template", "custom resource"


class Cause(Struct, frozen=True, kw_only=True):
    """The last write before the first stop. `sure`: it is of the workload itself, or of what owns it."""

    what: str
    resource: str
    name: str
    actor: str
    agent: str
    time: datetime
    source: str
    number: int
    sure: bool


def writes(frames: Frames) -> pl.DataFrame:
    """Writes of StatefulSets and of custom resources (time, source, number, what, namespace, resource, name, actor,
    agent, scaled: a change of the number of replicas alone)."""
    columns = ("time", "source", "number", "what", "namespace", "resource", "name", "actor", "agent", "scaled")
    types: dict[str, pl.DataType] = {"time": TIME, "number": pl.Int64(), "scaled": pl.Boolean()}
    schema = {name: types.get(name, pl.String()) for name in columns}
    parts = []
    if CHANGE_LEDGER in frames:
        changed = pl.col("replicas_before") != pl.coalesce("replicas_after", "replicas_asked")
        own = frames[CHANGE_LEDGER].filter(
            pl.col("resource") == "statefulsets", pl.col("verb").is_in(["update", "patch"])
        )
        parts.append(
            own.with_columns(
                what=pl.lit(TEMPLATE),
                scaled=(pl.col("subresource") == "scale").fill_null(False) | changed.fill_null(False),
            ).select(columns)
        )
    if AUDIT_REQUESTS in frames:
        group = pl.col("api_group")
        custom = ~group.is_in(BUILT_IN) & group.str.contains(".", literal=True) & ~group.str.ends_with(".k8s.io")
        written = meant(frames[AUDIT_REQUESTS]).filter(
            pl.col("verb").is_in(["update", "patch"]),
            custom.fill_null(False),
            pl.col("subresource").is_null(),
            pl.col("code").is_between(200, 299),
            pl.col("time").is_not_null(),
            pl.len().over("user", "resource", "namespace", "name") < LOOP,
        )
        parts.append(written.with_columns(what=pl.lit(CUSTOM), actor="user", scaled=pl.lit(False)).select(columns))
    return pl.concat(parts).sort("time", "source", "number").collect() if parts else pl.DataFrame(schema=schema)


def parents(frames: Frames) -> pl.DataFrame:
    """Custom resources that own StatefulSets, by their owner references: namespace, name, parent."""
    if AUDIT_OBJECTS not in frames:
        return pl.DataFrame(schema={"namespace": pl.String(), "name": pl.String(), "parent": pl.String()})
    told = frames[AUDIT_OBJECTS].filter(pl.col("resource") == "statefulsets", pl.col("owner_name").is_not_null())
    return told.select("namespace", "name", parent="owner_name").unique().collect()


def counts(frames: Frames) -> pl.DataFrame:
    """Numbers of replicas in bodies of StatefulSets: namespace, name, time, replicas."""
    if AUDIT_OBJECTS not in frames:
        return pl.DataFrame(
            schema={"namespace": pl.String(), "name": pl.String(), "time": TIME, "replicas": pl.Int64()}
        )
    told = frames[AUDIT_OBJECTS].filter(
        pl.col("resource") == "statefulsets", pl.col("replicas").is_not_null(), pl.col("time").is_not_null()
    )
    return told.select("namespace", "name", "time", "replicas").collect()


def cause_of(group: Group, written: pl.DataFrame, above: pl.DataFrame, lookback: timedelta) -> Cause | None:
    """The last write of the template, else of a custom resource, in the time before the first stop."""
    near = written.filter(
        pl.col("namespace") == group.namespace,
        pl.col("time").is_between(group.start - lookback, group.start + MOMENT),
        ~pl.col("scaled"),
    )
    owners = above.filter(pl.col("namespace") == group.namespace, pl.col("name") == group.workload)["parent"].to_list()
    own = near.filter(pl.col("what") == TEMPLATE, pl.col("name") == group.workload)
    custom = near.filter(pl.col("what") == CUSTOM, pl.col("name").is_in([*owners, group.workload]))
    # An operator mostly names what it makes after its resource.
    alike = near.filter(pl.col("what") == CUSTOM).filter(
        pl.lit(group.workload).str.contains(pl.col("name"), literal=True) & (pl.col("name").str.len_chars() > 2)
    )
    for rows, sure in ((custom, True), (own, True), (alike, False)):
        if rows.height:
            return _cause(rows, sure)
    return None


def scaled(group: Group, written: pl.DataFrame, lookback: timedelta) -> bool:
    """Whether somebody changed the number of replicas alone, shortly before."""
    near = pl.col("time").is_between(group.start - lookback, group.start + MOMENT)
    same = (pl.col("namespace") == group.namespace) & (pl.col("name") == group.workload)
    return written.filter(near, same, "scaled").height > 0


def _cause(rows: pl.DataFrame, sure: bool) -> Cause:
    row = rows.row(-1, named=True)
    return Cause(
        what=row["what"],
        resource=row["resource"] or "",
        name=row["name"] or "",
        actor=row["actor"] or "",
        agent=row["agent"] or "",
        time=row["time"],
        source=row["source"],
        number=row["number"],
        sure=sure,
    )
