"""Finds the DNS messages that lie whole in one packet of a window, and takes out the packets that hold a part of one.

All of this is a pure function of one window. What spans packets is put together in file order by dns_reader.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from msgspec import Struct

from analyzer.sources.capture import dns_ports
from analyzer.sources.capture.arrays import I64, U8, Flags, gather, halves, no_offsets
from analyzer.sources.capture.dns_ports import DNS, LISTENING, NONE
from analyzer.sources.capture.dns_records import HEADER
from analyzer.sources.capture.dns_tables import Columns, Found, Memo, rows
from analyzer.sources.capture.extracts import Extract, extract
from analyzer.sources.capture.fragments import Pieces, pieces
from analyzer.sources.capture.layers import LATER, TCP, UDP, WHOLE
from analyzer.sources.capture.packets import Packets, taken
from analyzer.sources.capture.window import NO_INTERFACE

SEGMENT_MESSAGES_MOST = 256
"""Messages looked for in one TCP segment; more do not fit into 4 KiB."""
SYN = 0x02


class Segments(Struct, frozen=True):
    """The TCP segments of port 53 that begin a connection or hold data. `read` tells those that hold whole messages
    only, which have their rows already."""

    packets: Extract
    read: Flags


class WindowDns(Struct, frozen=True):
    """DNS of one window. `frame` and `answer_frame` are the frames of the window that each row is of, `malformed` those
    with a message that is refused; `cut` counts messages that the capture cut."""

    messages: pl.DataFrame
    frame: I64
    answers: pl.DataFrame
    answer_frame: I64
    malformed: I64
    unchecked: int
    cut: int
    segments: Segments | None
    fragments: Pieces | None


def window_dns(packets: Packets, source: str, memo: Memo) -> WindowDns:
    """The messages that are whole within their packet, and what is left over for other windows."""
    head, at = packets.headers, packets.rows
    protocol = dns_ports.protocols(head.src_port, head.dst_port, head.dst_high, head.dst_low)[at]
    hinted = protocol != NONE
    every, at, protocol = at, at[hinted], protocol[hinted]
    claimed = head.fragment[at] != LATER
    # A first fragment is put together with the others, unless the capture cut it: then nothing else will come of it.
    alone = (head.fragment[at] == WHOLE) | (head.payload_end[at] > packets.window.end[at])
    mine = claimed & alone & (head.payload_bytes[at] > 0)
    places, cut = _datagrams(packets, at[mine], protocol[mine])
    stream = claimed & (head.protocol[at] == TCP) & (head.flags[at] >= 0)
    stream &= (head.payload_bytes[at] > 0) | ((head.flags[at] & SYN) != 0)
    segments = None
    if stream.any():
        inside, segments = _segments(packets, at[stream], protocol[stream])
        order = np.argsort(np.concatenate([places.frame, inside.frame]), kind="stable")
        places = _Places(*(np.concatenate([getattr(places, name), getattr(inside, name)])[order] for name in _FIELDS))
    made = rows(_found(packets, places), lambda some: _carriers(packets, places.frame[some], source), memo)
    return WindowDns(
        messages=made.messages,
        frame=places.frame[made.message],
        answers=made.answers,
        answer_frame=places.frame[made.answer],
        malformed=places.frame[made.malformed],
        unchecked=made.unchecked,
        cut=cut,
        segments=segments,
        fragments=pieces(packets.window, head, packets.interface, every, at[claimed & (head.protocol[at] == UDP)]),
    )


class _Places(Struct, frozen=True):
    frame: I64
    start: I64
    end: I64
    whole: Flags
    protocol: U8


_FIELDS = ("frame", "start", "end", "whole", "protocol")


def _found(packets: Packets, places: _Places) -> Found:
    head, frame = packets.headers, places.frame
    return Found(
        data=packets.window.data,
        start=places.start,
        end=places.end,
        whole=places.whole,
        tcp=head.protocol[frame] == TCP,
        protocol=places.protocol,
        to_server=LISTENING[head.dst_port[frame]],
        from_server=LISTENING[head.src_port[frame]],
    )


def _carriers(packets: Packets, frame: I64, source: str) -> Columns:
    return {
        **packets.where(frame, source),
        **packets.ends(frame),
        "interface": taken(packets.interface, frame, pl.Int32(), NO_INTERFACE),
        "wire_bytes": pl.Series(packets.window.wire[frame], dtype=pl.Int64),
    }


def _datagrams(packets: Packets, claimed: I64, protocol: U8) -> tuple[_Places, int]:
    """Messages in datagrams, and how many of them the capture cut."""
    head, window = packets.headers, packets.window
    udp = head.protocol[claimed] == UDP
    at, protocol = claimed[udp], protocol[udp]
    end = np.minimum(head.payload_end[at], window.end[at])
    cut = window.end[at] - window.start[at] < window.wire[at]
    whole = (head.fragment[at] == WHOLE) & ((head.payload_end[at] <= window.end[at]) | ~cut)
    return _Places(at, head.payload[at], end, whole, protocol), int((cut & ~whole & (protocol == DNS)).sum())


def _segments(packets: Packets, at: I64, protocol: U8) -> tuple[_Places, Segments]:
    """Messages of segments that hold whole messages only, and the segments of port 53."""
    head, data = packets.headers, packets.window.data
    behind, end = head.payload[at].copy(), head.payload_end[at]
    row, starts, ends = [no_offsets()], [no_offsets()], [no_offsets()]
    left = np.flatnonzero((end <= packets.window.end[at]) & (head.payload_bytes[at] > 0))
    exact = np.zeros(len(at), bool)
    for _ in range(SEGMENT_MESSAGES_MOST):
        start = behind[left] + 2
        stop = start + halves(gather(data, behind[left], 2), 0)
        fits = (stop <= end[left]) & (stop - start >= HEADER)
        left, start, stop = left[fits], start[fits], stop[fits]
        if not len(left):
            break
        row.append(left)
        starts.append(start)
        ends.append(stop)
        behind[left] = stop
        exact[left[stop == end[left]]] = True
        left = left[stop < end[left]]
    of, start, stop = np.concatenate(row), np.concatenate(starts), np.concatenate(ends)
    order = np.argsort(of, kind="stable")
    order = order[exact[of[order]]]
    of = of[order]
    mine = protocol == DNS
    taken = Segments(extract(packets.window, head, packets.interface, at[mine]), exact[mine])
    return _Places(at[of], start[order], stop[order], np.ones(len(of), bool), protocol[of]), taken
