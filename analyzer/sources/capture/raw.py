"""Single frames as they were captured, for a smaller capture; what may hold a credential is cut off them.

The snap length of every frame is chosen here: headers stay, and of payloads only what this tool itself reads in full.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec import Struct

from analyzer.sources.capture import links
from analyzer.sources.capture.arrays import I64, Flags, gather, half_at
from analyzer.sources.capture.framing import windows
from analyzer.sources.capture.icmp import PACKET_MOST
from analyzer.sources.capture.layers import ICMP, ICMP6, LATER, TCP, UDP, Headers, headers
from analyzer.sources.capture.network import network
from analyzer.sources.capture.quote import marked, picked
from analyzer.sources.capture.reasons import FINE
from analyzer.sources.capture.shims import IPV4, IPV6
from analyzer.sources.capture.window import NO_TIME, Window
from analyzer.sources.contract import ByteStream, Ledger, Marks, SkippingStream

ARP, ARP_BYTES = 0x0806, 28
"""EtherType, and the length of a packet for IPv4 over Ethernet (RFC 826): nothing behind it is a part of it."""

DNS_PORTS = (53, 5353)
ICMP_HEADER = 8
QUOTED_LEAST = 8
"""Bytes behind the IP header that every ICMP error quotes (RFC 792)."""

NEIGHBOURS = (133, 136)
"""First and last ICMPv6 type of neighbour discovery (RFC 4861) whose options are addresses; a redirect quotes."""

HANDSHAKE, TLS_RECORD = 22, 5
"""TLS content type of a handshake, and the length of a record's header (RFC 8446, section 5.1)."""


class Frame(Struct, frozen=True):
    """One frame. `time` counts nanoseconds since 1970, None where it has none; `wire` is its length on the wire;
    `captured` how many bytes the original holds, `data` those that are kept; `interface` is -1 if unknown."""

    number: int
    time: int | None
    wire: int
    captured: int
    link: int
    interface: int
    data: bytes


class Known(Struct, frozen=True):
    """Frames whose TCP payload may stay: those that hold a whole DNS message, and those that begin with a TLS
    ClientHello."""

    dns: frozenset[int] = frozenset()
    hellos: frozenset[int] = frozenset()


def frames(stream: ByteStream, numbers: frozenset[int], known: Known) -> Iterator[Frame]:
    """The frames of those numbers in file order, as far as they exist."""
    return _frames(picked(windows(stream, Ledger(), fine=True), numbers), known)


def frames_by(stream: SkippingStream, numbers: frozenset[int], known: Known, marks: Marks) -> Iterator[Frame]:
    """The same without walking to them."""
    return _frames(picked(marked(stream, numbers, marks, fine=True), numbers), known)


def _frames(parts: Iterator[Window], known: Known) -> Iterator[Frame]:
    for window in parts:
        fine = np.zeros(len(window), np.int64) if window.fine is None else window.fine
        columns = (window.number, window.time, fine, window.wire, window.link, window.interface)
        bounds = (window.start, window.end, kept_end(window, known))
        for row in zip(*(column.tolist() for column in (*columns, *bounds)), strict=True):
            number, time, nanos, wire, link, interface, start, end, stop = row
            yield Frame(
                number=number,
                time=None if time == NO_TIME else time * 1000 + nanos,
                wire=wire,
                captured=end - start,
                link=link,
                interface=interface,
                data=window.data[start:stop].tobytes(),
            )


def kept_end(window: Window, known: Known) -> I64:
    """Up to where each frame is kept, in the window's data.

    Kept whole are DNS over UDP, ARP and neighbour discovery; of TCP a DNS message or ClientHello that the reader found;
    of an ICMP error the headers that it quotes. Of anything else only headers stay, of what cannot be read nothing
    behind the link header.
    """
    link = links.link_layer(window)
    head, _ = headers(window, link)
    readable = link.reason == FINE
    stop = np.where(readable, link.network, window.start)
    typed = readable & np.isin(window.link, (links.ETHERNET, links.COOKED))
    stop[typed & (half_at(window.data, np.maximum(link.network - 2, 0)) == ARP)] += ARP_BYTES
    ip = (head.version > 0) & ((head.reason == FINE) | (head.payload > link.network))
    stop = np.where(ip, head.payload, stop)
    ports = (head.src_port, head.dst_port)
    whole = (
        ip & (head.protocol == UDP) & (head.fragment != LATER) & np.logical_or(*(np.isin(p, DNS_PORTS) for p in ports))
    )
    tcp = ip & (head.protocol == TCP)
    whole |= tcp & np.isin(window.number, list(known.dns))
    stop = np.where(whole, head.payload_end, stop)
    hello = (
        tcp
        & np.isin(window.number, list(known.hellos))
        & (window.data[np.minimum(head.payload, window.end)] == HANDSHAKE)
    )
    record = head.payload + TLS_RECORD + half_at(window.data, head.payload + 3)
    stop = np.where(hello, np.minimum(record, head.payload_end), stop)
    icmp = np.flatnonzero(ip & ((head.protocol == ICMP) | (head.protocol == ICMP6)) & (head.fragment != LATER))
    stop[icmp] = _icmp_end(window, head, icmp)
    return np.clip(stop, window.start, window.end)


def _answers(head: Headers, rows: I64, inner: Headers) -> Flags:
    """Whether the error went to the sender of what it quotes: text behind the header may look like a packet."""
    same: Flags = (head.dst_high[rows] == inner.src_high) & (head.dst_low[rows] == inner.src_low)
    return same


def _icmp_end(window: Window, head: Headers, rows: I64) -> I64:
    """Behind the headers that an error quotes; behind its own header where it quotes nothing."""
    at, four = head.payload[rows], head.protocol[rows] == ICMP
    kind = gather(window.data, at - ICMP_HEADER, 1)[:, 0]
    end = np.minimum(window.end[rows], head.payload_end[rows])
    error: Flags = np.where(four, np.isin(kind, (3, 4, 5, 11, 12)), kind < 128)
    types = np.where(error, np.where(four, IPV4, IPV6), 0)
    inner = network(window.data, at, end, at + PACKET_MOST, types, np.ones(len(rows), bool))
    segment = np.isin(inner.protocol, (TCP, UDP)) & (inner.payload_bytes >= 0)
    quoted = np.where(segment, inner.payload, inner.payload + QUOTED_LEAST)
    stop = np.where(error & (inner.version > 0) & _answers(head, rows, inner), quoted, at)
    neighbour = ~four & (kind >= NEIGHBOURS[0]) & (kind <= NEIGHBOURS[1])
    return np.where(neighbour, end, np.minimum(stop, end))
