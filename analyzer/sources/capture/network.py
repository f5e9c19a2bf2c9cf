"""Network and transport headers at given places, by a kernel or by gathers: no Python per packet.

IPv4: RFC 791; IPv6 and its extension headers: RFC 8200; AH: RFC 4302; HIP: RFC 7401; SCTP: RFC 9260.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from analyzer import kernels
from analyzer.sources.capture.arrays import I64, U8, U16, U32, U64, Flags, fulls, gather, halves
from analyzer.sources.capture.reasons import BAD_IP, BAD_TCP, BAD_UDP, CUT, DEEP_IPV6, FINE
from analyzer.sources.capture.shims import IPV4, IPV6

ICMP, IPIP, TCP, UDP, IN6, FRAGMENT6, GRE, ESP, AH, ICMP6, SCTP = 1, 4, 6, 17, 41, 44, 47, 50, 51, 58, 132
EXTENSIONS = np.zeros(256, bool)
EXTENSIONS[[0, 43, FRAGMENT6, AH, 60, 135, 139, 140]] = True
"""Hop-by-hop, routing, fragment, authentication, destination options, mobility, HIP, Shim6. Behind ESP (50) and "no
next header" (59) nothing can be read."""
EXTENSIONS_MOST = 10
VXLAN_PORTS, GENEVE_PORT = (4789, 8472), 6081
"""VXLAN by RFC 7348 and by Linux before it (Flannel, Cilium), Geneve by RFC 8926."""
ABSENT = -1

WHOLE, FIRST, LATER = 0, 1, 2
"""Values of `fragment`."""

_WRAPS = np.zeros(256, bool)
_WRAPS[[IPIP, IN6, GRE]] = True


class Headers(Struct):
    """Per frame. `version` is 0 where there is no IP packet; ABSENT stands for a field that is not there.

    An IPv4 address is in the low word. `payload` to `payload_end` is the transport payload by the IP header, which may
    reach beyond the captured bytes; `payload_bytes` is its length. `wraps` is a cheap mask of what may be a tunnel.
    """

    version: U8
    reason: U8
    protocol: U8
    src_high: U64
    src_low: U64
    dst_high: U64
    dst_low: U64
    src_port: I64
    dst_port: I64
    flags: I64
    seq: I64
    ack: I64
    window: I64
    ttl: I64
    ip_id: I64
    payload: I64
    payload_end: I64
    payload_bytes: I64
    fragment: U8
    fragment_id: I64
    no_udp_length: Flags
    wraps: Flags

    def put(self, rows: I64, other: Headers, mine: Flags) -> None:
        """Overwrite these rows by `mine` of the other's."""
        every = bool(mine.all())
        rows = rows if every else rows[mine]
        for name in self.__struct_fields__:
            values = getattr(other, name)
            getattr(self, name)[rows] = values if every else values[mine]


_LATER = ("src_port", "dst_port", "flags", "seq", "ack", "window", "payload_bytes")
"""Columns that the transport headers fill."""


_OCTETS = ("version", "reason", "protocol", "fragment")
_WORDS = ("src_high", "src_low", "dst_high", "dst_low")
_PAYLOAD = ("payload", "payload_end", "payload_bytes")
_NUMBERS = ("src_port", "dst_port", "flags", "seq", "ack", "window", "ttl", "ip_id", *_PAYLOAD, "fragment_id")
_GATHERED = 40
"""Bytes that any gather takes at most."""


def network(data: U8, at: I64, end: I64, wire_end: I64, ethertype: I64, cut: Flags) -> Headers:
    """Decode the IP packet at each place, as far as `end`; where the EtherType is not that of IP there is none."""
    count = len(at)
    octets = np.empty((6, count), np.uint8)
    words, values = np.empty((4, count), np.uint64), np.empty((12, count), np.int64)
    packets = data, *(np.ascontiguousarray(part) for part in (at, end, wire_end, ethertype, cut.view(np.uint8)))
    if len(data) < _GATHERED or kernels.call("network_headers", *packets, octets, words, values) is None:
        return network_together(data, at, end, wire_end, ethertype, cut)
    columns: dict[str, Any] = dict(zip(_OCTETS, octets, strict=False))
    columns |= dict(zip(_WORDS, words, strict=True)) | dict(zip(_NUMBERS, values, strict=True))
    return Headers(**columns, no_udp_length=octets[4].view(bool), wraps=octets[5].view(bool))


def network_together(data: U8, at: I64, end: I64, wire_end: I64, ethertype: I64, cut: Flags) -> Headers:
    """The same in NumPy."""
    four, six = ethertype == IPV4, ethertype == IPV6
    # Of IPv6 the first 20 octets are enough for all but the addresses.
    head = gather(data, at, 20)
    header, total, open_ended = _lengths(head, six)
    ip_end = np.where(open_ended, wire_end, np.minimum(at + total, wire_end))
    version = head[:, 0] >> 4
    good = (four & (version == 4) & (header >= 20)) | (six & (version == 6))
    good &= open_ended | (total >= header)
    inside = at + header <= end
    ip = four | six
    good &= inside
    reason = np.full(len(at), FINE, np.uint8)
    failed = np.flatnonzero(ip & ~good)
    reason[failed] = np.where(cut[failed] & ~inside[failed], CUT, BAD_IP)
    ip &= good
    four &= ip
    six &= ip
    sixes = np.flatnonzero(six)
    src_high, src_low, dst_high, dst_low = _addresses(data, at, head, sixes)
    protocol, ttl = head[:, 9] * four, head[:, 8].astype(np.int64)
    protocol[sixes], ttl[sixes] = head[sixes, 6], head[sixes, 7]
    fragment, fragment_id = _fragments(head, four)
    out = Headers(
        version=four * np.uint8(4) + six * np.uint8(6),
        reason=reason,
        protocol=protocol,
        src_high=src_high,
        src_low=src_low,
        dst_high=dst_high,
        dst_low=dst_low,
        ttl=ttl,
        ip_id=np.where(four, halves(head, 4).astype(np.int64), ABSENT),
        payload=at + header,
        payload_end=ip_end,
        fragment=fragment,
        fragment_id=fragment_id,
        no_udp_length=np.zeros(len(at), bool),
        wraps=np.zeros(len(at), bool),
        **{name: np.full(len(at), ABSENT) for name in _LATER},
    )
    # The authentication header stands behind IPv4 headers too.
    if (chained := six | (out.protocol == AH) & four & (fragment != LATER)).any():
        _extensions(data, end, cut, out, np.flatnonzero(chained))
    _transport(data, end, cut, out)
    return out


def _lengths(head: U8, six: Flags) -> tuple[I64, I64, Flags]:
    """Bytes of the header and of the packet, and where the latter is left open.

    A length of zero is left by segmentation offload: the packet then reaches to the end of the frame, as at most.
    """
    header = (head[:, 0] & 15).astype(np.int64) << 2
    total = halves(head, 2).astype(np.int64)
    open_ended: Flags = total == 0
    if six.any():
        header[six] = 40
        total[six] = halves(head, 4)[six].astype(np.int64) + 40
        open_ended[six] = total[six] == 40
    return header, total, open_ended


def _addresses(data: U8, at: I64, head: U8, six: I64) -> tuple[U64, U64, U64, U64]:
    """Upper and lower words of source and destination, from the network headers; `six` are the rows of IPv6."""
    low = fulls(head, 12).astype(np.uint64), fulls(head, 16).astype(np.uint64)
    high = np.zeros(len(head), np.uint64), np.zeros(len(head), np.uint64)
    if len(six):
        words = gather(data, at[six], 40).view(">u8")
        high[0][six], low[0][six], high[1][six], low[1][six] = words[:, 1], words[:, 2], words[:, 3], words[:, 4]
    return high[0], low[0], high[1], low[1]


def _fragments(head: U8, four: Flags) -> tuple[U8, I64]:
    place = halves(head, 6)
    fragment, fragment_id = np.full(len(head), WHOLE, np.uint8), np.full(len(head), ABSENT)
    # Bits of the offset, and of more fragments to come.
    split = np.flatnonzero(four & ((place & 0x3FFF) != 0))
    fragment[split] = np.where(place[split] & 0x1FFF > 0, LATER, FIRST)
    fragment_id[split] = halves(head[split], 4)
    return fragment, fragment_id


def _extensions(data: U8, end: I64, cut: Flags, out: Headers, rows: I64) -> None:
    """Walk the extension headers of these rows in lockstep."""
    rows = rows[EXTENSIONS[out.protocol[rows]]]
    for _ in range(EXTENSIONS_MOST):
        if not len(rows):
            return
        at = out.payload[rows]
        whole = at + 8 <= np.minimum(end[rows], out.payload_end[rows])
        broken = rows[~whole]
        out.reason[broken] = np.where(cut[broken], CUT, BAD_IP)
        out.version[broken] = 0
        rows, at = rows[whole], at[whole]
        head = gather(data, at, 8)
        kind = out.protocol[rows]
        length = np.where(
            kind == FRAGMENT6,
            8,
            np.where(kind == AH, (head[:, 1].astype(np.int64) + 2) * 4, (head[:, 1].astype(np.int64) + 1) * 8),
        )
        piece = kind == FRAGMENT6
        place = halves(head, 2)
        state = np.where(place >> 3 > 0, LATER, np.where(place & 1, FIRST, WHOLE)).astype(np.uint8)
        split = rows[piece & (state != WHOLE)]
        out.fragment[split] = state[piece & (state != WHOLE)]
        out.fragment_id[split] = fulls(head, 4)[piece & (state != WHOLE)]
        out.protocol[rows] = head[:, 0]
        out.payload[rows] = at + length
        more = EXTENSIONS[out.protocol[rows]] & (out.fragment[rows] != LATER)
        rows = rows[more & ((out.version[rows] == 6) | (out.protocol[rows] == AH))]
    out.reason[rows] = DEEP_IPV6
    out.version[rows] = 0


def _transport(data: U8, end: I64, cut: Flags, out: Headers) -> None:
    has = (out.version > 0) & (out.fragment != LATER)
    # A first fragment may end within the transport header, like a packet that the snap length cut.
    if (out.fragment == FIRST).any():
        cut = cut | (out.fragment == FIRST)
    out.wraps = has & _WRAPS[out.protocol]
    tcp, udp, sctp = (np.flatnonzero(has & (out.protocol == code)) for code in (TCP, UDP, SCTP))
    if len(tcp):
        _tcp(data, end, cut, out, tcp)
    if len(udp):
        _udp(data, end, cut, out, udp)
    icmp = np.flatnonzero(has & ((out.protocol == ICMP) | (out.protocol == ICMP6)))
    out.payload[icmp] += 8
    out.payload_bytes[icmp] = np.maximum(out.payload_end[icmp] - out.payload[icmp], 0)
    if len(sctp):
        _sctp(data, end, out, sctp)


def _bounds(out: Headers, rows: I64, end: I64) -> tuple[I64, I64, I64, I64]:
    """Where each segment begins and ends by the IP header, its length by that, and how much of it was captured."""
    at, stop = out.payload[rows], out.payload_end[rows]
    length = stop - at
    seen = np.minimum(end[rows], stop) - at
    if (first := out.fragment[rows] == FIRST).any():
        length[first] = 1 << 16
    return at, stop, length, seen


def _tcp(data: U8, end: I64, cut: Flags, out: Headers, rows: I64) -> None:
    at, stop, length, seen = _bounds(out, rows, end)
    head = gather(data, at, 20)
    whole = ~cut[rows]
    offset = (head[:, 12] >> 4).astype(np.int64) << 2
    bad = (seen >= 13) & ((offset < 20) | (offset > length) | ((offset > seen) & whole))
    bad |= (length < 20) | (whole & (seen < 20))
    if bad.any():
        out.reason[rows[bad]] = BAD_TCP
        rows, at, stop, seen, offset = (part[~bad] for part in (rows, at, stop, seen, offset))
        head = head[~bad]
    # A header cut before its own length field is taken at its least size, so that nothing behind it is read.
    payload = at + np.where(seen >= 13, offset, np.maximum(seen, 20))
    out.payload[rows] = payload
    out.payload_bytes[rows] = np.maximum(stop - payload, 0)
    least = int(seen.min(initial=20))
    fields = (
        (out.src_port, halves(head, 0), 4),
        (out.dst_port, halves(head, 2), 4),
        (out.seq, fulls(head, 4), 8),
        (out.ack, fulls(head, 8), 12),
        (out.flags, head[:, 13], 14),
        (out.window, halves(head, 14), 16),
    )
    for column, values, size in fields:
        _put(column, rows, values, None if least >= size else seen >= size)


def _put(column: I64, rows: I64, values: NDArray[Any], mine: Flags | None) -> None:
    """Write the values to these rows of a column, or `mine` of them."""
    if mine is None:
        column[rows] = values
    else:
        column[rows[mine]] = values[mine]


def _udp(data: U8, end: I64, cut: Flags, out: Headers, rows: I64) -> None:
    at, stop, length, seen = _bounds(out, rows, end)
    head = gather(data, at, 12)
    stated = halves(head, 4)
    out.no_udp_length[rows[(stated == 0) & (seen >= 6)]] = True
    bad = (length < 8) | ((seen >= 6) & (stated < 8) & (stated > 0)) | (~cut[rows] & (seen < 8))
    if bad.any():
        out.reason[rows[bad]] = BAD_UDP
        rows, at, stop, seen = (part[~bad] for part in (rows, at, stop, seen))
        head, stated = head[~bad], stated[~bad]
    dst_port, mine = halves(head, 2), None if int(seen.min(initial=8)) >= 4 else seen >= 4
    _put(out.src_port, rows, halves(head, 0), mine)
    _put(out.dst_port, rows, dst_port, mine)
    out.wraps[rows] = _tunnel_like(dst_port, fulls(head, 8))
    stop = np.where((stated >= 8) & (out.fragment[rows] == WHOLE), np.minimum(stop, at + stated), stop)
    out.payload_end[rows] = stop
    out.payload[rows] = at + 8
    out.payload_bytes[rows] = np.maximum(stop - at - 8, 0)


def _tunnel_like(dst_port: U16, word: U32) -> Flags:
    """UDP at a port of tunnels, or a payload that begins as VXLAN or WireGuard does: a small number, three zeros."""
    ports: Flags = (dst_port == VXLAN_PORTS[0]) | (dst_port == VXLAN_PORTS[1]) | (dst_port == GENEVE_PORT)
    begins: Flags = ((word << np.uint32(8)) == 0) & (word - np.uint32(1) < np.uint32(0x08000000))
    ports |= begins
    return ports


def _sctp(data: U8, end: I64, out: Headers, rows: I64) -> None:
    """Ports and length where the common header is whole; port 0 is not allowed, so that tells what is no SCTP."""
    at, stop, _, seen = _bounds(out, rows, end)
    head = gather(data, at, 4)
    src_port, dst_port = halves(head, 0), halves(head, 2)
    good = (stop - at >= 12) & (seen >= 4) & (src_port > 0) & (dst_port > 0)
    rows = rows[good]
    out.src_port[rows], out.dst_port[rows] = src_port[good], dst_port[good]
    out.payload[rows] += 12
    out.payload_bytes[rows] = out.payload_end[rows] - out.payload[rows]
