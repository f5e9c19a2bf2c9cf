"""Timeouts by container: how many, how dense, and which of them the node or an end explains."""

from __future__ import annotations

import polars as pl
from msgspec import Struct

from analyzer.detectors.node.exec_probe_timeout.witnesses import SESSION
from analyzer.facts.workload_names import of_pod

UNKNOWN = "\x01"
"""Begins the group of containers whose pods are not told: what runs the same command belongs together."""

MOST = 10
"""Workloads that have a finding each: in a cluster of builds each pod is one."""

STREAM = ["key", "channel", "probe", "command"]
"""What one probe of one container says on one channel."""


class Limits(Struct, frozen=True, kw_only=True):
    """Settings of the detector."""

    timeouts: int
    periods: int
    period: float
    hourly: int
    together: int


class Probed(Struct, frozen=True, kw_only=True):
    """One container name of one workload, with the rows of its containers. `persisting`: processes that the runtime saw
    run on. `period`: None where timeouts lie further apart than any that is believed: probes between ended in time."""

    subject: str
    workload: str
    container: str
    rows: pl.DataFrame
    counts: pl.DataFrame
    period: float | None

    @property
    def timeouts(self) -> int:
        """Of each container what the channel tells that tells of most."""
        return int(self.counts["timeouts"].sum())

    @property
    def most(self) -> int:
        return int(self.counts["timeouts"].sort()[-1])

    @property
    def containers(self) -> int:
        return self.counts.height

    @property
    def channels(self) -> list[str]:
        return self.rows["channel"].unique().sort().to_list()

    @property
    def persisting(self) -> int:
        return self.rows.filter(pl.col("channel") == SESSION).height

    @property
    def timeout(self) -> float | None:
        found = self.rows["timeout"].drop_nulls().mode().sort()
        return float(found[0]) if found.len() else None

    @property
    def probes(self) -> list[str]:
        return self.rows["probe"].drop_nulls().unique().sort().to_list()

    @property
    def pods(self) -> list[str]:
        return self.rows["pod"].drop_nulls().unique().sort().to_list()


def keyed(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with `key` of the container, `workload`, and `group`: container name and workload."""
    pod = rows["pod"]
    name = rows.select(pod.str.replace(r"^.*/", "").alias("name"))
    short = name.select(of_pod(pl.col("name")).struct.field("workload")).to_series()
    workload = pod.str.extract(r"^(.*/)", 1).fill_null("") + short
    return rows.with_columns(workload.alias("workload")).with_columns(
        key=pl.coalesce(pl.col("pod") + "\x00" + pl.col("container").fill_null(""), "container_id", pl.lit("?")),
        group=pl.coalesce(
            pl.col("workload") + "\x00" + pl.col("container").fill_null(""),
            pl.lit(UNKNOWN) + pl.col("command").drop_nulls().first().over("container_id"),
            "container_id",
            pl.lit("?"),
        ),
    )


def probed(rows: pl.DataFrame, limits: Limits) -> tuple[list[Probed], int]:
    """Workloads with a container whose timeouts are dense enough, those with most timeouts first, and how many more
    there are."""
    dense = rows.join(_dense(rows, limits), on="group", how="semi", maintain_order="left")
    counts = dense.group_by("group", "key", "channel").agg(pl.col("weight").sum())
    of_each = counts.group_by("group", "key").agg(pl.col("weight").max()).group_by("group").agg(pl.col("weight").sum())
    worst = of_each.sort("weight", "group", descending=[True, False]).head(MOST)["group"]
    shown = dense.filter(pl.col("group").is_in(worst.implode()))
    found = [_one(str(group), own, limits.period) for (group,), own in shown.group_by("group", maintain_order=True)]
    return sorted(found, key=lambda one: (-one.timeouts, one.subject)), of_each.height - worst.len()


def period_of(stream: pl.DataFrame) -> float | None:
    """The usual distance of timeouts that follow each other at once: the lower quartile; None for one."""
    apart = (stream["time"].diff().dt.total_microseconds() / 1e6).drop_nulls()
    found = apart.filter(apart >= 1).quantile(0.25, "lower")
    return float(found) if found is not None else None


def _dense(rows: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """The groups that hold enough timeouts within so many periods of a stream, or within an hour."""
    now = pl.col("time")
    apart = pl.col("time").diff().dt.total_microseconds() / 1e6
    streams = rows.sort("time").with_columns(
        period=apart.filter(apart >= 1).quantile(0.25, "lower").over(STREAM).fill_null(0.0).clip(0, limits.period),
        few=(now.shift(1 - limits.timeouts) - now).dt.total_microseconds().over(STREAM),
        many=(now.shift(1 - limits.hourly) - now).dt.total_microseconds().over(STREAM),
    )
    enough = (pl.col("few") <= limits.periods * 1e6 * pl.col("period")) | (pl.col("many") <= 3600e6)
    return streams.filter(enough.fill_null(False)).select("group").unique()


def _one(group: str, own: pl.DataFrame, most: float) -> Probed:
    streams = [part.sort("time") for part in own.partition_by(STREAM, maintain_order=True)]
    counts = (
        own.group_by("key", "channel")
        .agg(pl.col("weight").sum())
        .group_by("key")
        .agg(timeouts=pl.col("weight").max())
        .sort(["timeouts", "key"], descending=[True, False])
    )
    workload, _, container = group.partition("\x00")
    longest = max(streams, key=lambda one: one.height)
    period = period_of(longest)
    name = f"{workload} container {container}" if container else workload
    if workload.startswith(UNKNOWN):
        ids, command = own["container_id"].drop_nulls().unique().sort().to_list(), workload.removeprefix(UNKNOWN)
        name = f"container {ids[0][:12]}" if len(ids) == 1 else f"{len(ids)} containers that run {command}"
    return Probed(
        subject=name,
        workload=workload,
        container=container,
        rows=own.sort("time", "source", "number"),
        counts=counts,
        period=period if period is not None and period <= most else None,
    )
