"""What came before a backlog: nodes deleted, DaemonSets written, pods that made place for others."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.workload.unschedulable_backlog.backlog import ON_A_NODE, RESOURCES, Backlog
from analyzer.detectors.workload.unschedulable_backlog.requested import Amounts, Asked, asked, lacking, of_pods
from analyzer.facts.changes import CHANGES
from analyzer.facts.contract import Frames
from analyzer.facts.requests import AUDIT_REQUESTS, FAILED, meant
from analyzer.facts.scheduling import SCHEDULING
from analyzer.facts.told_events import TOLD_EVENTS

BEFORE = timedelta(minutes=30)
"""How long before the first wait a DaemonSet may have been written."""

_GONE = ("RemovingNode", "DeletingNode")
"""Events of the node lifecycle controllers (pkg/controller/nodelifecycle, cloud-provider/controllers/nodelifecycle)."""


class Cause(Struct, frozen=True, kw_only=True):
    """`variant` names the sub-cause; the frames hold what was seen of it, with time, source, number and a name.

    `asked` says what each of the DaemonSets asks for, `pods` what pods that wait do; `lacking` is what the nodes lack.
    """

    variant: str
    nodes: pl.DataFrame
    daemonsets: pl.DataFrame
    preempted: pl.DataFrame
    asked: dict[str, Asked] = {}
    pods: dict[str, Amounts] = {}
    lacking: frozenset[str] = frozenset()

    @property
    def seen(self) -> bool:
        """Whether another record than the scheduler's tells of the cause."""
        return bool(self.nodes.height or self.daemonsets.height or self.preempted.height)

    @property
    def told(self) -> list[Asked]:
        """The DaemonSets whose requests a body tells."""
        return [one for one in self.asked.values() if one.requests is not None]

    @property
    def added(self) -> Amounts:
        """What they took on every node, together."""
        sums: Amounts = {}
        for one in self.told:
            for name, value in one.added.items():
                sums[name] = sums.get(name, 0.0) + max(value, 0.0)
        return sums

    @property
    def critical(self) -> list[Asked]:
        return [one for one in self.asked.values() if one.critical]


def cause_of(backlog: Backlog, frames: Frames) -> Cause:
    """The sub-cause of a backlog; the class of its reasons where none is seen."""
    nodes = _deleted(frames, backlog) if backlog.reason == ON_A_NODE else _none()
    resources = backlog.reason == RESOURCES
    daemonsets = _written(frames, backlog) if resources else _none()
    wants, short = asked(frames, daemonsets, backlog.onset), lacking(backlog)
    idle = [name for name, one in wants.items() if one.takes(short) is False]
    daemonsets = daemonsets.filter(~pl.col("name").is_in(idle))
    preempted = _preempted(frames, backlog) if resources else _none()
    if nodes.height:
        variant = "dead-node volume"
    elif backlog.cron:
        variant = "cron backlog"
    elif daemonsets.height:
        variant = "DaemonSet squeeze" + (" with preemption" if preempted.height else "")
    elif preempted.height:
        variant = "priority preemption"
    else:
        variant = backlog.reason
    return Cause(
        variant=variant,
        nodes=nodes,
        daemonsets=daemonsets,
        preempted=preempted,
        asked={name: one for name, one in wants.items() if name not in idle},
        pods=of_pods(frames, backlog) if daemonsets.height else {},
        lacking=frozenset(short),
    )


def _none() -> pl.DataFrame:
    schema = {"time": pl.Datetime("us", "UTC"), "source": pl.String(), "number": pl.Int64(), "name": pl.String()}
    return pl.DataFrame(schema=schema)


def _named(rows: list[pl.LazyFrame]) -> pl.DataFrame:
    kept = [row.select("time", "source", "number", "name") for row in rows]
    whole = pl.concat([_none().lazy(), *kept]).sort("time", "source", "number", nulls_last=True)
    return whole.unique("name", keep="first", maintain_order=True).collect()


def _deleted(frames: Frames, backlog: Backlog) -> pl.DataFrame:
    """Nodes that were deleted before the last of the waits began."""
    rows = []
    if AUDIT_REQUESTS in frames:
        gone = (pl.col("verb") == "delete") & (pl.col("resource") == "nodes") & (pl.col("code") < FAILED)
        rows.append(meant(frames[AUDIT_REQUESTS]).filter(gone, pl.col("subresource").is_null()))
    if TOLD_EVENTS in frames:
        rows.append(frames[TOLD_EVENTS].filter(pl.col("kind") == "Node", pl.col("reason").is_in(_GONE)))
    last = backlog.waits["start"].max()
    before = (pl.col("time") <= last) if last is not None else pl.lit(True)
    return _named([row.filter(before, pl.col("name").is_not_null()) for row in rows])


def _written(frames: Frames, backlog: Backlog) -> pl.DataFrame:
    """DaemonSets that were made or changed in the half hour before the first wait that lasted."""
    if CHANGES not in frames or backlog.onset is None:
        return _none()
    written = (pl.col("resource") == "daemonsets") & pl.col("verb").is_in(["create", "update", "patch"])
    near = pl.col("time").is_between(backlog.onset - BEFORE, backlog.onset)
    name = pl.concat_str("namespace", pl.lit("/"), pl.col("name").fill_null("(new)"))
    return _named([frames[CHANGES].filter(written, near).with_columns(name=name)])


def _preempted(frames: Frames, backlog: Backlog) -> pl.DataFrame:
    """Pods that were deleted for others from half an hour before the first wait to the end."""
    rows = frames[SCHEDULING].filter(pl.col("what") == "preempted")
    if backlog.onset is not None and backlog.end is not None:
        rows = rows.filter(pl.col("time").is_between(backlog.onset - BEFORE, backlog.end))
    return _named([rows.with_columns(name=pl.concat_str("namespace", pl.lit("/"), "pod"))])
