"""What else explains a silence: a node that was drained, deleted or not ready; what a sink said before."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.detectors.node.log_silence.gap import Silence
from analyzer.detectors.node.log_silence.shutdown import shut_down
from analyzer.detectors.node.log_silence.taken import AFTER, BEFORE, node_gone
from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.contract import Frames
from analyzer.facts.pod_moments import POD_MOMENTS
from analyzer.frames import HTTP_MESSAGES, PACKETS

TOO_MANY = 429
"""What Elasticsearch answers when its queue is full (es_rejected_execution_exception)."""


class Sink(Struct, frozen=True, kw_only=True):
    """What a capture shows of the sink: answers 429 before, closed windows, packets without data in the silence."""

    refused: int = 0
    closed_windows: int = 0
    empty_packets: int = 0

    @property
    def told(self) -> str:
        parts = []
        if self.refused:
            parts.append(f"{self.refused:,} answers 429 of the sink before")
        if self.closed_windows:
            parts.append(f"{self.closed_windows:,} closed windows of the sink")
        if self.empty_packets:
            parts.append(f"{self.empty_packets:,} packets without data meanwhile")
        return ", ".join(parts)


def excuse(silence: Silence, frames: Frames) -> str | None:
    """Why this silence is none of a log pipeline; None where nothing says so."""
    name = silence.emitter
    if silence.kind == "flow":
        if silence.newcomers:
            return "another address began to send in its place"
        if _deleted(silence, frames):
            return "its pod was deleted"
        name = node_of(silence, frames) or name
    elif shut_down(silence, frames):
        return "its node was shut down"
    return node_gone(silence, name, frames)


def _owner(silence: Silence, frames: Frames) -> pl.DataFrame | None:
    if ADDRESS_OWNERS not in frames:
        return None
    owners = frames[ADDRESS_OWNERS].filter(
        pl.col("address") == silence.emitter,
        (pl.col("since") <= silence.start).fill_null(True),
        (pl.col("until") >= silence.before["time"][0]).fill_null(True),
    )
    return owners.collect()


def node_of(silence: Silence, frames: Frames) -> str | None:
    owners = _owner(silence, frames)
    nodes = [] if owners is None else owners["node"].drop_nulls().to_list()
    return nodes[0] if nodes else None


def _deleted(silence: Silence, frames: Frames) -> bool:
    owners = _owner(silence, frames)
    if owners is None or POD_MOMENTS not in frames:
        return False
    pods = owners.filter(pl.col("kind") == "pod").select(pl.concat_str("namespace", pl.lit("/"), "name")).to_series()
    gone = frames[POD_MOMENTS].filter(
        pl.col("what") == "deleted",
        pl.col("pod").is_in(pods.implode()),
        pl.col("time").is_between(silence.start - BEFORE, silence.start + AFTER),
    )
    return bool(gone.head(1).collect().height)


def sink_of(silence: Silence, frames: Frames) -> Sink:
    """What the capture shows between this sender and its sink; nothing of a log."""
    if silence.kind != "flow" or PACKETS not in frames:
        return Sink()
    near = pl.col("time").is_between(silence.start - AFTER, silence.end)
    fresh = ~pl.col("duplicate").fill_null(False)
    packets = frames[PACKETS].filter(near, fresh, pl.col("protocol") == "TCP")
    back = packets.filter(pl.col("dst") == silence.emitter, pl.col("src_port") == silence.port, pl.col("window") == 0)
    on = packets.filter(pl.col("src") == silence.emitter, pl.col("dst_port") == silence.port)
    empty = on.filter(pl.col("payload_bytes") <= 1, pl.col("time") > silence.start)
    reset = (pl.col("tcp_flags") & 4) != 0
    refused = 0
    if HTTP_MESSAGES in frames:
        answers = frames[HTTP_MESSAGES].filter(
            pl.col("response"), pl.col("status") == TOO_MANY, pl.col("dst") == silence.emitter, fresh
        )
        refused = _count(answers.filter(pl.col("src_port") == silence.port, _before(silence.start)))
    return Sink(
        refused=refused,
        closed_windows=_count(back.filter(~reset)),
        empty_packets=_count(empty),
    )


def _before(start: datetime) -> pl.Expr:
    return pl.col("time").is_between(start - BEFORE, start)


def _count(rows: pl.LazyFrame) -> int:
    return int(rows.select(pl.len()).collect().item())
