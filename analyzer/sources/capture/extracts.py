"""Packets taken out of a window with their payloads, for readers that have to wait for what other windows hold.

Decoding is a pure function of one window; what spans windows (a message over several segments, a fragmented datagram)
is put together later, in file order, from these few packets.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from analyzer.sources.capture.arrays import I64, U8, U64
from analyzer.sources.capture.layers import Headers
from analyzer.sources.capture.window import Window


class Extract(Struct, frozen=True):
    """One row per packet, in file order. `frame` is its position in the window, `data[start:end]` its captured payload;
    `payload_bytes` is the payload's length by the headers, which is more where the capture cut it. The other columns
    are those of Window and Headers."""

    frame: I64
    number: I64
    time: I64
    interface: I64
    wire: I64
    version: U8
    protocol: U8
    src_high: U64
    src_low: U64
    dst_high: U64
    dst_low: U64
    src_port: I64
    dst_port: I64
    seq: I64
    flags: I64
    fragment: U8
    fragment_id: I64
    payload_bytes: I64
    data: U8
    start: I64
    end: I64

    def __len__(self) -> int:
        return len(self.frame)

    def payload(self, row: int) -> bytes:
        """The captured payload of one packet."""
        return self.data[int(self.start[row]) : int(self.end[row])].tobytes()


def extract(window: Window, head: Headers, interface: I64, rows: I64, most: int | I64 | None = None) -> Extract:
    """These frames of the window, with at most `most` bytes of each payload."""
    begin = head.payload[rows]
    stop = np.maximum(np.minimum(head.payload_end[rows], window.end[rows]), begin)
    if most is not None:
        stop = np.minimum(stop, begin + most)
    size = stop - begin
    end = np.cumsum(size)
    start = end - size
    place = np.arange(int(end[-1]) if len(end) else 0) + np.repeat(begin - start, size)
    return Extract(
        frame=rows,
        number=window.number[rows],
        time=window.time[rows],
        interface=interface[rows],
        wire=window.wire[rows],
        version=head.version[rows],
        protocol=head.protocol[rows],
        src_high=head.src_high[rows],
        src_low=head.src_low[rows],
        dst_high=head.dst_high[rows],
        dst_low=head.dst_low[rows],
        src_port=head.src_port[rows],
        dst_port=head.dst_port[rows],
        seq=head.seq[rows],
        flags=head.flags[rows],
        fragment=head.fragment[rows],
        fragment_id=head.fragment_id[rows],
        payload_bytes=head.payload_bytes[rows],
        data=window.data[place],
        start=start,
        end=end,
    )
