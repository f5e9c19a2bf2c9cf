"""A node that says itself that it goes down, before its logs end."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.detectors.node.log_silence.gap import Silence
from analyzer.facts.contract import Frames
from analyzer.facts.node_names import node
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES

GRACE = timedelta(minutes=10)
"""A node may wait so long for its pods (shutdownGracePeriod of the kubelet; minutes where it is set at all)."""
LATER = timedelta(minutes=1)
"""The kernel speaks last."""

_WORDS = {
    KLOG_LINES: r"^\"?Shutdown manager detected new shutdown event",
    KERNEL_MESSAGES: r"^(?:reboot: (?:Power down|Restarting system|System halted)|systemd-shutdown\b)",
}
"""kubernetes pkg/kubelet/nodeshutdown/nodeshutdown_manager_linux.go; kernel/reboot.c."""


def shut_down(silence: Silence, frames: Frames) -> bool:
    """Whether the kubelet or the kernel of this node told of a shutdown shortly before the silence."""
    near = pl.col("time").is_between(silence.start - GRACE, silence.start + LATER)
    return any(
        frames[table]
        .filter(near, node() == silence.emitter, pl.col("text").str.contains(words))
        .head(1)
        .collect()
        .height
        for table, words in _WORDS.items()
        if table in frames
    )
