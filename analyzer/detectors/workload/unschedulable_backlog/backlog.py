"""Waits that belong together, and from when on they are a backlog."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.detectors.workload.unschedulable_backlog.growth import growth, peak_of
from analyzer.facts.audit_windows import listed

CRON = "CronJob"
RESOURCES = "resources"
ON_A_NODE = "volume on a node"
GANG = "gang"

APART = 300
"""Seconds without a wait after which another backlog begins: the scheduler tries all pods again within five minutes
(pkg/scheduler/internal/queue, DefaultPodMaxInUnschedulablePodsDuration)."""


class Limits(Struct, frozen=True, kw_only=True):
    """Thresholds; see the detector's settings."""

    seconds: float
    brief: float
    pods: int
    periods: int


class Backlog(Struct, frozen=True, kw_only=True):
    """Waits of one workload, or of all workloads for which the nodes are too small; sorted by start.

    `onset` is when the first wait began that was not brief; `peak` is how many waited at once; `period` and `slope`
    (pods per period) are those of a CronJob, else None.
    """

    waits: pl.DataFrame
    reason: str
    onset: datetime | None
    peak: int
    period: float | None
    slope: float | None

    @property
    def workloads(self) -> list[str]:
        counts = self.waits.group_by("owner").len().sort(["len", "owner"], descending=[True, False])
        return counts["owner"].to_list()

    @property
    def subject(self) -> str:
        return self.workloads[0] if len(self.workloads) == 1 else f"{self.reason} ({len(self.workloads)} workloads)"

    @property
    def names(self) -> str:
        return listed(self.workloads)

    @property
    def cron(self) -> bool:
        return self.waits["workload_kind"][0] == CRON and len(self.workloads) == 1

    @property
    def start(self) -> datetime | None:
        return self.waits["start"].min()  # type: ignore[return-value]  # untyped by polars

    @property
    def end(self) -> datetime | None:
        return self.waits["end"].max() if self.start else None  # type: ignore[return-value]

    @property
    def waiting(self) -> int:
        """How many still waited at the end of the evidence."""
        return int(self.waits["open"].sum())


def grouped(waits: pl.DataFrame, limits: Limits) -> tuple[list[Backlog], pl.DataFrame]:
    """Waits that belong together, most pods first, and the waits that do not count.

    What waits for resources waits for the same nodes, so it is one group; but the runs of a CronJob, and whatever waits
    for another reason, are a matter of their workload. Where nothing of a group waited for a while, another begins,
    but for CronJobs, which wait run by run. Waits that a new node ended, or that a gang scheduler holds back
    on purpose, are not counted.
    """
    owner = pl.concat_str(pl.col("namespace"), pl.lit("/"), pl.col("workload"), ignore_nulls=True)
    shared = (pl.col("class") == RESOURCES) & (pl.col("workload_kind") != CRON)
    named = waits.with_columns(owner=owner).with_columns(
        group=pl.when(shared).then(pl.lit("\x00")).otherwise(pl.concat_str("owner", pl.lit("\x00"), "class"))
    )
    spared = pl.col("ordered") | (pl.col("class") == GANG)
    counted = named.filter(~spared).sort("start", "namespace", "pod")
    lasted = pl.col("end").cum_max().shift(1).over("group")
    apart = ((pl.col("start") - lasted).dt.total_seconds() > APART) & (pl.col("workload_kind") != CRON)
    parts = counted.with_columns(part=apart.fill_null(False).cum_sum().over("group")).group_by(
        "group", "part", maintain_order=True
    )
    found = [_backlog(rows, limits) for _, rows in parts]
    return sorted(found, key=lambda one: (-one.waits.height, one.subject)), named.filter(spared)


def _backlog(rows: pl.DataFrame, limits: Limits) -> Backlog:
    lasting = rows.filter(pl.col("open") | (pl.col("seconds") >= limits.brief))
    onset = (lasting if lasting.height else rows)["start"].min()
    period, slope = growth(rows) if rows["workload_kind"][0] == CRON else (None, None)
    return Backlog(
        waits=rows,
        reason=rows["class"][0],
        onset=onset,  # type: ignore[arg-type]  # untyped by polars
        peak=peak_of(rows),
        period=period,
        slope=slope,
    )


def passes(backlog: Backlog, limits: Limits) -> bool:
    """Long, many, or growing: the median of what waited more than briefly, the most at once, the runs of a CronJob."""
    long = backlog.waits.filter(pl.col("seconds") >= limits.brief)["seconds"].median()
    if long is not None and long >= limits.seconds:  # type: ignore[operator]  # untyped by polars
        return True
    growing = backlog.slope is not None and backlog.slope > 0 and backlog.waits["due"].n_unique() >= limits.periods
    return backlog.peak >= limits.pods or growing
