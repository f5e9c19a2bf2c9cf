"""TCP segments that were sent again: when they were sent first, and whether they are copies of one packet."""

from __future__ import annotations

import numpy as np
import polars as pl

from analyzer.facts import tcp_sequence as events
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.facts.tcp_segments import said
from analyzer.facts.tcp_sequence import Sides, expected
from analyzer.facts.tcp_streams import I64, SYN, Streams, ends, segments, streams
from analyzer.frames import PACKETS, Col, Table
from analyzer.frames.contract import PLACE, empty

KINDS = (events.RETRANSMISSION, events.FAST, events.SPURIOUS)

LEAST_SYN_WAIT = 0.2
"""Seconds: no kernel sends a SYN again sooner. RFC 6298 demands 1 s; 0.2 s is Linux's TCP_RTO_MIN (net/tcp.h)."""
LEAST_WAIT = 0.001
"""Seconds, where the round trip is not known [an engineering default]."""

SOCKETS = ["source", "src", "src_port", "dst", "dst_port"]

TABLE = Table(
    "tcp_retransmissions",
    "One row per TCP segment that was sent again, by the definitions of Wireshark (out of order ones are none), of "
    "connections that are not covered.",
    (
        *PLACE,
        Col(
            "connection", pl.Int64(), "Frame of the connection's first packet: `number` of its row in tcp_connections."
        ),
        Col("client", pl.String(), "Address of the client."),
        Col("client_port", pl.Int32(), "Port of the client."),
        Col("server", pl.String(), "Address of the server."),
        Col("server_port", pl.Int32(), "Port of the server."),
        Col("from_client", pl.Boolean(), "True where the client sent it."),
        Col("kind", pl.String(), "retransmission, fast retransmission or spurious retransmission."),
        Col("syn", pl.Boolean(), "True for SYN and SYN-ACK."),
        Col("seq", pl.Int64(), "Sequence number as on the wire."),
        Col("payload_bytes", pl.Int64(), "Length of its payload."),
        Col(
            "first_number",
            pl.Int64(),
            "Frame that had these octets first, or, where that was not captured, showed the gap; null if none.",
        ),
        Col("seen", pl.Boolean(), "Whether the first transmission was captured."),
        Col("first_bytes", pl.Int64(), "Length of the first transmission's payload; null if it was not captured."),
        Col("delay_seconds", pl.Float64(), "Time since that frame; null without it, or if the clock stepped back."),
        Col("turn", pl.Int32(), "Which retransmission of this sequence number it is, from 1."),
        Col(
            "copy",
            pl.Boolean(),
            "The same packet captured again: the IP identification is that of the one before, or it comes sooner than "
            "half of the connection's first round trip (1 ms where it is not known), a client's SYN sooner than 0.2 s.",
        ),
    ),
)


def _rows(s: Streams) -> pl.DataFrame:
    """Positions among the packets, of one part: of each retransmission, its connection and its first transmission."""
    client = s.by_client()
    found = said(s, client)
    kind = np.full(len(s), -1, np.int8)
    for code, event in enumerate(KINDS):
        kind[found[event]] = code
    at = np.flatnonzero(kind >= 0)
    origin, seen = _first_sent(s, at)
    took = s.time[at] - s.time[origin]
    return pl.DataFrame(
        {
            "row": s.row[at],
            "begin": s.row[s.start[at]],
            "origin": np.where(origin >= 0, s.row[origin], -1),
            "from_client": client[at],
            "code": kind[at],
            "syn": (s.flags[at] & SYN) != 0,
            "seen": seen,
            "delay_seconds": np.where((origin >= 0) & (took >= 0), took / 1e6, np.nan),
        }
    )


def _first_sent(s: Streams, again: I64) -> tuple[I64, I64]:
    """Per retransmission the packet that first reached its octets (-1: none), and whether it holds them.

    Numbers of a side rise from side to side, so one running maximum finds the packet for all.
    """
    sides = Sides(s)
    at = expected(s, sides, np.ones(len(s), np.int64)).at
    carries = s.length[sides.at] > 0
    begin = np.where(carries, at[sides.at], 0)
    top = np.maximum.accumulate(begin)
    reached = np.searchsorted(top, at[again], "left")
    exact = sides.at[np.minimum(reached, len(s) - 1)]
    # A longer segment may have held the octets; of large ones, parts are sent again.
    before = np.maximum(np.searchsorted(top, top[np.maximum(reached - 1, 0)], "left"), 0)
    longer = sides.at[before]
    inside = (reached > 0) & (at[longer] < at[again]) & (at[longer] + s.length[longer] > at[again])
    inside &= ((at[exact] != at[again]) | (exact >= again)) & (longer < again)
    origin = np.where(inside, longer, exact)
    known = (s.start[origin] == s.start[again]) & (s.ahead[origin] == s.ahead[again]) & (origin < again)
    return np.where(known, origin, -1), known & (inside | (at[exact] == at[again]))


def _lossy_packets(frames: Frames) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Connections that sent something again, and all packets of their sockets: they are few, mostly."""
    lossy = (
        frames[TCP_CONNECTIONS]
        .filter(~pl.col("covered"), pl.col("client_retransmissions") + pl.col("server_retransmissions") > 0)
        # A handshake with several SYNs is longer than a round trip.
        .with_columns(trip=pl.when(pl.col("syns") == 1).then("handshake_seconds"))
        .select("source", "number", "client", "client_port", "server", "server_port", "trip")
        .collect()
    )
    forth = lossy.select("source", src="client", src_port="client_port", dst="server", dst_port="server_port")
    back = lossy.select("source", src="server", src_port="server_port", dst="client", dst_port="client_port")
    pairs = pl.concat([forth, back]).unique()
    ports = pairs["src_port"].unique().implode()
    # Whole numbers first: most packets are none of these, and text is slow to compare.
    near = frames[PACKETS].filter(pl.col("src_port").is_in(ports), pl.col("dst_port").is_in(ports))
    return lossy, segments(near.join(pairs.lazy(), on=SOCKETS, how="semi", maintain_order="left"), "ip_id")


def _derive(frames: Frames) -> pl.LazyFrame:
    lossy, packets = _lossy_packets(frames)
    parts = [_rows(s) for s in streams(packets)]
    if not parts:
        return empty(TABLE).lazy()
    rows = pl.concat(parts)
    origin = rows["origin"]
    named = packets[rows["row"]].with_columns(
        *rows.select("from_client", "syn", "seen", pl.col("delay_seconds").fill_nan(None)),
        connection=packets["number"].gather(rows["begin"]),
        kind=pl.Series(KINDS).gather(rows["code"]),
        first_number=packets["number"].gather(pl.Series(origin.clip(0))).set(origin < 0, None),
        first_bytes=packets["payload_bytes"].gather(pl.Series(origin.clip(0))).set(origin < 0, None),
        first_id=packets["ip_id"].gather(pl.Series(origin.clip(0))).set(origin < 0, None),
    )
    named = named.with_columns(first_bytes=pl.when("seen").then("first_bytes"))
    own = lossy.select("source", "trip", connection="number")
    met = named.with_columns(**ends()).join(own, on=["source", "connection"], how="inner", maintain_order="left")
    return _copies(met).select(list(TABLE.schema)).sort("time", "source", "number", nulls_last=True).lazy()


def _copies(rows: pl.DataFrame) -> pl.DataFrame:
    """With `turn` and `copy`: each is compared with the transmission before it."""
    key = ["source", "connection", "from_client", "seq"]
    ordered = rows.sort(*key, "number")
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in key).fill_null(False)
    identity = pl.when(same).then(pl.col("ip_id").shift(1)).otherwise("first_id")
    since = pl.when(same).then(pl.col("delay_seconds") - pl.col("delay_seconds").shift(1)).otherwise("delay_seconds")
    asks = pl.col("syn") & pl.col("from_client")
    # A server answers each SYN that reaches it, and by its own clock too.
    trip = pl.when(~pl.col("syn")).then(pl.col("trip") / 2).fill_null(LEAST_WAIT)
    least = pl.when(asks).then(LEAST_SYN_WAIT).otherwise(trip)
    copy = ((pl.col("ip_id") == identity) & (pl.col("ip_id") > 0)).fill_null(False)
    copy |= (pl.col("seen") & (since < least)).fill_null(False)
    at = pl.int_range(pl.len(), dtype=pl.Int32)
    return ordered.with_columns(copy=copy, turn=at - pl.when(~same).then(at).forward_fill() + 1)


TCP_RETRANSMISSIONS = Fact(table=TABLE, needs_any=((TCP_CONNECTIONS, PACKETS),), derive=_derive)
