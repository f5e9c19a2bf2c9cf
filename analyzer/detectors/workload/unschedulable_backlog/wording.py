"""How the summary of a backlog says what it found."""

from __future__ import annotations

from analyzer.detectors.workload.unschedulable_backlog.backlog import Backlog
from analyzer.detectors.workload.unschedulable_backlog.saving import total

_SAID = {"dead-node volume": "the volume is on a node that is gone"}
"""Variants that read badly in a sentence, in words."""


def in_words(variant: str) -> str:
    """The cause, for the end of the summary."""
    return _SAID.get(variant, variant)


def waited(backlog: Backlog) -> str:
    """How many pods waited for how long, for the summary."""
    pods, seconds = backlog.waits.height, total(backlog)
    long = f"{seconds:,.1f} s" if seconds < 60 else f"{seconds / 60:,.1f} min"
    if pods == 1:
        spent = f" for {long}" if backlog.start else ""
        until = "to the end of the evidence" if backlog.waiting else "not to the end of the evidence"
        return f"1 pod of {backlog.names} found no node{spent}, {until}"
    spent = f" {seconds / 60:,.1f} pod-minutes" if backlog.start else ""
    return (
        f"{pods:,} pods of {backlog.names} waited{spent} for a node, {backlog.peak:,} at once, {backlog.waiting:,} to "
        "the end of the evidence"
    )
