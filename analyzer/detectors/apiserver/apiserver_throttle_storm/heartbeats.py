"""Heartbeats of nodes and leader elections that the storm hit, and how long each went without a renewal."""

from __future__ import annotations

import polars as pl
from msgspec import Struct

from analyzer.detectors.apiserver.apiserver_throttle_storm.load import AGENT, Window
from analyzer.detectors.apiserver.apiserver_throttle_storm.priority import VITAL
from analyzer.model import Column, EvidenceTable, Figure

NODE_LEASE, STATUS, ELECTION, OTHER = "node lease", "node status", "leader election", "other of nodes and control plane"

DURATION = {NODE_LEASE: 40.0, ELECTION: 15.0}
"""Seconds after which a lease that nobody renews is over: nodeLeaseDurationSeconds (kubernetes
`pkg/kubelet/apis/config/v1beta1/defaults.go`), LeaseDuration (`component-base/config/v1alpha1/defaults.go`)."""

LOCKS = ("configmaps", "endpoints")
"""Objects that held the record of a leader election before there were leases (client-go `tools/leaderelection`)."""

KIND = (
    pl.when((pl.col("resource") == "leases") & (pl.col("namespace") == "kube-node-lease"))
    .then(pl.lit(NODE_LEASE))
    .when(pl.col("resource") == "leases")
    .then(pl.lit(ELECTION))
    .when(pl.col("resource").is_in(LOCKS) & pl.col("verb").is_in(["get", "update"]) & VITAL)
    .then(pl.lit(ELECTION))
    .when(pl.col("resource") == "nodes")
    .then(pl.lit(STATUS))
    .otherwise(pl.lit(OTHER))
    .alias("kind")
)


class Heartbeats(Struct, frozen=True):
    """`rows`: one per kind with rejected, objects, longest (seconds without a renewal, null if unknown) and over."""

    rows: pl.DataFrame

    @property
    def over(self) -> int:
        """Leases that were not renewed within their duration."""
        return int(self.rows["over"].sum())


def heartbeats(requests: pl.LazyFrame, window: Window, agent: str) -> Heartbeats:
    """Those of others than `agent`. A renewal is a write to the lease that was served.

    The time without one runs from the last renewal before a rejection to the first after it; where none comes after it,
    to the last of `requests`, which reach ten minutes beyond the window where the log does.
    """
    keys = ["kind", "namespace", "name"]
    hit = window.rejected.lazy().with_columns(AGENT, KIND).filter(VITAL, pl.col("agent") != agent)
    objects = hit.group_by(keys).agg(pl.len().alias("rejected"))
    renewed = (
        requests.filter(
            pl.col("resource").is_in(["leases", *LOCKS]),
            pl.col("verb").is_in(["update", "patch", "create"]),
            pl.col("code").is_between(200, 299),
        )
        .with_columns(KIND)
        .join(objects.select(keys), on=keys, how="semi", nulls_equal=True)
    )
    end = requests.select(pl.col("time").max().alias("end"))
    gaps = (
        renewed.select(*keys, "time")
        .sort("time")
        .with_columns(pl.col("time").shift(-1).over(keys).alias("next"))
        .join(end, how="cross")
        .with_columns(pl.coalesce("next", "end").alias("next"))
        .filter(pl.col("time") <= window.end, pl.col("next") >= window.start)
        .group_by(keys)
        .agg(((pl.col("next") - pl.col("time")).max().dt.total_microseconds() / 1e6).alias("longest"))
    )
    duration = pl.col("kind").replace_strict(DURATION, default=None, return_dtype=pl.Float64)
    rows = (
        objects.join(gaps, on=keys, how="left", nulls_equal=True)
        .with_columns((pl.col("longest") > duration).fill_null(False).alias("over"))
        .group_by("kind")
        .agg(
            pl.col("rejected").sum().cast(pl.Int64),
            pl.len().cast(pl.Int64).alias("objects"),
            pl.col("longest").max().round(6),
            pl.col("over").sum().cast(pl.Int64),
        )
        .sort(["rejected", "kind"], descending=[True, False])
        .collect()
    )
    return Heartbeats(rows)


def figures(found: Heartbeats) -> tuple[Figure, ...]:
    """Only where heartbeats were hit: elsewhere a zero says nothing."""
    if not found.rows.height:
        return ()
    counts = (
        ("rejected heartbeats and leader elections", int(found.rows["rejected"].sum()), "requests"),
        ("leases not renewed in time", found.over, "leases"),
    )
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in counts)


def table(found: Heartbeats) -> tuple[EvidenceTable, ...]:
    if not found.rows.height:
        return ()
    columns = (
        Column(name="kind"),
        Column(name="rejected", unit="requests"),
        Column(name="objects", unit="objects"),
        Column(name="longest time without a renewal", unit="seconds"),
        Column(name="duration of such a lease", unit="seconds"),
        Column(name="not renewed in time", unit="leases"),
    )
    return (
        EvidenceTable(
            caption="Heartbeats and leader elections among the rejected",
            columns=columns,
            rows=tuple(
                (row["kind"], row["rejected"], row["objects"], row["longest"], DURATION.get(row["kind"]), row["over"])
                for row in found.rows.rows(named=True)
            ),
        ),
    )
