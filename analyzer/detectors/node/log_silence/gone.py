"""A node that went away without a word: what the API server knows of it ends too, and its pods are removed.

Clouds take spot nodes, and autoscalers end instances, that no Event or deletion of a node in the evidence announces.
A kubelet asks the API server for something every ten seconds, its lease above all (kubelet `nodeLeaseDurationSeconds`
40, renewed after a quarter of it): if that goes on, the node lives, and it is the shipper that is silent.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.detectors.node.log_silence.around import Sink, node_of
from analyzer.detectors.node.log_silence.gap import Silence
from analyzer.facts.contract import Frames
from analyzer.facts.node_names import short_node
from analyzer.facts.pod_life import POD_LIFE
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.model import Confidence

KNOWN = 3
"""Requests of a kubelet before, from which it would be missed [an engineering default]."""
AFTER = timedelta(minutes=5)
"""A kubelet that asks so long after the last log lives. What a shipper had not sent yet makes the log end sooner."""
PAUSES = 3
"""Times its longest pause before, after which a kubelet is missed [an engineering default]."""
MOVED = timedelta(minutes=15)
"""Within which the pods of a lost node are removed: 5 minutes of toleration and their grace period, then the collector
of garbage (pkg/controller/podgc)."""
TOGETHER = timedelta(minutes=1)
FEWEST, SHARE = 2, 0.5
"""Pods of the node, and their share, that must be removed [an engineering default]: a release removes one too."""


def lives(silence: Silence, frames: Frames) -> bool | None:
    """Whether the kubelet went on to speak to the API server; None where no audit log tells."""
    if AUDIT_REQUESTS not in frames:
        return None
    asked = frames[AUDIT_REQUESTS].filter(pl.col("node").is_not_null(), pl.col("time").is_not_null())
    own = short_node(pl.col("node")) == short_node(pl.lit(_name(silence, frames)))
    time = pl.col("time")
    pause = time.filter(own & (time <= silence.start)).sort().diff().max()
    sums = (own & (time <= silence.start)).sum(), time.filter(own).max(), time.filter(~own).max(), pause.alias("pause")
    before, last, others, pause = asked.select(*(one.alias(str(i)) for i, one in enumerate(sums))).collect().row(0)
    if before < KNOWN:
        return None
    if last >= silence.start + AFTER:
        return True
    # A policy may leave leases out: then a kubelet is heard of every five minutes, and missed after fifteen.
    missed = max(last, silence.start) + max(AFTER, PAUSES * pause)
    return False if others is not None and others >= missed else None


def went_away(parts: list[Silence], frames: Frames) -> str | None:
    """Why it is the node that is gone and not its log; None where nothing says so."""
    first = parts[0]
    if any(one.resumed.height for one in parts) or (alive := lives(first, frames)):
        return None
    if alive is False:
        return "its kubelet asked the API server for nothing more either, and others did: the node went away"
    if _moved(first, frames):
        return "its pods were removed after it: the node went away"
    return None


def at_once(parts: list[Silence]) -> bool:
    """Whether several streams of it ended together and none came back: so a node ends as well."""
    ends = [one.start for one in parts]
    never = not any(one.resumed.height for one in parts)
    return never and len({one.stream for one in parts}) > 1 and max(ends) - min(ends) <= TOGETHER


def sure(parts: list[Silence], sink: Sink, alive: bool | None) -> tuple[Confidence, str]:
    """Confidence and its reason; `alive` as of `lives`."""
    told = "its peers go on, and so does the input that held it"
    told = f"{told}; {sink.told}" if sink.told else told
    if alive:
        return Confidence.HIGH, f"{told}; its kubelet went on to ask the API server, so the node lives"
    if sink.refused or sink.closed_windows:
        return Confidence.HIGH, told
    if at_once(parts):
        ended = "all its streams ended within a minute and none came back, as where a node goes away"
        return Confidence.LOW, f"{told}; {ended}: an audit log with the requests of its kubelet would tell"
    return Confidence.MEDIUM, told


def _name(silence: Silence, frames: Frames) -> str:
    return (node_of(silence, frames) if silence.kind == "flow" else None) or silence.emitter


def _moved(silence: Silence, frames: Frames) -> bool:
    if POD_LIFE not in frames:
        return False
    life = frames[POD_LIFE].filter(pl.col("time") <= silence.start + MOVED)
    here = short_node(pl.col("node")) == short_node(pl.lit(_name(silence, frames)))
    ends, time = pl.col("what").is_in(["deleted", "evicted", "gone"]), pl.col("time")
    pods = (
        life.group_by("namespace", "pod")
        .agg(
            (here & (time <= silence.start)).any().alias("here"),
            (ends & (time <= silence.start)).any().alias("before"),
            (ends & (time > silence.start)).any().alias("after"),
        )
        .filter("here", ~pl.col("before"))
        .select(pl.len().alias("all"), pl.col("after").sum())
    )
    every, removed = pods.collect().row(0)
    return bool(removed >= FEWEST and removed >= SHARE * every)
