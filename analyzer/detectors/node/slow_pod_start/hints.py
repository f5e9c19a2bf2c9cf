"""What else the node says of itself while its pods start slowly."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.node.slow_pod_start.measure import Starts
from analyzer.facts.contract import Frames
from analyzer.facts.node_names import short_node
from analyzer.facts.pod_starts import POD_STARTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES

AROUND = timedelta(minutes=10)

_BLOCKED = ("hung_task", "io_error", "soft_lockup", "rcu_stall")
_KUBELET = (
    r"pleg was last seen active|housekeeping took too long"
    r"|(?:Run|Stop)PodSandbox.*DeadlineExceeded|(?:Create|Start|Stop)Container.*DeadlineExceeded"
)
"""Not a PLEG that has yet to begin, nor an exec probe that ran into its own timeout."""


class Hints(Struct, frozen=True, kw_only=True):
    """Lines of the kernel about blocked tasks and disks, and of the kubelet about its runtime; by time."""

    kernel: pl.DataFrame
    kubelet: pl.DataFrame

    @property
    def seen(self) -> bool:
        return self.kernel.height + self.kubelet.height > 0

    @property
    def sentence(self) -> str:
        texts = []
        if self.kernel.height:
            texts.append(f"the kernel tells {self.kernel.height:,} times of blocked tasks or of its disk")
        if self.kubelet.height:
            texts.append(f"the kubelet says {self.kubelet.height:,} times that its runtime is late")
        return " and ".join(texts) or "nothing else on the node says why"


def hints(starts: Starts, frames: Frames) -> Hints:
    place = ["time", "source", "number"]
    near = pl.col("time").is_between(starts.start - AROUND, starts.end + AROUND)
    none = pl.DataFrame(schema={"time": pl.Datetime("us", "UTC"), "source": pl.String, "number": pl.Int64})
    kernel, kubelet = none, none
    if KERNEL_MESSAGES in frames:
        nodes = frames[POD_STARTS].select(pl.col("node").n_unique()).collect().item()
        told = pl.col("host").is_not_null() | (nodes == 1)
        found = frames[KERNEL_MESSAGES].filter(near, pl.col("kind").is_in(_BLOCKED), _same_node(starts.node), told)
        kernel = found.select(place).sort(place).collect()
    if KLOG_LINES in frames:
        here = _same_node(starts.node) & (
            pl.col("host").is_not_null() | pl.col("source").is_in(starts.rows["source"].unique().implode())
        )
        found = frames[KLOG_LINES].filter(near, here, pl.col("text").str.contains(_KUBELET))
        kubelet = found.select(place).sort(place).collect()
    return Hints(kernel=kernel, kubelet=kubelet)


def _same_node(name: str) -> pl.Expr:
    """Lines of the node; those without a host may be, if no other node is known that they could be of."""
    return (short_node(pl.col("host")) == name).fill_null(True)
