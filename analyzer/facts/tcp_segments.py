"""What can be said of single TCP segments: sent again, out of order, lost before, window closed, reset."""

from __future__ import annotations

import numpy as np
import polars as pl

from analyzer.facts import tcp_sequence as events
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.tcp_sequence import Sides, analyse
from analyzer.facts.tcp_streams import RST, Flags, Streams, ends, segments, streams
from analyzer.frames import PACKETS, Col, Table
from analyzer.frames.contract import PLACE

EVENTS = (
    events.RETRANSMISSION,
    events.FAST,
    events.SPURIOUS,
    events.OUT_OF_ORDER,
    events.LOST,
    events.KEEP_ALIVE,
    events.KEEP_ALIVE_ACK,
    events.DUPLICATE_ACK,
    events.ZERO_WINDOW,
    events.PROBE,
    events.PROBE_ACK,
    events.SYN_RETRY,
    events.PORT_REUSED,
    events.RESET,
)

SEGMENTS = Table(
    "tcp_segments",
    "One row per TCP segment and event that is said of it, after the definitions of Wireshark. A segment may have "
    "several; of retransmission, fast retransmission, spurious retransmission and out of order it has at most one.",
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
        Col("seq", pl.Int64(), "Sequence number as on the wire."),
        Col("payload_bytes", pl.Int64(), "Length of its payload."),
        Col("event", pl.String(), ", ".join(EVENTS[:-1]) + f" or {EVENTS[-1]}."),
    ),
)


def said(s: Streams, by_client: Flags) -> dict[str, Flags]:
    """For each event the packets that it is said of: the analysis, and what the flags alone tell."""
    asks = s.opens & by_client
    return analyse(s, Sides(s)) | {
        events.SYN_RETRY: asks & (s.first(asks) != np.arange(len(s))),
        events.PORT_REUSED: s.reused,
        events.RESET: s.has(RST),
    }


def _rows(s: Streams) -> pl.DataFrame:
    """Position among the packets, event and what the connection adds, of one part."""
    client = s.by_client()
    found = said(s, client)
    parts = []
    for code, event in enumerate(EVENTS):
        at = np.flatnonzero(found[event])
        parts.append(
            pl.DataFrame(
                {
                    "row": s.row[at],
                    "first": s.row[s.start[at]],
                    "from_client": client[at],
                    "code": np.full(len(at), code, np.uint8),
                }
            )
        )
    return pl.concat(parts)


def _derive(frames: Frames) -> pl.LazyFrame:
    packets = segments(frames[PACKETS])
    parts = [_rows(s) for s in streams(packets)]
    if not parts:
        return pl.LazyFrame(schema=SEGMENTS.schema)
    rows = pl.concat(parts)
    named = packets[rows["row"]].with_columns(
        rows["from_client"],
        connection=packets["number"].gather(rows["first"]),
        event=pl.Series(EVENTS).gather(rows["code"]),
    )
    return (
        named.lazy()
        .sort("time", "source", "number", "event", nulls_last=True)
        .with_columns(**ends())
        .select(list(SEGMENTS.schema))
    )


TCP_SEGMENTS = Fact(table=SEGMENTS, needs_any=((PACKETS,),), derive=_derive, grouped=True)
