"""What another setting would have spared, replayed on the waits that are there."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detectors.workload.unschedulable_backlog.backlog import ON_A_NODE, Backlog
from analyzer.detectors.workload.unschedulable_backlog.causes import Cause
from analyzer.detectors.workload.unschedulable_backlog.requested import PODS, words
from analyzer.facts import scheduling_reasons
from analyzer.facts.audit_windows import counted
from analyzer.model import Saving

UNIT = "pod-seconds"


def savings(backlog: Backlog, cause: Cause) -> tuple[Saving, ...]:
    """The savings that can be counted, best first; none where the records do not tell enough."""
    timed = backlog.start is not None
    found: list[Saving] = []
    if backlog.cron and timed:
        found += _cron(backlog)
    if backlog.reason == ON_A_NODE and cause.nodes.height and timed:
        found.append(_dead_node(backlog, cause))
    if cause.daemonsets.height and timed:
        found.append(_squeeze(backlog, cause))
    if cause.preempted.height and timed:
        found.append(_preemption(backlog, cause))
    return (*found, *_refused(backlog))


def total(backlog: Backlog) -> float:
    return round(float(backlog.waits["seconds"].fill_null(0).sum()), 6)


def _cron(backlog: Backlog) -> Iterator[Saving]:
    """Forbid: a run is left out while the one before it waits. A deadline: no wait outlasts the period."""
    kept, free = 0.0, None
    for start, end, seconds in backlog.waits.sort("start").select("start", "end", "seconds").iter_rows():
        if free is None or start >= free:
            kept, free = kept + seconds, end
    yield Saving(
        fix="concurrencyPolicy: Forbid",
        observed=total(backlog),
        modelled=round(kept, 6),
        unit=UNIT,
        assumption="Runs that come due while one waits are left out, so at most one pod waits.",
        formula="sum of the waits that begin when no earlier one lasts",
    )
    if backlog.period is not None:
        yield Saving(
            fix=f"activeDeadlineSeconds: {backlog.period:.0f}",
            observed=total(backlog),
            modelled=round(float(backlog.waits["seconds"].clip(upper_bound=backlog.period).sum()), 6),
            unit=UNIT,
            assumption="A Job whose pod waits for a whole period is ended, with its pod.",
            formula="sum of the waits, each of one period at most",
        )


def _dead_node(backlog: Backlog, cause: Cause) -> Saving:
    """Waits from before any node was deleted would remain."""
    first = cause.nodes["time"].min()
    before = backlog.waits.filter(pl.col("start") < first) if first is not None else backlog.waits.clear()
    return Saving(
        fix="the claim is deleted with its node, or its volume is not bound to one node",
        observed=total(backlog),
        modelled=round(float(before["seconds"].sum()), 6),
        unit=UNIT,
        assumption="Without the old claim a new volume is made where the pod fits. What was on the node is lost.",
        formula="sum of the waits that began before the first node was deleted",
    )


def _squeeze(backlog: Backlog, cause: Cause) -> Saving:
    first = cause.daemonsets["time"].min()
    before = backlog.waits.filter(pl.col("start") < first)
    return Saving(
        fix="the DaemonSet does not ask for what the nodes do not have",
        observed=total(backlog),
        modelled=round(float(before["seconds"].sum()), 6),
        unit=UNIT,
        assumption="What waited before the DaemonSet was written would have waited anyway, and the rest would have had "
        f"room. {_requested(cause)}",
        formula="sum of the waits for resources that began before the DaemonSet was written",
    )


def _requested(cause: Cause) -> str:
    """How much room the DaemonSet took, and for how many of the pods that alone would do."""
    if not cause.told:
        return "How much it asks for is not in the evidence: compare its requests with what the nodes can allocate."
    took = f"It took {words(cause.added)} on every node"
    names = cause.lacking or {"cpu", "memory"}
    known = [pod for pod in cause.pods.values() if any(pod.get(name, 0.0) > 0 for name in names)]
    if not known:
        return f"{took}; what the pods ask for is not in the evidence."
    fit = sum(all(pod.get(name, 0.0) <= cause.added.get(name, 0.0) for name in names if name != PODS) for pod in known)
    return f"{took}; of {counted(len(known), 'pod')} whose requests are known, {fit:,} ask for no more than that."


def _preemption(backlog: Backlog, cause: Cause) -> Saving:
    """Waits of pods that replaced preempted ones: those of their workloads."""
    victims = cause.preempted["name"].str.replace(r"-[bcdfghjklmnpqrstvwxz2456789]{5}$", "").unique().to_list()
    replaced = pl.concat_str("namespace", pl.lit("/"), pl.col("pod")).str.replace(
        r"-[bcdfghjklmnpqrstvwxz2456789]{5}$", ""
    )
    spared = float(backlog.waits.filter(replaced.is_in(victims))["seconds"].sum())
    return Saving(
        fix="preemptionPolicy: Never for the pods that came with a higher priority",
        observed=total(backlog),
        modelled=round(total(backlog) - spared, 6),
        unit=UNIT,
        assumption="Pods that were preempted would have stayed where they were; those that came would wait instead.",
        formula="sum of the waits of ReplicaSets none of whose pods was preempted",
    )


_REFUSALS = {"taint": "the taint is tolerated", "node selector": "the node selector names nodes that are there"}


def _refused(backlog: Backlog) -> Iterator[Saving]:
    """How many pods no node refused for that reason: only these would still wait."""
    if backlog.reason not in _REFUSALS:
        return
    reasons = scheduling_reasons.split(backlog.waits.lazy().select("message")).collect()
    refused = reasons.filter(pl.col("class") == backlog.reason)["message"].unique()
    pods = backlog.waits.height
    others = backlog.waits.filter(~pl.col("message").is_in(refused.implode())).height
    nodes = reasons.filter(pl.col("class") == backlog.reason)["nodes"].drop_nulls()
    most = str(nodes.max()) if nodes.len() else "nobody knows how many"
    yield Saving(
        fix=_REFUSALS[backlog.reason],
        observed=pods,
        modelled=others,
        unit="pods",
        assumption=f"The nodes that refuse for this reason ({most} at the most) have room.",
        formula=f"pods that no node refused for its {backlog.reason}",
    )
