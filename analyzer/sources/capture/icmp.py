"""ICMP errors and the packets that they are about.

A quote holds the IP header and at least eight bytes behind it, seldom more, so it is decoded like a packet that a snap
length cut. It never becomes a packet or a DNS message of its own.
ICMP: RFC 792, 1191, 1812; ICMPv6: RFC 4443; redirects of ICMPv6 (RFC 4861) quote in an option, which is not read.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from analyzer.sources.capture.arrays import I64, U8, Flags, fulls, gather, halves
from analyzer.sources.capture.network import ABSENT, ICMP, ICMP6, LATER, network
from analyzer.sources.capture.packets import PROTOCOL_TEXTS, Packets, numbers
from analyzer.sources.capture.reasons import FINE
from analyzer.sources.capture.shims import IPV4, IPV6, NOT_IP
from analyzer.sources.capture.texts import Addresses, pick
from analyzer.sources.capture.window import NO_INTERFACE

UNREACHABLE, QUENCH, REDIRECT, EXCEEDED, PARAMETER = 3, 4, 5, 11, 12
UNREACHABLE6, TOO_BIG6, EXCEEDED6, PARAMETER6, REDIRECT6 = 1, 2, 3, 4, 137
FRAGMENTATION_NEEDED = 4
"""The code of destination unreachable that comes with an MTU."""

_ANY = -1
_ERRORS: dict[tuple[int, int], str] = {
    (UNREACHABLE, _ANY): "destination unreachable",
    (UNREACHABLE, 0): "network unreachable",
    (UNREACHABLE, 1): "host unreachable",
    (UNREACHABLE, 2): "protocol unreachable",
    (UNREACHABLE, 3): "port unreachable",
    (UNREACHABLE, FRAGMENTATION_NEEDED): "fragmentation needed",
    (UNREACHABLE, 5): "source route failed",
    (UNREACHABLE, 6): "network unknown",
    (UNREACHABLE, 7): "host unknown",
    (UNREACHABLE, 8): "source host isolated",
    (UNREACHABLE, 9): "network administratively prohibited",
    (UNREACHABLE, 10): "host administratively prohibited",
    (UNREACHABLE, 11): "network unreachable for this type of service",
    (UNREACHABLE, 12): "host unreachable for this type of service",
    (UNREACHABLE, 13): "administratively prohibited",
    (UNREACHABLE, 14): "host precedence violation",
    (UNREACHABLE, 15): "precedence cutoff in effect",
    (QUENCH, _ANY): "source quench",
    (REDIRECT, _ANY): "redirect",
    (REDIRECT, 0): "redirect for the network",
    (REDIRECT, 1): "redirect for the host",
    (REDIRECT, 2): "redirect for the type of service and network",
    (REDIRECT, 3): "redirect for the type of service and host",
    (EXCEEDED, _ANY): "time exceeded",
    (EXCEEDED, 0): "ttl exceeded in transit",
    (EXCEEDED, 1): "fragment reassembly time exceeded",
    (PARAMETER, _ANY): "parameter problem",
    (PARAMETER, 1): "required option missing",
    (PARAMETER, 2): "bad length",
}
"""https://www.iana.org/assignments/icmp-parameters"""
_ERRORS6: dict[tuple[int, int], str] = {
    (UNREACHABLE6, _ANY): "destination unreachable",
    (UNREACHABLE6, 0): "no route to destination",
    (UNREACHABLE6, 1): "administratively prohibited",
    (UNREACHABLE6, 2): "beyond scope of source address",
    (UNREACHABLE6, 3): "address unreachable",
    (UNREACHABLE6, 4): "port unreachable",
    (UNREACHABLE6, 5): "source address failed ingress or egress policy",
    (UNREACHABLE6, 6): "reject route to destination",
    (TOO_BIG6, _ANY): "packet too big",
    (EXCEEDED6, _ANY): "time exceeded",
    (EXCEEDED6, 0): "hop limit exceeded in transit",
    (EXCEEDED6, 1): "fragment reassembly time exceeded",
    (PARAMETER6, _ANY): "parameter problem",
    (PARAMETER6, 0): "erroneous header field",
    (PARAMETER6, 1): "unrecognized next header",
    (PARAMETER6, 2): "unrecognized option",
    (REDIRECT6, _ANY): "redirect",
}
"""https://www.iana.org/assignments/icmpv6-parameters"""

PACKET_MOST = 1 << 17
"""More octets than any IP packet has."""
_HEADER = 8
"""Bytes of the header of every error, behind which the quote stands."""


def _texts() -> tuple[list[str], dict[str, I64]]:
    """All texts, and for each protocol the place of the text of every type and code; ABSENT for what is no error."""
    texts: list[str] = []
    places = {}
    for name, errors in (("4", _ERRORS), ("6", _ERRORS6)):
        place = np.full((256, 256), ABSENT)
        for (kind, code), text in errors.items():
            place[kind, slice(None) if code == _ANY else code] = len(texts)
            texts.append(text)
        places[name] = place
    return texts, places


_LIST, _PLACES = _texts()
_ERROR_TEXTS = pl.Series(_LIST)


def icmp_errors(packets: Packets, addresses: Addresses, source: str) -> tuple[pl.DataFrame, I64] | None:
    """The rows of one window but for the column duplicate, and the frame of each; None if it has none."""
    window, head = packets.window, packets.headers
    at = _is_icmp(packets)
    at = at[head.payload[at] - _HEADER + 4 <= np.minimum(window.end[at], head.payload_end[at])]
    four = head.protocol[at] == ICMP
    start = gather(window.data, head.payload[at] - _HEADER, 8)
    error = np.where(four, *(_PLACES[name][start[:, 0], start[:, 1]] for name in ("4", "6")))
    mine = error != ABSENT
    at, four, start, error = at[mine], four[mine], start[mine], error[mine]
    if not len(at):
        return None
    rows = packets.place[at]
    columns = packets.where(at, source) | {
        "src": pick(packets.src, rows),
        "dst": pick(packets.dst, rows),
        "interface": numbers(packets.interface[at], pl.Int32(), absent=NO_INTERFACE),
        "icmp_type": pl.Series(start[:, 0]).cast(pl.Int16()),
        "icmp_code": pl.Series(start[:, 1]).cast(pl.Int16()),
        "error": pick(_ERROR_TEXTS, error),
        "mtu": numbers(_mtu(start, four, window.end[at] - head.payload[at]), pl.Int64()),
    }
    columns |= _quoted(packets, at, four, addresses)
    return pl.DataFrame(columns), at


def _is_icmp(packets: Packets) -> I64:
    """The frames that hold an ICMP message, or the first part of one."""
    head = packets.headers
    at = np.flatnonzero((head.protocol == ICMP) | (head.protocol == ICMP6))
    mine: I64 = at[(packets.place[at] >= 0) & (head.fragment[at] != LATER)]
    return mine


def _mtu(start: U8, four: Flags, behind: I64) -> I64:
    """Routers older than RFC 1191 leave it 0, which tells nothing."""
    needed = four & (start[:, 0] == UNREACHABLE) & (start[:, 1] == FRAGMENTATION_NEEDED)
    big = ~four & (start[:, 0] == TOO_BIG6)
    mtu = np.where(needed, halves(start, 6).astype(np.int64), np.where(big, fulls(start, 4).astype(np.int64), 0))
    return np.where((mtu > 0) & (behind >= 0), mtu, ABSENT)


def _quoted(packets: Packets, at: I64, four: Flags, addresses: Addresses) -> dict[str, pl.Series]:
    """Columns of the packet in each quote, null where none can be read."""
    window, head = packets.window, packets.headers
    begin = head.payload[at]
    end = np.minimum(window.end[at], head.payload_end[at])
    redirect6 = ~four & (gather(window.data, begin - _HEADER, 1)[:, 0] == REDIRECT6)
    types = np.where(redirect6, NOT_IP, np.where(four, IPV4, IPV6))
    # What is quoted was longer than the quote: only its own header bounds it.
    inner = network(window.data, begin, end, begin + PACKET_MOST, types, np.ones(len(at), bool))
    read = (inner.reason == FINE) & (inner.version > 0)
    six = inner.version == 6
    known = pl.Series(read)
    nothing = pl.Series([None], dtype=pl.String())

    def text(values: pl.Series) -> pl.Series:
        return values if read.all() else values.zip_with(known, nothing)

    def number(values: I64, dtype: pl.DataType) -> pl.Series:
        return numbers(np.where(read, values, ABSENT), dtype)

    return {
        "quoted_protocol": text(pick(PROTOCOL_TEXTS, inner.protocol)),
        "quoted_src": text(addresses.texts(six, inner.src_high, inner.src_low)),
        "quoted_src_port": number(inner.src_port, pl.Int32()),
        "quoted_dst": text(addresses.texts(six, inner.dst_high, inner.dst_low)),
        "quoted_dst_port": number(inner.dst_port, pl.Int32()),
        "quoted_seq": number(inner.seq, pl.Int64()),
    }
