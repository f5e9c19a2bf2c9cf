"""Finds the DNS messages that lie whole in one packet of a window, and takes out the packets that hold a part of one.

All of this is a pure function of one window. What spans packets is put together in file order by dns_reader.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from msgspec import Struct

from analyzer.sources.capture.arrays import I64, U8, Flags, gather, halves, no_offsets
from analyzer.sources.capture.dns_places import Places, places
from analyzer.sources.capture.dns_ports import DNS, LISTENING
from analyzer.sources.capture.dns_records import HEADER
from analyzer.sources.capture.dns_tables import Columns, Found, Memo, rows
from analyzer.sources.capture.extracts import Extract, extract
from analyzer.sources.capture.fragments import Pieces, pieces
from analyzer.sources.capture.packets import Packets, taken
from analyzer.sources.capture.window import NO_INTERFACE

SEGMENT_MESSAGES_MOST = 256
"""Messages looked for in one TCP segment; more do not fit into 4 KiB."""


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
    hinted = places(packets)
    found, segments = hinted.datagrams, None
    if len(hinted.segments):
        inside, segments = _segments(packets, hinted.segments, hinted.protocol)
        found = found.merged(inside) if len(inside.frame) else found
    made = rows(_found(packets, found), lambda some: _carriers(packets, found.frame[some], source), memo)
    return WindowDns(
        messages=made.messages,
        frame=found.frame[made.message],
        answers=made.answers,
        answer_frame=found.frame[made.answer],
        malformed=found.frame[made.malformed],
        unchecked=made.unchecked,
        cut=hinted.cut,
        segments=segments,
        fragments=pieces(packets.window, packets.headers, packets.interface, hinted.fragments, hinted.named),
    )


def _found(packets: Packets, places: Places) -> Found:
    return Found(
        data=packets.window.data,
        start=places.start,
        end=places.end,
        whole=places.whole,
        tcp=places.tcp,
        protocol=places.protocol,
        to_server=places.to_server,
        from_server=places.from_server,
    )


def _carriers(packets: Packets, frame: I64, source: str) -> Columns:
    return {
        **packets.where(frame, source),
        **packets.ends(frame),
        "interface": taken(packets.interface, frame, pl.Int32(), NO_INTERFACE),
        "wire_bytes": pl.Series(packets.window.wire[frame]),
    }


def _segments(packets: Packets, at: I64, protocol: U8) -> tuple[Places, Segments]:
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
    segments = Segments(extract(packets.window, head, packets.interface, at[mine]), exact[mine])
    frame, every = at[of], np.ones(len(of), bool)
    found = Places(
        frame=frame,
        start=start[order],
        end=stop[order],
        whole=every,
        tcp=every,
        protocol=protocol[of],
        to_server=LISTENING[head.dst_port[frame]],
        from_server=LISTENING[head.src_port[frame]],
    )
    return found, segments
