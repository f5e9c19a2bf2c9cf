"""Network and transport headers of every frame, by gathers: no Python per packet.

Inner packets of IP-in-IP, VXLAN and Geneve replace the outer ones, because those are what a pod sent.
IPv4: RFC 791; IPv6 and its extension headers: RFC 8200; VXLAN: RFC 7348; Geneve: RFC 8926.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from analyzer.sources.capture.arrays import I64, U8, U64, Flags, fulls, gather, halves
from analyzer.sources.capture.links import IPV4, IPV6, Link
from analyzer.sources.capture.reasons import BAD_IP, BAD_TCP, BAD_UDP, CUT, DEEP_IPV6, DEEP_TUNNEL, FINE
from analyzer.sources.capture.window import Window

ICMP, IPIP, TCP, UDP, IN6, FRAGMENT6, ICMP6 = 1, 4, 6, 17, 41, 44, 58
EXTENSIONS = np.zeros(256, bool)
EXTENSIONS[[0, 43, FRAGMENT6, 51, 60, 135]] = True
"""Hop-by-hop, routing, fragment, authentication, destination options, mobility."""
EXTENSIONS_MOST = 10
TUNNELS_MOST = 4
"""Tunnels inside tunnels that are followed (Zeek's Tunnel::max_depth is 4 too)."""
VXLAN_PORTS, GENEVE_PORT = (4789, 8472), 6081
ABSENT = -1

WHOLE, FIRST, LATER = 0, 1, 2
"""Values of `fragment`."""


@dataclass(slots=True)
class Headers:
    """Per frame. `version` is 0 where there is no IP packet; ABSENT stands for a field that is not there.

    An IPv4 address is in the low word. `payload` to `payload_end` is the transport payload by the IP header, which may
    reach beyond the captured bytes; `payload_bytes` is its length.
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

    def put(self, rows: I64, other: Headers, mine: Flags) -> None:
        """Overwrite these rows by `mine` of the other's."""
        for one in fields(self):
            getattr(self, one.name)[rows[mine]] = getattr(other, one.name)[mine]


def headers(window: Window, link: Link) -> Headers:
    """Decode every frame; frames that the link layer refused keep its reason."""
    cut = window.end - window.start < window.wire
    wire_end = window.start + np.maximum(window.wire, window.end - window.start)
    out = _network(window.data, link.network, window.end, wire_end, link.ethertype, cut)
    out.reason = np.where(link.reason != FINE, link.reason, out.reason).astype(np.uint8)
    _tunnels(window, out, wire_end, cut)
    return out


def _network(data: U8, at: I64, end: I64, wire_end: I64, ethertype: I64, cut: Flags) -> Headers:
    head = gather(data, at, 40)
    four, six = ethertype == IPV4, ethertype == IPV6
    header = np.where(four, (head[:, 0] & 15).astype(np.int64) * 4, 40)
    total = np.where(four, halves(head, 2), halves(head, 4).astype(np.int64) + 40)
    # A length of zero is left by segmentation offload: the packet then reaches to the end of the frame.
    open_ended = np.where(four, total == 0, total == 40)
    ip_end = np.where(open_ended, wire_end, at + total)
    version = head[:, 0] >> 4
    good = (four & (version == 4) & (header >= 20)) | (six & (version == 6))
    good &= open_ended | (total >= header)
    inside = at + header <= end
    ip = four | six
    reason = np.where(ip & ~(good & inside), np.where(cut & ~inside, CUT, BAD_IP), FINE).astype(np.uint8)
    ip &= reason == FINE
    four &= ip
    six &= ip
    src_high, src_low, dst_high, dst_low = _addresses(head, four, six)
    protocol = np.where(four, head[:, 9], np.where(six, head[:, 6], 0)).astype(np.uint8)
    fragment, fragment_id = _fragments(head, four)
    transport = at + header
    out = Headers(
        version=(four * 4 + six * 6).astype(np.uint8),
        reason=reason,
        protocol=protocol,
        src_high=src_high,
        src_low=src_low,
        dst_high=dst_high,
        dst_low=dst_low,
        src_port=np.full(len(at), ABSENT),
        dst_port=np.full(len(at), ABSENT),
        flags=np.full(len(at), ABSENT),
        seq=np.full(len(at), ABSENT),
        ack=np.full(len(at), ABSENT),
        window=np.full(len(at), ABSENT),
        ttl=np.where(four, head[:, 8], head[:, 7]).astype(np.int64),
        ip_id=np.where(four, halves(head, 4).astype(np.int64), ABSENT),
        payload=transport,
        payload_end=ip_end,
        payload_bytes=np.full(len(at), ABSENT),
        fragment=fragment,
        fragment_id=fragment_id,
        no_udp_length=np.zeros(len(at), bool),
    )
    if six.any():
        _extensions(data, end, cut, out, np.flatnonzero(six))
    _transport(data, end, cut, out)
    return out


def _addresses(head: U8, four: Flags, six: Flags) -> tuple[U64, U64, U64, U64]:
    """Upper and lower words of source and destination, from the network headers."""
    src, dst = fulls(head, 12).astype(np.uint64), fulls(head, 16).astype(np.uint64)
    if not six.any():
        return np.zeros(len(head), np.uint64), src, np.zeros(len(head), np.uint64), dst
    words = head.view(">u8").astype(np.uint64)
    zero = np.uint64(0)
    return (
        np.where(six, words[:, 1], zero),
        np.where(four, src, words[:, 2]),
        np.where(six, words[:, 3], zero),
        np.where(four, dst, words[:, 4]),
    )


def _fragments(head: U8, four: Flags) -> tuple[U8, I64]:
    place = halves(head, 6)
    offset, more = place & 0x1FFF, (place & 0x2000) != 0
    state = np.where(offset > 0, LATER, np.where(more, FIRST, WHOLE))
    split = four & (state != WHOLE)
    return np.where(split, state, WHOLE).astype(np.uint8), np.where(split, halves(head, 4).astype(np.int64), ABSENT)


def _extensions(data: U8, end: I64, cut: Flags, out: Headers, rows: I64) -> None:
    """Walk the extension headers of IPv6 rows in lockstep."""
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
            np.where(kind == 51, (head[:, 1].astype(np.int64) + 2) * 4, (head[:, 1].astype(np.int64) + 1) * 8),
        )
        piece = kind == FRAGMENT6
        place = halves(head, 2)
        state = np.where(place >> 3 > 0, LATER, np.where(place & 1, FIRST, WHOLE)).astype(np.uint8)
        split = rows[piece & (state != WHOLE)]
        out.fragment[split] = state[piece & (state != WHOLE)]
        out.fragment_id[split] = fulls(head, 4)[piece & (state != WHOLE)]
        out.protocol[rows] = head[:, 0]
        out.payload[rows] = at + length
        rows = rows[EXTENSIONS[out.protocol[rows]] & (out.fragment[rows] != LATER)]
    out.reason[rows] = DEEP_IPV6
    out.version[rows] = 0


def _transport(data: U8, end: I64, cut: Flags, out: Headers) -> None:
    at = out.payload
    head = gather(data, at, 20)
    has = (out.version > 0) & (out.fragment != LATER)
    tcp, udp = has & (out.protocol == TCP), has & (out.protocol == UDP)
    length = out.payload_end - at
    stated = halves(head, 4).astype(np.int64)
    offset = (head[:, 12] >> 4).astype(np.int64) * 4
    seen = end - at
    bad_tcp = tcp & (((seen >= 13) & ((offset < 20) | (offset > length) | ((offset > seen) & ~cut))) | (length < 20))
    bad_tcp |= tcp & ~cut & (seen < 20)
    out.no_udp_length = udp & (stated == 0) & (seen >= 6)
    bad_udp = udp & ((length < 8) | ((seen >= 6) & (stated < 8) & (stated > 0)) | (~cut & (seen < 8)))
    out.reason = np.where(bad_tcp, BAD_TCP, np.where(bad_udp, BAD_UDP, out.reason)).astype(np.uint8)
    tcp &= ~bad_tcp
    udp &= ~bad_udp
    ports = (tcp | udp) & (seen >= 4)
    out.src_port = np.where(ports, halves(head, 0).astype(np.int64), ABSENT)
    out.dst_port = np.where(ports, halves(head, 2).astype(np.int64), ABSENT)
    out.seq = np.where(tcp & (seen >= 8), fulls(head, 4).astype(np.int64), ABSENT)
    out.ack = np.where(tcp & (seen >= 12), fulls(head, 8).astype(np.int64), ABSENT)
    out.flags = np.where(tcp & (seen >= 14), head[:, 13].astype(np.int64), ABSENT)
    out.window = np.where(tcp & (seen >= 16), halves(head, 14).astype(np.int64), ABSENT)
    # A header cut before its own length field is taken at its least size, so that nothing behind it is read.
    offset = np.where(seen >= 13, offset, np.maximum(seen, 20))
    icmp = has & ((out.protocol == ICMP) | (out.protocol == ICMP6))
    size = np.where(tcp, offset, np.where(udp | icmp, 8, 0))
    out.payload_end = np.where(
        udp & (stated >= 8) & (out.fragment == WHOLE), np.minimum(out.payload_end, at + stated), out.payload_end
    )
    out.payload = at + size
    out.payload_bytes = np.where(tcp | udp | icmp, np.maximum(out.payload_end - out.payload, 0), ABSENT)


def _tunnels(window: Window, out: Headers, wire_end: I64, cut: Flags) -> None:
    """Replace tunnelled packets by what is inside, down to TUNNELS_MOST."""
    data, end = window.data, window.end
    for depth in range(TUNNELS_MOST + 1):
        rows, at, ethertype = _inner(data, end, out)
        if not len(rows):
            return
        if depth == TUNNELS_MOST:
            out.reason[rows] = DEEP_TUNNEL
            return
        inside = np.minimum(end[rows], out.payload_end[rows])
        inner = _network(data, at, inside, wire_end[rows], ethertype, cut[rows])
        good = (inner.reason == FINE) & (inner.version > 0)
        out.put(rows, inner, good)
        if not good.any():
            return


def _inner(data: U8, end: I64, out: Headers) -> tuple[I64, I64, I64]:
    """Rows that carry another packet, where it starts, and what it is."""
    usable = (out.version > 0) & (out.reason == FINE) & (out.fragment == WHOLE)
    wrapped = np.flatnonzero(usable & ((out.protocol == IPIP) | (out.protocol == IN6)))
    kind = np.where(out.protocol[wrapped] == IPIP, IPV4, IPV6)
    port = out.dst_port
    udp = (out.protocol == UDP) & usable & (out.src_port != 53)
    tunnel = (port == VXLAN_PORTS[0]) | (port == VXLAN_PORTS[1]) | (port == GENEVE_PORT)
    rows = np.flatnonzero(udp & tunnel)
    head = gather(data, out.payload[rows], 8)
    geneve = port[rows] == GENEVE_PORT
    # The port alone proves nothing (it may be an ephemeral one): flags, reserved bytes and inner type must fit too.
    vxlan_fits = (head[:, 0] == 8) & (head[:, 1] == 0) & (head[:, 2] == 0) & (head[:, 3] == 0) & (head[:, 7] == 0)
    geneve_fits = (head[:, 0] >> 6 == 0) & (halves(head, 2) == 0x6558) & (head[:, 7] == 0)
    ethernet = out.payload[rows] + 8 + np.where(geneve, (head[:, 0] & 0x3F).astype(np.int64) * 4, 0)
    ethertype = halves(gather(data, ethernet + 12, 2), 0).astype(np.int64)
    fits = np.where(geneve, geneve_fits, vxlan_fits) & (ethernet + 14 <= end[rows])
    fits &= (ethertype == IPV4) | (ethertype == IPV6)
    return (
        np.concatenate([wrapped, rows[fits]]),
        np.concatenate([out.payload[wrapped], ethernet[fits] + 14]),
        np.concatenate([kind, ethertype[fits]]),
    )
