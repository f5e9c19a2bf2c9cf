"""TCP connections: how they began, what went each way, how they ended."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyzer.facts import tcp_sequence as events
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.tcp_segments import said
from analyzer.facts.tcp_sequence import modular
from analyzer.facts.tcp_streams import ACK, FIN, I64, RST, SYN, Flags, Streams, ends, segments, streams
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


SEEN = Table(
    "tcp_connections_seen",
    "One row per TCP connection or attempt in one capture, from one SYN to the next with another initial sequence "
    "number. Copies of packets at other interfaces are left out. A rotated capture gives a row per file.",
    (
        *PLACE,
        Col("end", TIME, "Time of the last packet; null where the source has no time."),
        Col("client", pl.String(), "Address that sent the SYN; without a SYN the one with the higher port."),
        Col("client_port", pl.Int32(), "Port of the client."),
        Col("server", pl.String(), "Address that the client spoke to."),
        Col("server_port", pl.Int32(), "Port of the server."),
        Col("client_isn", pl.Int64(), "Initial sequence number of the client; null without its SYN."),
        Col("server_isn", pl.Int64(), "Initial sequence number of the server; null without its SYN-ACK."),
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
        *_both("segments", "packets that may be sent again: with payload, SYN or FIN"),
        *_both("bytes", "octets of payload, each counted once"),
        *_both("repeated_bytes", "octets of payload that were sent before"),
        *(col for name, (_, doc) in COUNTED.items() for col in _both(name, doc)),
    ),
)


CONNECTIONS = Table(
    "tcp_connections",
    SEEN.doc + " Count the rows that are not covered.",
    (
        *SEEN.cols,
        Col(
            "covered",
            pl.Boolean(),
            "True where another row tells of the same connection: before a service address or the node's own is "
            "translated, or in another capture. The row kept is the first of the fullest capture; where the address of "
            "the client is translated, of the one nearer to the clients.",
        ),
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
        sums = {
            "packets": mine,
            "segments": mine & (s.length > 0),
            "bytes": (s.payload - repeated) * mine,
            "repeated_bytes": repeated * mine,
        }
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
        "client_isn": np.where(ask >= 0, s.seq[ask], -1),
        "server_isn": np.where(answer >= 0, s.seq[answer], -1),
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
        return pl.LazyFrame(schema=SEEN.schema)
    rows = pl.concat(parts)
    return (
        pl.concat([packets[rows["row"]], rows.drop("row", "last")], how="horizontal")
        .with_columns(end=packets["time"].gather(rows["last"]))
        .lazy()
        .with_columns(
            **ends(),
            syns=pl.col("syns").cast(pl.Int32),
            client_isn=pl.when(pl.col("client_isn") >= 0).then("client_isn"),
            server_isn=pl.when(pl.col("server_isn") >= 0).then("server_isn"),
            handshake_seconds=pl.col("handshake_seconds").fill_nan(None),
            reset_by=pl.when(pl.col("reset_by") >= 0).then(
                pl.when(pl.col("reset_by") == 0).then(pl.lit("client")).otherwise(pl.lit("server"))
            ),
        )
        .select(list(SEEN.schema))
        .sort("time", "source", "number", nulls_last=True)
    )


TRANSLATION = pl.duration(milliseconds=10)
"""The longest that a node takes from one interface to the next."""


def _covered(seen: pl.DataFrame) -> pl.Series:
    """Rows of a connection that stands elsewhere: both initial sequence numbers, 64 bits of chance, are the same.

    Of a SYN that nobody answered there are 32 bits; so one end must be the same too, and the time nearly so.
    """
    size = pl.len().over("source")
    rows = seen.with_row_index("at").with_columns(size=size).filter(pl.col("client_isn").is_not_null())
    order = ["clients", "asks", "size", "source", "time", "number"]
    key = ["client_isn", "server_isn"]
    twice = _nearest(rows.filter(pl.struct(key).is_duplicated()), key)
    twice = twice.sort(order, descending=[True, True, True, False, False, False])
    firsts = ("source", "time", "client", "client_port", "server", "server_port")
    kept = twice.with_columns(pl.col(name).first().over(key).alias(f"first_{name}") for name in firsts)
    kept = kept.with_columns(turn=pl.int_range(pl.len()).over(key)).filter(pl.col("turn") > 0)
    same = pl.all_horizontal(pl.col(name) == pl.col(f"first_{name}") for name in ("client", "client_port"))
    same |= pl.all_horizontal(pl.col(name) == pl.col(f"first_{name}") for name in ("server", "server_port"))
    elsewhere = pl.col("source") != pl.col("first_source")
    soon = (pl.col("time") - pl.col("first_time") <= TRANSLATION).fill_null(False)
    again = kept.filter(pl.col("server_isn").is_not_null() & (elsewhere | soon) | same & soon & ~elsewhere)
    return seen.select(pl.int_range(pl.len()).is_in(again["at"].cast(pl.Int64).implode())).to_series()


def _nearest(twice: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """With `clients` and `asks`, how many clients and SYNs each source shows of connections whose client is translated;
    0 of the others. Before the translation there are more of both: many pods become one node, and a SYN may be lost."""
    several = (pl.col("client").n_unique() > 1) & (pl.col("server").n_unique() == 1)
    marked = twice.with_columns(translated=several.over(key) & pl.col("server_isn").is_not_null())
    mine = (
        marked.filter("translated")
        .group_by("source")
        .agg(clients=pl.col("client").n_unique(), asks=pl.col("syns").sum())
    )
    scores = [pl.when("translated").then(name).fill_null(0).alias(name) for name in ("clients", "asks")]
    return marked.join(mine, on="source", how="left", maintain_order="left").with_columns(scores).drop("translated")


def _once(frames: Frames) -> pl.LazyFrame:
    seen = frames[TCP_CONNECTIONS_SEEN].collect()
    return seen.with_columns(covered=_covered(seen)).lazy()


TCP_CONNECTIONS_SEEN = Fact(table=SEEN, needs_any=((PACKETS,),), derive=_derive, grouped=True)
TCP_CONNECTIONS = Fact(table=CONNECTIONS, needs_any=((TCP_CONNECTIONS_SEEN,),), derive=_once)
