"""How bad a finding is, what is said beside it, and whether there was anything to see."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import NotObservable, Remark
from analyzer.detectors.node.exec_probe_timeout.containers import (
    Probed,
)
from analyzer.detectors.node.exec_probe_timeout.effects import Effects
from analyzer.detectors.node.exec_probe_timeout.evidence import processes
from analyzer.detectors.node.exec_probe_timeout.listings import Listing, by_parent
from analyzer.detectors.node.exec_probe_timeout.measured import Counted
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


def severity(one: Probed, effects: Effects, left: int, high: int) -> Severity:
    if left >= high or effects.restarts:
        return Severity.HIGH
    return Severity.MEDIUM if effects.not_ready or one.timeouts >= MANY else Severity.LOW


def in_listing(seen: Counted) -> str:
    """What a listing shows, for a sentence."""
    whose = {"container": " of the container", "command": " with names of its command"}.get(seen.by, "")
    number = f"{seen.defunct:,}" if seen.defunct else "no"
    noun = "process stands" if seen.defunct < 2 else "processes stand"
    place = f"a process listing{f' of {seen.node}' if seen.node else ''}"
    return f"{number} defunct {noun.replace(' ', f'{whose} ')} in {place}"


def how_sure(one: Probed, quiet: list[str], seen: Counted | None) -> str:
    """Who tells of the timeouts, and how far a listing can be held against them."""
    reason = f"told by {', '.join(one.channels)}"
    silent = sorted({*one.rows["node"].to_list()} & {*quiet})
    if silent:
        reason += f"; the log of {listed(silent)} holds no line of verbosity 1, so there may be more than it tells"
    if seen is None:
        return reason
    when = f", saved at {seen.time:%Y-%m-%d %H:%M:%S} UTC" if seen.time else ", which holds no time"
    reason += f"; {in_listing(seen)}{when}"
    if not seen.tells:
        reason += ", and nothing tells whose they are"
    if seen.assumed:
        reason += "; the listing names no node, and this is the only one that tells of timeouts"
    return reason


def what_is_left(most: int, seen: Counted | None) -> str:
    """The end of the summary: the number that a listing shows, or the most that there can be."""
    if seen is not None and seen.tells:
        return in_listing(seen)
    return f"up to {processes(most)} may have been left"


def unexplained(zombies: list[Listing], found: list[Counted]) -> Iterator[Remark]:
    """Listings with many defunct processes of one parent that no finding counts."""
    told = {seen.source for seen in found}
    for one in zombies:
        worst = by_parent(one.defunct).head(1)
        if one.source in told or not worst.height or worst["defunct"][0] < MANY:
            continue
        pid, name = worst["ppid"][0], worst["parent"][0]
        whose = f" of {name or 'a parent'} ({pid})" if pid is not None else ""
        yield Remark(
            f"{one.source} shows {worst['defunct'][0]:,} defunct processes{whose}, and no timeout of an exec probe "
            "here explains them: their parent reaps no children."
        )
        return


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
