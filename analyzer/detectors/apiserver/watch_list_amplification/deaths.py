"""What nodes tell of the agent's containers meanwhile: killed for memory, or died and started again."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.apiserver.watch_list_amplification.patterns import Pattern
from analyzer.facts.contract import Frames
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES
from analyzer.model import Column, EvidenceTable

COMMAND = 15
"""Bytes of a command name that the kernel keeps (TASK_COMM_LEN - 1, linux `include/linux/sched.h`)."""

AROUND = timedelta(minutes=5)
"""Time before its lists in which a death may have asked for them: the longest back-off of a container."""

ROWS = 10

_VICTIM = (
    r"Killed process [0-9]+(?:, UID [0-9]+,)? \((.{1,15})\)",
    r"victim process: (.{1,15}), pid: [0-9]+$",
)


class Deaths(Struct, frozen=True):
    """`oom`: processes of the agent that the kernel killed; `died`: containers of its pods that a kubelet saw die.

    None where no log of that kind was given.
    """

    oom: int | None
    died: int | None
    rows: tuple[tuple[str, str, int], ...]

    @property
    def seen(self) -> bool:
        return bool(self.oom or self.died)


def deaths(frames: Frames, pattern: Pattern) -> Deaths:
    """Counts by command name and by pod. Command names are the agent's, cut as the kernel cuts them."""
    begin, end = pattern.rows["time"][0] - AROUND, pattern.rows["time"][-1] + AROUND
    inside = pl.col("time").is_between(begin, end)
    rows: list[tuple[str, str, int]] = []
    oom = died = None
    if KERNEL_MESSAGES in frames:
        killed = (
            frames[KERNEL_MESSAGES]
            .filter(inside, pl.col("kind").is_in(["oom_kill", "cgroup_oom"]), pl.col("process").is_not_null())
            .filter(pl.col("process").str.to_lowercase() == pattern.agent.lower()[:COMMAND])
            .group_by("host")
            .len()
            .sort("host")
            .collect()
        )
        oom = int(killed["len"].sum())
        rows += [("killed for memory (kernel)", host or "", count) for host, count in killed.head(ROWS).rows()]
    elif TOLD_EVENTS in frames and (by_events := _of_events(frames[TOLD_EVENTS].filter(inside), pattern.agent)):
        oom = sum(count for _, count in by_events)
        rows += [("killed for memory (Event)", host, count) for host, count in by_events[:ROWS]]
    if KLOG_LINES in frames:
        pods = [one for one in pattern.rows["caller_pod"].unique().drop_nulls().sort().to_list() if one]
        name = pl.col("pod").str.split("/").list.last()
        own = name.is_in(pods) | (name.str.starts_with(f"{pattern.agent}-") if pattern.agent else pl.lit(False))
        told = pl.col("text").str.contains("ContainerDied", literal=True)
        gone = frames[KLOG_LINES].filter(inside, told, own.fill_null(False)).group_by("pod").len().sort("pod").collect()
        died = int(gone["len"].sum())
        rows += [("container died (kubelet)", pod or "", count) for pod, count in gone.head(ROWS).rows()]
    return Deaths(oom, died, tuple(rows))


def _of_events(events: pl.LazyFrame, agent: str) -> list[tuple[str, int]]:
    """Nodes and how often a process of that name was killed on them, by Events of node-problem-detector (`OOMKilling`,
    whose message is the kernel's line) and of the kubelet (`SystemOOM`, pkg/kubelet/oom/oom_watcher_linux.go)."""
    victim = pl.coalesce(pl.col("message").str.extract(pattern, 1) for pattern in _VICTIM)
    name = pl.coalesce("node", "name").fill_null("")
    killed = (
        events.filter(pl.col("kind") == "Node", pl.col("reason").is_in(["OOMKilling", "SystemOOM"]))
        .filter(victim.str.to_lowercase() == agent.lower()[:COMMAND])
        .group_by(host=name, event=pl.coalesce("event_uid", pl.concat_str("source", "number")))
        .agg(pl.col("count").fill_null(1).clip(1).max())
    )
    return killed.group_by("host").agg(pl.col("count").sum()).sort("host").collect().rows()


def table(found: Deaths) -> tuple[EvidenceTable, ...]:
    if not found.rows:
        return ()
    columns = (Column(name="what"), Column(name="host or pod"), Column(name="times", unit="deaths"))
    return (EvidenceTable(caption="Deaths of the agent meanwhile", columns=columns, rows=found.rows),)
