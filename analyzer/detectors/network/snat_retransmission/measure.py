"""Segments, retransmissions and SYNs within and to the outside, capture by capture."""

from __future__ import annotations

import polars as pl
from msgspec import Struct

from analyzer.detectors.network.snat_retransmission.attempts import CONNECTION, away, counted
from analyzer.detectors.network.snat_retransmission.captures import captures
from analyzer.detectors.network.snat_retransmission.mtu import black_holes
from analyzer.detectors.network.snat_retransmission.sides import Sides, first_side, sides
from analyzer.facts.address_space import with_sides
from analyzer.facts.connection_attempts import CONNECTION_ATTEMPTS
from analyzer.facts.contract import Frames
from analyzer.facts.proportions import wilson
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.facts.tcp_retransmissions import TCP_RETRANSMISSIONS
from analyzer.facts.tcp_sequence import SPURIOUS


class Count(Struct, frozen=True):
    """What was sent, what was sent again, and attempts to connect with those that needed another SYN."""

    segments: int = 0
    again: int = 0
    syns: int = 0
    retried: int = 0

    @property
    def share(self) -> float:
        return self.again / self.segments if self.segments else 0.0

    @property
    def syn_share(self) -> float:
        return self.retried / self.syns if self.syns else 0.0

    def pair(self, *, syn: bool) -> tuple[int, int]:
        """Bad ones and all of them, of SYNs or of segments."""
        return (self.retried, self.syns) if syn else (self.again, self.segments)


class Traffic(Struct, frozen=True, kw_only=True):
    """One capture with its rotated pieces. `outside` and `inside` have a row per connection that counts: those to the
    outside that pods began, and those between addresses within. `lost` has a row per retransmission to the outside."""

    source: str
    inside: pl.DataFrame
    outside: pl.DataFrame
    lost: pl.DataFrame
    copies: int
    unanswered: int
    """Attempts to endpoints that never answered, or not for a while: they lose nothing, they are not there."""
    holes: pl.DataFrame
    """Connections to the outside in an MTU black hole."""
    sides: Sides = Sides()
    """What a capture behind the address translation has of the lost SYNs."""


def count(rows: pl.DataFrame) -> Count:
    sums = rows.select(
        pl.col("segments").sum(), pl.col("again").sum(), pl.col("attempt").sum(), pl.col("retried").sum()
    )
    return Count(*(int(value) for value in sums.row(0)))


def exceeds(out: tuple[int, int], within: tuple[int, int], share: float, ratio: float) -> bool:
    """Whether so many of so many are at least that share and that many times the others', and surely more."""
    (bad, cases), (bad_there, cases_there) = out, within
    if not cases or bad < share * cases or bad * cases_there < ratio * bad_there * cases:
        return False
    return wilson(bad, cases)[0] > wilson(bad_there, cases_there)[1]


def worth_it(frames: Frames, segments: int) -> bool:
    """Whether so many segments were sent, or any was sent again: else there is nothing to compare or to remark on."""
    again = frames[TCP_RETRANSMISSIONS].filter(pl.col("kind") != SPURIOUS).select(pl.len())
    sent = pl.col("client_segments").sum() + pl.col("server_segments").sum()
    total = frames[TCP_CONNECTIONS].filter(~pl.col("covered")).select(sent)
    return bool(again.collect().item() or total.collect().item() >= segments)


def traffic(frames: Frames) -> list[Traffic]:
    """Every capture that has connections, in their order."""
    connections = _connections(frames)
    again = frames[TCP_RETRANSMISSIONS].filter(pl.col("kind") != SPURIOUS).collect()
    real, copies = again.filter(~pl.col("copy")), again.filter("copy")
    met = counted(connections, real, copies)
    outside = met.filter(pl.col("client_within"), ~pl.col("server_within"), first_side(met))
    inside = met.filter(pl.col("client_within"), pl.col("server_within"))
    unanswered = outside.filter(away())
    inside, outside = inside.filter(~away()), outside.filter(~away())
    lost = real.join(outside.select(CONNECTION), on=CONNECTION, how="semi", maintain_order="left")
    holes = black_holes(lost, frames)
    found = []
    for pieces in captures(met):
        mine = pl.col("source").is_in(pieces)
        sound, sent = (
            part.filter(mine).join(holes, on=CONNECTION, how="anti", maintain_order="left") for part in (outside, lost)
        )
        found.append(
            Traffic(
                source=pieces[0],
                inside=inside.filter(mine),
                outside=sound,
                lost=sent,
                copies=int(outside.filter(mine)["copies"].sum()),
                unanswered=unanswered.filter(mine).height,
                sides=sides(sound.filter(mine), frames[TCP_CONNECTIONS]),
                holes=outside.filter(mine).join(holes, on=CONNECTION, how="semi", maintain_order="left"),
            )
        )
    return found


def _connections(frames: Frames) -> pl.DataFrame:
    attempts = frames[CONNECTION_ATTEMPTS].select("source", "number", "outcome", "schedule")
    rows = (
        frames[TCP_CONNECTIONS]
        .filter(~pl.col("covered"))
        .select(
            *("time", "end", "source", connection := pl.col("number").alias("connection")),
            *("client", "client_port", "server", "server_port"),
            *("client_isn", "syns"),
            (pl.col("client_segments") + pl.col("server_segments")).alias("sent"),
            (pl.col("answered") | pl.col("established")).alias("answers"),
        )
        .join(attempts.select("source", "outcome", "schedule", connection), on=CONNECTION, how="left")
        .sort("time", "source", "connection", nulls_last=True)
        .collect()
    )
    return with_sides(rows, frames)
