"""Where the packets of a window may hold DNS: told by their headers alone, by a kernel or in NumPy."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from analyzer import kernels
from analyzer.sources.capture import dns_ports
from analyzer.sources.capture.arrays import I64, U8, Flags
from analyzer.sources.capture.dns_ports import DNS, LISTENING, NONE
from analyzer.sources.capture.layers import FIRST, LATER, TCP, UDP, WHOLE
from analyzer.sources.capture.packets import Packets

SYN = 0x02

_WINDOW = ("start", "end", "wire")
_HEADERS = (
    *("protocol", "fragment", "flags", "src_port", "dst_port", "dst_high", "dst_low"),
    *("payload", "payload_end", "payload_bytes"),
)
"""Columns that the kernel takes, in its order."""


class Places(Struct, frozen=True):
    """Messages that have their bytes in one frame each: by their frames, and with what ports say. `whole` is false
    where the captured bytes end before the message."""

    frame: I64
    start: I64
    end: I64
    whole: Flags
    tcp: Flags
    protocol: U8
    to_server: Flags
    from_server: Flags

    def merged(self, other: Places) -> Places:
        """Those of both in the order of their frames."""
        order = np.argsort(np.concatenate([self.frame, other.frame]), kind="stable")
        both = ((getattr(self, name), getattr(other, name)) for name in self.__struct_fields__)
        return Places(*(np.concatenate(columns)[order] for columns in both))


class Hinted(Struct, frozen=True):
    """What the ports of a window lead to. `cut` counts the datagrams of port 53 that the capture cut.

    `segments` are the frames whose TCP segment begins a connection or holds data, `protocol` what their ports say.
    `fragments` are all fragments whatever they hold, `named` the first ones of datagrams whose ports say DNS.
    """

    datagrams: Places
    cut: int
    segments: I64
    protocol: U8
    fragments: I64
    named: Flags


def places(packets: Packets) -> Hinted:
    """What the ports of these packets lead to."""
    window, head, count = packets.window, packets.headers, len(packets.rows)
    columns = packets.rows, *(getattr(window, name) for name in _WINDOW), *(getattr(head, name) for name in _HEADERS)
    numbers, octets, counts = np.empty((5, count), np.int64), np.empty((6, count), np.uint8), np.empty(4, np.int64)
    ports = dns_ports.BY_PORT, dns_ports.GROUPS, numbers, octets, counts, dns_ports.MULTICAST_PORT
    if kernels.call("dns_places", *map(np.ascontiguousarray, columns), *ports) is None:
        return places_together(packets)
    datagrams, segments, fragments, cut = counts.tolist()
    frame, start, end = numbers[:3, :datagrams]
    whole, protocol, to_server, from_server = octets[:4, :datagrams]
    return Hinted(
        datagrams=Places(
            frame=frame,
            start=start,
            end=end,
            whole=whole.view(bool),
            tcp=np.zeros(datagrams, bool),
            protocol=protocol,
            to_server=to_server.view(bool),
            from_server=from_server.view(bool),
        ),
        cut=cut,
        segments=numbers[3, :segments],
        protocol=octets[4, :segments],
        # These outlive the window.
        fragments=numbers[4, :fragments].copy(),
        named=octets[5, :fragments].astype(bool),
    )


def places_together(packets: Packets) -> Hinted:
    """The same in NumPy."""
    window, head, every = packets.window, packets.headers, packets.rows
    protocol = dns_ports.protocols(head.src_port, head.dst_port, head.dst_high, head.dst_low)[every]
    hinted = (protocol != NONE) & (head.fragment[every] != LATER)
    at, protocol = every[hinted], protocol[hinted]
    udp, payload = head.protocol[at] == UDP, head.payload_bytes[at] > 0
    # A first fragment is put together with the others, unless the capture cut it: then nothing else will come of it.
    alone = (head.fragment[at] == WHOLE) | (head.payload_end[at] > window.end[at])
    mine = udp & alone & payload
    datagrams, cut = _datagrams(packets, at[mine], protocol[mine])
    stream = (head.protocol[at] == TCP) & (head.flags[at] >= 0) & (payload | ((head.flags[at] & SYN) != 0))
    fragments = every[head.fragment[every] != WHOLE]
    return Hinted(
        datagrams=datagrams,
        cut=cut,
        segments=at[stream],
        protocol=protocol[stream],
        fragments=fragments,
        named=np.isin(fragments, at[udp & (head.fragment[at] == FIRST)]),
    )


def _datagrams(packets: Packets, at: I64, protocol: U8) -> tuple[Places, int]:
    """Messages in datagrams, and how many of them the capture cut."""
    head, window = packets.headers, packets.window
    cut = window.end[at] - window.start[at] < window.wire[at]
    whole = (head.fragment[at] == WHOLE) & ((head.payload_end[at] <= window.end[at]) | ~cut)
    found = Places(
        frame=at,
        start=head.payload[at],
        end=np.minimum(head.payload_end[at], window.end[at]),
        whole=whole,
        tcp=np.zeros(len(at), bool),
        protocol=protocol,
        to_server=LISTENING[head.dst_port[at]],
        from_server=LISTENING[head.src_port[at]],
    )
    return found, int((cut & ~whole & (protocol == DNS)).sum())
