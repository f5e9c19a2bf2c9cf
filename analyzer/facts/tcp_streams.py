"""TCP packets in the order of their connections: what the TCP facts are computed from.

A connection is what two sockets say to each other in one capture, from one SYN to the next with another initial
sequence number. The pieces of a rotated capture are captures of their own, and so are two captures of one connection
at two places: told apart they are both right, put together the second would look like retransmissions of the first.
Packets that the reader marked as copies are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from analyzer.facts.neighbours import begins, hashed, last_before, side_by_side

I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
"""Bits of the flag byte (RFC 9293, section 3.1)."""

BUCKET_ROWS = 1 << 17
"""Packets that are analysed at a time, or one connection if it has more: it bounds the memory of what is made on the
way, some 300 bytes a packet. Of more, each array is so large that it is asked of the operating system anew, which takes
a third of the time."""

_PORTS = ("src_port", "dst_port")
_WORD = (1 << 32) - 1


class Streams(Struct, frozen=True):
    """TCP packets of whole connections, one connection after the other, each in the order of its capture.

    `row` is the packet's place in the frame of packets, `start` the position here of its connection's first packet.
    `ahead` tells the two directions apart: the sender is the lower of the two sockets. `reused` marks the first SYN of
    sockets that had a connection before; `calls` where the sender has the higher port, or the same.
    """

    row: I64
    start: I64
    ahead: Flags
    time: I64
    seq: I64
    ack: I64
    flags: I64
    window: I64
    payload: I64
    reused: Flags
    calls: Flags

    def __len__(self) -> int:
        return len(self.row)

    def has(self, *bits: int) -> Flags:
        """Where all of these flags are set."""
        mask = sum(bits)
        found: Flags = (self.flags & mask) == mask
        return found

    def without(self, *bits: int) -> Flags:
        """Where none of these flags is set."""
        found: Flags = (self.flags & sum(bits)) == 0
        return found

    @property
    def opens(self) -> Flags:
        """SYN without ACK: what a client begins with."""
        found: Flags = (self.flags & (SYN | ACK)) == SYN
        return found

    @property
    def begins(self) -> I64:
        """Position of each connection's first packet."""
        return np.flatnonzero(self.start == np.arange(len(self)))

    def first(self, marks: Flags) -> I64:
        """Per packet the position of the first marked one of its connection; -1 where there is none."""
        at = np.flatnonzero(marks)
        out = np.full(len(self), -1)
        # backwards, so that the first is written last
        out[self.start[at[::-1]]] = at[::-1]
        return out[self.start]

    def by_client(self) -> Flags:
        """Whether the client sent the packet: who sent the first SYN or got the first SYN-ACK; where the capture has
        neither, who has the higher port."""
        opens, answers = self.first(self.opens), self.first(self.has(SYN, ACK))
        client_ahead = np.where(self.calls, self.ahead, ~self.ahead)[self.start]
        client_ahead = np.where(answers >= 0, ~self.ahead[answers], client_ahead)
        client_ahead = np.where(opens >= 0, self.ahead[opens], client_ahead)
        found: Flags = self.ahead == client_ahead
        return found

    @property
    def length(self) -> I64:
        """The sequence numbers that a segment takes: a SYN or FIN takes one too."""
        taken: I64 = self.payload + ((self.flags & (SYN | FIN)) != 0)
        return taken


def segments(packets: pl.LazyFrame, *more: str) -> pl.DataFrame:
    """The packets that TCP facts are about, in order, with `more` columns. Those whose header was cut are left out."""
    return (
        packets.filter(
            pl.col("protocol") == "TCP",
            pl.col("tcp_flags").is_not_null(),
            ~pl.col("duplicate").fill_null(False),
        )
        .select(
            *("time", "source", "number", "src", "src_port", "dst", "dst_port"),
            *("tcp_flags", "seq", "ack", "window", "payload_bytes", *more),
        )
        .collect()
    )


def streams(frame: pl.DataFrame) -> Iterator[Streams]:
    """These packets by connection, in parts of about BUCKET_ROWS."""
    if not frame.height:
        return
    order, first, ahead = _grouped(frame)
    seq, ack, flags = (_plain(frame[name], 0)[order].astype(np.int64) for name in ("seq", "ack", "tcp_flags"))
    time, payload, src_port, dst_port = (_plain(frame[name], 0) for name in ("time", "payload_bytes", *_PORTS))
    window = _plain(frame["window"], -1)
    reused = _port_reused(first, ahead, seq, ack, flags)
    first |= reused
    ends = np.append(np.flatnonzero(first), len(order))
    at = 0
    while at < len(order):
        most = np.searchsorted(ends, at + BUCKET_ROWS, "right") - 1
        end = int(ends[max(most, np.searchsorted(ends, at) + 1)])
        row, part = order[at:end], slice(at, end)
        yield Streams(
            row=row,
            start=last_before(first[part], inclusive=True),
            ahead=ahead[part],
            time=time[row].astype(np.int64, copy=False),
            seq=seq[part],
            ack=ack[part],
            flags=flags[part],
            window=window[row].astype(np.int64),
            payload=payload[row].astype(np.int64, copy=False),
            reused=reused[part],
            calls=src_port[row] >= dst_port[row],
        )
        at = end


def _plain(column: pl.Series, absent: int) -> NDArray[np.signedinteger]:
    """The numbers of a column, `absent` where it has none."""
    return column.to_physical().fill_null(absent).to_numpy()


def _grouped(frame: pl.DataFrame) -> tuple[I64, Flags, Flags]:
    """The rows by capture and pair of sockets, those of one pair by number; where a pair begins; who of the two sends.

    Sockets are known by hashes, because text is slow to sort.
    """
    ends = frame.select(src=hashed(["src", "src_port"]), dst=hashed(["dst", "dst_port"]))
    src, dst = ends["src"].to_numpy(), ends["dst"].to_numpy()
    pairs = [np.minimum(src, dst), np.maximum(src, dst)]
    several = bool((frame["source"] != frame["source"][0]).any())
    if several:
        pairs.append(frame["source"].hash().to_numpy())
    key = pairs[0] + np.sum(pairs[1:], axis=0) * np.uint64(3)
    if several or not frame["number"].is_sorted():
        by_number = np.argsort(frame["number"].to_numpy(), kind="stable")
        order = by_number[side_by_side(key[by_number])]
    else:
        order = side_by_side(key)
    first = np.logical_or.reduce([begins(part[order]) for part in pairs])
    return order, first, (src < dst)[order]


def _port_reused(begins: Flags, ahead: Flags, seq: I64, ack: I64, flags: I64) -> Flags:
    """SYNs of sockets that had a connection before: their sequence number is not the initial one of their side.

    That one is known from the last SYN of the side, else from the first packet of the two sockets: a side's own number
    is one more, and so is what the other side acknowledges first.
    """
    out = np.zeros(len(seq), bool)
    pair = last_before(begins, inclusive=True)
    shake = np.flatnonzero((flags & SYN) != 0)
    shake = shake[np.lexsort((shake, ahead[shake], pair[shake]))]
    again = np.zeros(len(shake), bool)
    again[1:] = (pair[shake[1:]] == pair[shake[:-1]]) & (ahead[shake[1:]] == ahead[shake[:-1]])
    first = pair[shake]
    mine = ahead[first] == ahead[shake]
    told = again | mine | ((flags[first] & ACK) != 0)
    initial = (np.where(mine, seq[first], ack[first]) - 1) & _WORD
    initial = np.where(again, np.roll(seq[shake], 1), initial)
    opens = ((flags[shake] & ACK) == 0) & (first != shake)
    out[shake[opens & told & (seq[shake] != initial)]] = True
    return out


def ends() -> dict[str, pl.Expr]:
    """Client and server, with their ports, of rows that have the sender's side in `from_client`."""
    mine, sides = pl.col("from_client"), (("client", "src", "dst"), ("server", "dst", "src"))
    return {
        f"{side}{port}": pl.when(mine).then(f"{sender}{port}").otherwise(f"{other}{port}")
        for side, sender, other in sides
        for port in ("", "_port")
    }
