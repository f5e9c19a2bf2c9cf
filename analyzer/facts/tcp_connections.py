"""TCP connections: how they began, what went each way, how they ended."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyzer.facts import tcp_sequence as events
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.tcp_segments import said
from analyzer.facts.tcp_sequence import modular
from analyzer.facts.tcp_streams import ACK, FIN, I64, RST, SYN, Flags, Streams, segments, streams
from analyzer.frames import PACKETS, TIME, Col, Table
from analyzer.frames.contract import PLACE

AGAIN = (events.RETRANSMISSION, events.FAST, events.SPURIOUS)

COUNTED: dict[str, tuple[tuple[str, ...], str]] = {
    "retransmissions": (AGAIN, "segments sent again, fast and spurious retransmissions included"),
    "spurious": ((events.SPURIOUS,), "of these, segments that were acknowledged before"),
    "out_of_order": ((events.OUT_OF_ORDER,), "segments that later ones overtook"),
    "lost": ((events.LOST,), "segments before which others are missing in the capture"),
    "keep_alives": ((events.KEEP_ALIVE,), "keep-alives"),
    "duplicate_acks": ((events.DUPLICATE_ACK,), "acknowledgements that repeat the one before"),
    "zero_windows": ((events.ZERO_WINDOW,), "segments that close the receive window"),
}
"""Per column the events that it counts, and its meaning."""


SIDES = ("client", "server")


def _both(name: str, doc: str) -> tuple[Col, ...]:
    return tuple(Col(f"{side}_{name}", pl.Int64(), f"From the {side}: {doc}.") for side in SIDES)


CONNECTIONS = Table(
    "tcp_connections",
    "One row per TCP connection or attempt in one capture, from one SYN to the next with another initial sequence "
    "number. Copies of packets at other interfaces are left out. A rotated capture gives a row per file.",
    (
        *PLACE,
        Col("end", TIME, "Time of the last packet; null where the source has no time."),
        Col("client", pl.String(), "Address that sent the SYN; without a SYN the one with the higher port."),
        Col("client_port", pl.Int32(), "Port of the client."),
        Col("server", pl.String(), "Address that the client spoke to."),
        Col("server_port", pl.Int32(), "Port of the server."),
        Col("syns", pl.Int32(), "SYN packets of the client; 0 where the capture began later."),
        Col("syn_retries", pl.List(pl.Float64()), "When each further SYN followed, in seconds after the first."),
        Col(
            "answered", pl.Boolean(), "True where a SYN-ACK came back that fits the SYN, or whose SYN was not captured."
        ),
        Col(
            "handshake_seconds", pl.Float64(), "First SYN to SYN-ACK; null if one is missing or the clock stepped back."
        ),
        Col(
            "established",
            pl.Boolean(),
            "True where the client acknowledged, or the connection is older than the capture.",
        ),
        Col("refused", pl.Boolean(), "True where a reset was the first thing that the server sent to a SYN."),
        Col("closed", pl.Boolean(), "True where both sides sent a FIN."),
        Col("reset_by", pl.String(), "client or server: who sent the first reset; null if none."),
        *_both("packets", "packets"),
        *_both("bytes", "octets of payload, each counted once"),
        *_both("repeated_bytes", "octets of payload that were sent before"),
        *(col for name, (_, doc) in COUNTED.items() for col in _both(name, doc)),
    ),
)


def _repeated(s: Streams, again: Flags) -> I64:
    """Per packet the octets that a segment of the same side with a lower or the same number had before.

    Only sides with a segment that does not advance are sorted; elsewhere nothing repeats.
    """
    out = np.zeros(len(s), np.int64)
    side = s.start * 2 + s.ahead
    marked = np.zeros(2 * len(s), bool)
    marked[side[again]] = True
    at = np.flatnonzero(marked[side] & (s.payload > 0))
    if not len(at):
        return out
    at = at[np.argsort(side[at], kind="stable")]
    new = np.diff(side[at], prepend=-1) != 0
    step = modular(np.diff(s.seq[at], prepend=0))
    step[new] = 0
    begin = np.cumsum(step)
    order = np.lexsort((begin, np.cumsum(new)))
    at, begin = at[order], begin[order]
    end = begin + s.payload[at]
    firsts = np.flatnonzero(new)
    low = np.minimum.reduceat(begin, firsts)
    width = np.maximum.reduceat(end, firsts) - low + 1
    shift = (np.cumsum(width) - width - low)[np.cumsum(new) - 1]
    begin, end = begin + shift, end + shift
    reached = np.roll(np.maximum.accumulate(end), 1)
    reached[firsts] = begin[firsts]
    out[at] = np.minimum(np.maximum(reached - begin, 0), end - begin)
    return out


def _any(found: dict[str, Flags], kinds: tuple[str, ...]) -> Flags:
    out: Flags = np.logical_or.reduce([found[kind] for kind in kinds])
    return out


def _summed(s: Streams) -> pl.DataFrame:
    """One row per connection of one part; `row` and `last` are its first and last packet among the packets."""
    client, begins = s.by_client(), s.begins
    found = said(s, client)
    repeated = _repeated(s, found[events.OUT_OF_ORDER] | found[events.KEEP_ALIVE] | _any(found, AGAIN))
    columns: dict[str, pl.Series] = {
        "row": pl.Series(s.row[begins]),
        "last": pl.Series(s.row[np.append(begins[1:], len(s)) - 1]),
        "from_client": pl.Series(client[begins]),
    }
    columns |= {name: pl.Series(values) for name, values in (_beginning(s, client) | _ending(s, client)).items()}
    for side, mine in zip(SIDES, (client, ~client), strict=True):
        sums = {"packets": mine, "bytes": (s.payload - repeated) * mine, "repeated_bytes": repeated * mine}
        sums |= {name: _any(found, kinds) & mine for name, (kinds, _) in COUNTED.items()}
        for name, values in sums.items():
            columns[f"{side}_{name}"] = pl.Series(np.add.reduceat(values, begins, dtype=np.int64))
    return pl.DataFrame(columns).with_columns(_retries(s, client))


def _beginning(s: Streams, client: Flags) -> dict[str, Flags | NDArray[np.float64] | I64]:
    begins = s.begins
    asks = s.opens & client
    ask = s.first(asks)
    # A SYN may carry data, and the answer may acknowledge it (RFC 7413).
    fits = modular(s.ack - s.seq[ask] - 1)
    answers = s.has(SYN, ACK) & ~client & ((ask < 0) | ((fits >= 0) & (fits <= s.payload[ask])))
    answer = s.first(answers)[begins]
    ask = ask[begins]
    took = np.where((ask >= 0) & (answer >= 0), s.time[answer] - s.time[ask], -1)
    plain = s.has(ACK) & s.without(SYN, RST)
    by_client, by_any = (np.logical_or.reduceat(marks, begins) for marks in (plain & client, plain))
    first_back = s.first(~client)[begins]
    return {
        "syns": np.add.reduceat(asks, begins, dtype=np.int64),
        "answered": answer >= 0,
        # A clock that stepped back between the two says nothing about the handshake.
        "handshake_seconds": np.where(took >= 0, took / 1e6, np.nan),
        "established": by_client | ((ask < 0) & by_any),
        "refused": (ask >= 0) & (first_back >= 0) & s.has(RST)[first_back],
    }


def _ending(s: Streams, client: Flags) -> dict[str, Flags | NDArray[np.float64] | I64]:
    begins, fin, reset = s.begins, s.has(FIN), s.first(s.has(RST))[s.begins]
    closed = np.logical_or.reduceat(fin & client, begins) & np.logical_or.reduceat(fin & ~client, begins)
    return {"closed": closed, "reset_by": np.where(reset < 0, -1, np.where(client[reset], 0, 1))}


def _retries(s: Streams, client: Flags) -> pl.Series:
    """Per connection when its further SYNs followed the first, in seconds."""
    asks = s.opens & client
    first = s.first(asks)
    at = np.flatnonzero(asks & (first != np.arange(len(s))))
    connection = np.searchsorted(s.begins, s.start[at])
    later = pl.DataFrame({"connection": connection, "syn_retries": (s.time[at] - s.time[first[at]]) / 1e6})
    every = pl.DataFrame({"connection": np.arange(len(s.begins))})
    lists = later.group_by("connection").agg(pl.col("syn_retries"))
    return every.join(lists, on="connection", how="left", maintain_order="left")["syn_retries"].fill_null([])


def _derive(frames: Frames) -> pl.LazyFrame:
    packets = segments(frames[PACKETS])
    parts = [_summed(s) for s in streams(packets)]
    if not parts:
        return pl.LazyFrame(schema=CONNECTIONS.schema)
    rows = pl.concat(parts)
    mine = pl.col("from_client")
    return (
        pl.concat([packets[rows["row"]], rows.drop("row", "last")], how="horizontal")
        .with_columns(end=packets["time"].gather(rows["last"]))
        .lazy()
        .with_columns(
            client=pl.when(mine).then("src").otherwise("dst"),
            client_port=pl.when(mine).then("src_port").otherwise("dst_port"),
            server=pl.when(mine).then("dst").otherwise("src"),
            server_port=pl.when(mine).then("dst_port").otherwise("src_port"),
            syns=pl.col("syns").cast(pl.Int32),
            handshake_seconds=pl.col("handshake_seconds").fill_nan(None),
            reset_by=pl.when(pl.col("reset_by") >= 0).then(
                pl.when(pl.col("reset_by") == 0).then(pl.lit("client")).otherwise(pl.lit("server"))
            ),
        )
        .select(list(CONNECTIONS.schema))
        .sort("time", "source", "number", nulls_last=True)
    )


TCP_CONNECTIONS = Fact(table=CONNECTIONS, needs_any=((PACKETS,),), derive=_derive, grouped=True)
