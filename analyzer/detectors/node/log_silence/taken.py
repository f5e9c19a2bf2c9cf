"""A node that was taken out of service, or was not ready, when its logs ended."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.detectors.node.log_silence.gap import Silence
from analyzer.facts.change_ledger import CHANGE_LEDGER
from analyzer.facts.contract import Frames
from analyzer.facts.node_names import short_node
from analyzer.facts.told_events import TOLD_EVENTS

BEFORE = timedelta(minutes=30)
"""How long before a silence its node may have been cordoned: a drain waits for disruption budgets."""

AFTER = timedelta(minutes=5)
"""How much later the API server may learn of it: 40 s until a node is not ready, and a few minutes until it is gone."""

TAKEN = "its node was drained, cordoned or deleted"

_GONE = ("NodeNotSchedulable", "RemovingNode", "DeletingNode", "Shutdown", "NodeShutdown")
_DOWN = ("NodeNotReady",)
_BACK = {"NodeSchedulable": ("NodeNotSchedulable",), "NodeReady": _DOWN}
"""Events about a node (pkg/kubelet/events/event.go, pkg/controller/nodelifecycle, cloud-provider/controllers), and
those that end what others began."""

_CORDONED = r"spec\.unschedulable (?:from \S+ )?to true"
_UNCORDONED = r"spec\.unschedulable (?:from \S+ )?to false"

_OTHERS = r"^kubectl-(?:label|annotate|taint)$"
"""Field managers of commands that cordon nothing; cordon and drain name none (kubectl pkg/drain/cordon.go)."""


def node_gone(silence: Silence, name: str, frames: Frames) -> str | None:
    """Why the node of that name had nothing to say; None where nothing tells so."""
    return _by_writes(silence, name, frames) or _by_events(silence, name, frames)


def _near(silence: Silence, name: str) -> pl.Expr:
    same = (short_node(pl.col("name")) == short_node(pl.lit(name))).fill_null(False)
    return pl.col("time").is_between(silence.start - BEFORE, silence.start + AFTER) & same


def _by_writes(silence: Silence, name: str, frames: Frames) -> str | None:
    """The node was deleted, or the last write of it that may cordon does. What level Metadata tells of a write is no
    more than that; one whose body is here, and tells of no cordon, is a label, a taint or the end of a cordon."""
    if CHANGE_LEDGER not in frames:
        return None
    gone, details = pl.col("verb") == "delete", pl.col("details").fill_null("")
    unseen = ~pl.col("level").is_in(["Request", "RequestResponse"]).fill_null(False)
    unsaid = ~pl.col("field_manager").str.contains(_OTHERS).fill_null(False)
    writes = frames[CHANGE_LEDGER].filter(
        pl.col("resource") == "nodes", gone | ~pl.col("routine"), _near(silence, name)
    )
    told = (
        writes.with_columns(
            gone=gone | details.str.contains(_CORDONED) | (unseen & unsaid & pl.col("details").is_null()),
            back=details.str.contains(_UNCORDONED),
        )
        .filter(pl.col("gone") | pl.col("back"))
        .sort("time", "source", "number")
        .select("gone")
        .collect()
    )
    return TAKEN if told.height and told["gone"][-1] else None


def _by_events(silence: Silence, name: str, frames: Frames) -> str | None:
    if TOLD_EVENTS not in frames:
        return None
    events = frames[TOLD_EVENTS].filter(
        pl.col("kind") == "Node", pl.col("reason").is_in([*_GONE, *_DOWN, *_BACK]), _near(silence, name)
    )
    lasting: dict[str, bool] = {}
    for reason, time in events.sort("time", "source", "number").select("reason", "time").collect().iter_rows():
        if reason in _BACK and time <= silence.start:
            lasting = {one: True for one in lasting if one not in _BACK[reason]}
        elif reason not in _BACK:
            lasting[reason] = True
    if not lasting:
        return None
    return "its node was not ready" if any(one in lasting for one in _DOWN) else TAKEN
