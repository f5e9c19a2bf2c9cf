"""How bad a finding is, what is said beside it, and whether there was anything to see."""

from __future__ import annotations

import polars as pl

from analyzer.detector import NotObservable, Remark
from analyzer.detectors.node.exec_probe_timeout.containers import (
    Probed,
)
from analyzer.detectors.node.exec_probe_timeout.effects import Effects
from analyzer.facts.audit_windows import counted, listed
from analyzer.facts.contract import Frames
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import KLOG_LINES, RUNTIME_MESSAGES
from analyzer.model import Severity

MANY = 100


def must_be_observable(frames: Frames) -> None:
    """Raise NotObservable where nobody could have told of an exec timeout."""
    sources = []
    if KLOG_LINES in frames:
        sources.append(frames[KLOG_LINES].filter((pl.col("component") == "kubelet").fill_null(True)))
    sources += [frames[table] for table in (RUNTIME_MESSAGES, TOLD_EVENTS) if table in frames]
    if not any(source.head(1).collect().height for source in sources):
        raise NotObservable("neither a log of a kubelet or a runtime nor Events are here")


def severity(one: Probed, effects: Effects, most: int, high: int) -> Severity:
    if most >= high or effects.restarts:
        return Severity.HIGH
    return Severity.MEDIUM if effects.not_ready or one.timeouts >= MANY else Severity.LOW


def of_the_nodes(shared: pl.DataFrame) -> Remark:
    """Timeouts that a node explains."""
    groups, nodes = shared["group"].n_unique(), shared["node"].unique().sort().to_list()
    return Remark(
        f"{counted(shared.height, 'record')} of exec timeouts of {counted(groups, 'workload')} came together, or "
        f"beside a stall of the node ({listed(nodes) or 'no name'}): the node is late, not the probes; not counted."
    )


def too_terse(quiet: list[str]) -> Remark:
    """Logs that could not tell of probes."""
    return Remark(
        f"The log of {counted(len(quiet), 'kubelet')} ({listed(quiet)}) holds no line of verbosity 1 or 2: only errors "
        "of exec calls would be there, and its silence about probes says nothing."
    )
