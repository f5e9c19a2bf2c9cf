"""Victims that belong together: those of a node's restarts, those of a workload that does not end in time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.detectors.node.termination_sigkill.kills import EXCEEDED, RESTART
from analyzer.detectors.node.termination_sigkill.spared import exceeded_events
from analyzer.facts.container_ends import KILLED
from analyzer.facts.contract import Frames
from analyzer.facts.kubelet_starts import KUBELET_STARTS
from analyzer.facts.workload_names import of_pod
from analyzer.frames import empty

CERTIFICATE = "certificate restarts"


class Group(Struct, frozen=True, kw_only=True):
    """One finding. `rows`: victims as `judged` gives them; `starts`: the kubelet's starts that it is about;
    `all_starts`: every start of the node's kubelet but those of a boot; `events`: those of exceeded grace."""

    variant: str
    subject: str
    rows: pl.DataFrame
    starts: pl.DataFrame
    all_starts: pl.DataFrame
    events: pl.DataFrame

    @property
    def pods(self) -> int:
        named = self.rows.select(pl.coalesce("pod", "container_id")).to_series().to_list()
        return len({*named, *self.events["pod"].to_list()})

    @property
    def lost(self) -> float:
        return round(float(self.rows["lost"].fill_null(0).sum()), 6)

    @property
    def certificates(self) -> int:
        return self.starts.filter(pl.col("after") == "certificate").height

    @property
    def stories(self) -> tuple[int, ...]:
        """A restart that cuts grace short (23), restarts for certificates (24); a process that is deaf is neither."""
        cut, renewed = self.variant == RESTART, self.variant == CERTIFICATE or self.certificates > 0
        return (*([23] if cut else []), *([24] if renewed and self.variant != EXCEEDED else []))

    @property
    def for_certificates(self) -> str:
        return f", {self.certificates:,} of the restarts for its certificate" if self.certificates else ""

    @property
    def spacing(self) -> float | None:
        """Median seconds between the kubelet's starts; None for one."""
        found = (self.all_starts["time"].diff().dt.total_microseconds() / 1e6).median()
        return round(float(found), 6) if isinstance(found, float) else None

    @property
    def sure(self) -> bool:
        coded = bool((self.rows["exit_code"] == KILLED).any())
        if self.variant == EXCEEDED:
            return coded or self.events.height > 0 or self.rows["forced"].is_not_null().any()
        return coded or self.variant == CERTIFICATE

    @property
    def times(self) -> list[datetime]:
        frames = (self.rows["time"], self.rows["ended"], self.starts["time"], self.events["time"])
        return sorted(time for times in frames for time in times.drop_nulls().to_list())

    @property
    def start(self) -> datetime | None:
        return self.times[0] if self.times else None

    @property
    def end(self) -> datetime | None:
        return self.times[-1] if self.times else None

    @property
    def why(self) -> str:
        if self.variant == RESTART:
            return (
                "The call in which the runtime waits for the container ends with the kubelet that made it, and the "
                "container is killed instead of being waited for."
            )
        if self.variant == EXCEEDED:
            return "The program does not end on SIGTERM, or its preStop hook and its own end take longer."
        return "A kubelet whose client certificate ran out exits, so that it may ask for another at its start."

    @property
    def refuted_by(self) -> str:
        if self.variant == RESTART:
            return "A container that ended by itself with 137, or an OOM kill at the same moment."
        if self.variant == EXCEEDED:
            return "An exit code that the program gave itself."
        return "Restarts that somebody made for another reason."


def groups(kills: pl.DataFrame, frames: Frames, exceeded: int, restarts: int) -> Iterator[Group]:
    """Nodes first, then workloads, each in its order."""
    starts = (frames[KUBELET_STARTS] if KUBELET_STARTS in frames else empty(KUBELET_STARTS.table).lazy()).collect()
    starts = starts.filter((pl.col("after") != "boot").fill_null(True)).sort("node", "time", "source", "number")
    events = exceeded_events(frames)
    victims = kills.filter(pl.col("variant") == RESTART)
    nothing = events.clear()
    cut_down = victims.partition_by("node", as_dict=True, maintain_order=True)
    begun = starts.partition_by("node", as_dict=True, maintain_order=True)
    for node in sorted({key for (key,) in (*cut_down, *begun)}):
        rows, own = cut_down.get((node,), victims.clear()), begun.get((node,), starts.clear())
        cut = pl.col("time").is_in(rows["restarted"].unique().implode())
        met = own.filter(cut)
        # what nothing of the kubelet comes before is where its log begins
        own = own.filter(cut | pl.col("silent_seconds").is_not_null() | (pl.int_range(pl.len()) > 0))
        expired = own.filter(pl.col("after") == "certificate")
        if rows.height:
            yield Group(variant=RESTART, subject=node, rows=rows, starts=met, all_starts=own, events=nothing)
        elif expired.height >= restarts:
            yield Group(variant=CERTIFICATE, subject=node, rows=rows, starts=expired, all_starts=own, events=nothing)
    late = _with_workload(kills.filter(pl.col("variant") == EXCEEDED))
    told = _with_workload(events)
    killed = late.partition_by("workload", as_dict=True, maintain_order=True)
    told_of = told.partition_by("workload", as_dict=True, maintain_order=True)
    nobody, none, never = late.clear(), told.clear(), starts.clear()
    for workload in sorted({key for (key,) in (*killed, *told_of)}):
        group = Group(
            variant=EXCEEDED,
            subject=workload,
            rows=killed.get((workload,), nobody),
            starts=never,
            all_starts=never,
            events=told_of.get((workload,), none),
        )
        if group.pods >= exceeded:
            yield group


def _with_workload(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with `workload` as namespace/name; the id of a container whose pod is not told."""
    pod = (
        rows["pod"]
        if "container_id" not in rows.columns
        else rows.select(pl.coalesce("pod", "container_id")).to_series()
    )
    name = rows.select(pod.str.replace(r"^.*/", "").alias("name"))
    workload = name.select(of_pod(pl.col("name")).struct.field("workload")).to_series()
    namespace = pod.str.extract(r"^(.*/)", 1).fill_null("")
    return rows.with_columns((namespace + workload).alias("workload"))
