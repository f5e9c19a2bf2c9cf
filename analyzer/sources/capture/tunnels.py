"""Tunnels of node and pod networks: the packet inside replaces the outer one, whose headers are kept apart.

VXLAN: RFC 7348; Geneve: RFC 8926; IP in IP: RFC 2003, 2473 and 4213; GRE: RFC 2784, 2890 and, with PPP inside, 2637;
ERSPAN: draft-foschiano-erspan; WireGuard: https://www.wireguard.com/protocol/.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from analyzer.sources.capture import shims
from analyzer.sources.capture.arrays import I64, U8, U64, Flags, fulls, gather, half_at, halves, no_offsets
from analyzer.sources.capture.network import ABSENT, GENEVE_PORT, GRE, IN6, UDP, VXLAN_PORTS, WHOLE, Headers, network
from analyzer.sources.capture.reasons import DEEP_TUNNEL, FINE
from analyzer.sources.capture.shims import IPV4, IPV6
from analyzer.sources.capture.window import Window

TUNNELS_MOST = 4
"""Tunnels inside tunnels that are followed (Zeek's Tunnel::max_depth is 4 too)."""

KINDS = ("", "ipip", "4in6", "6in4", "6in6", "gre", "erspan", "vxlan", "geneve")
"""Texts of `kind`."""
NONE, IP4IN4, IP4IN6, IP6IN4, IP6IN6, IN_GRE, ERSPAN, VXLAN, GENEVE = range(len(KINDS))

DNS_PORT = 53
ETHERNET_TYPE, ERSPAN_1_2, ERSPAN_3 = 0x6558, 0x88BE, 0x22EB
"""Transparent Ethernet bridging, ERSPAN of types I and II, of type III."""
_WIREGUARD_BYTES = np.array([-1, 148, 92, 64, -1])
"""Length of each WireGuard message type but transport data, which has 32 bytes and sixteenths of padded content."""


class Tunnels(Struct, frozen=True):
    """The headers taken off, ordered by frame and depth, which is 1 for the outermost. `inside` is the offset of the
    network header that came to light. `unread` counts inner packets that were cut or malformed, so that the outer one
    stayed; `wireguard` counts packets that only a key opens."""

    frame: I64
    depth: I64
    kind: U8
    version: U8
    src_high: U64
    src_low: U64
    dst_high: U64
    dst_low: U64
    src_port: I64
    dst_port: I64
    network_id: I64
    inside: I64
    unread: int = 0
    wireguard: int = 0


_WORDS, _OCTETS = np.empty(0, np.uint64), np.empty(0, np.uint8)
_NO_TUNNELS = Tunnels(
    frame=no_offsets(),
    depth=no_offsets(),
    kind=_OCTETS,
    version=_OCTETS,
    src_high=_WORDS,
    src_low=_WORDS,
    dst_high=_WORDS,
    dst_low=_WORDS,
    src_port=no_offsets(),
    dst_port=no_offsets(),
    network_id=no_offsets(),
    inside=no_offsets(),
)


class _Found(Struct, frozen=True):
    """Frames that carry another packet: where it starts, its EtherType, and whether it has to prove itself."""

    rows: I64
    kind: U8
    at: I64
    ethertype: I64
    network_id: I64
    doubtful: Flags

    def take(self, mine: Flags) -> _Found:
        if mine.all():
            return self
        return _Found(*(getattr(self, name)[mine] for name in self.__struct_fields__))


def open_tunnels(window: Window, out: Headers, wire_end: I64, cut: Flags) -> Tunnels:
    """Replace tunnelled packets by what is inside, down to TUNNELS_MOST."""
    data, end = window.data, window.end
    layers: list[Tunnels] = []
    unread = wireguard = 0
    rows = np.flatnonzero(out.wraps & (out.reason == FINE) & (out.fragment == WHOLE))
    if not len(rows):
        return _NO_TUNNELS
    for depth in range(1, TUNNELS_MOST + 2):
        if not len(rows):
            break
        inside = np.minimum(end, out.payload_end)
        wireguard += _wireguard(data, inside, out, rows)
        found = _found(data, inside, out, rows)
        reason = np.zeros(len(found.rows), np.uint8)
        shims.peel(data, found.at, inside[found.rows], cut[found.rows], found.ethertype, reason)
        ip = (found.ethertype == IPV4) | (found.ethertype == IPV6)
        unread += int(((reason != FINE) & ~found.doubtful).sum())
        found = _trusted(data, inside, found.take((reason == FINE) & ip))
        rows = found.rows
        if depth > TUNNELS_MOST:
            out.reason[rows] = DEEP_TUNNEL
            break
        inner = network(data, found.at, inside[rows], wire_end[rows], found.ethertype, cut[rows])
        good = (inner.reason == FINE) & (inner.version > 0)
        unread += int((~good).sum())
        layers.append(_layer(out, found.take(good), depth))
        out.put(rows, inner, good)
        rows = rows[good]
        rows = rows[out.wraps[rows] & (out.fragment[rows] == WHOLE)]
    return _ordered(layers, out, unread, wireguard)


def _layer(out: Headers, found: _Found, depth: int) -> Tunnels:
    """The outer headers of these frames, before they are replaced."""
    rows = found.rows
    return Tunnels(
        frame=rows,
        depth=np.full(len(rows), depth),
        kind=found.kind,
        version=out.version[rows],
        src_high=out.src_high[rows],
        src_low=out.src_low[rows],
        dst_high=out.dst_high[rows],
        dst_low=out.dst_low[rows],
        src_port=out.src_port[rows],
        dst_port=out.dst_port[rows],
        network_id=found.network_id,
        inside=found.at,
    )


def _ordered(layers: list[Tunnels], out: Headers, unread: int, wireguard: int) -> Tunnels:
    """All layers of the frames that were not given up in the end."""
    layers = [layer for layer in layers if len(layer.frame)] or [_NO_TUNNELS]
    whole = layers[0]
    if len(layers) > 1 or (out.reason[whole.frame] != FINE).any():
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(layer, name) for layer in layers]) for name in Tunnels.__struct_fields__[:-2]
        }
        order = np.argsort(columns["frame"], kind="stable")
        order = order[out.reason[columns["frame"][order]] == FINE]
        whole = Tunnels(**{name: column[order] for name, column in columns.items()})
    return replace(whole, unread=unread, wireguard=wireguard)


def _found(data: U8, end: I64, out: Headers, rows: I64) -> _Found:
    """What looks like a tunnel among these rows, in their order."""
    protocol = out.protocol[rows]
    parts = [
        _in_udp(data, end, out, rows[protocol == UDP]),
        _in_gre(data, end, out, rows[protocol == GRE]),
        _in_ip(out, rows[(protocol != UDP) & (protocol != GRE)]),
    ]
    parts = [part for part in parts if len(part.rows)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate([part.rows for part in parts]), kind="stable")
    return _Found(
        *(np.concatenate([getattr(part, name) for part in parts])[order] for name in _Found.__struct_fields__)
    )


def _in_ip(out: Headers, rows: I64) -> _Found:
    six_inside = out.protocol[rows] == IN6
    kind = np.where(out.version[rows] == 6, IP4IN6, IP4IN4) + 2 * six_inside
    return _Found(
        rows=rows,
        kind=kind.astype(np.uint8),
        at=out.payload[rows],
        ethertype=np.where(six_inside, IPV6, IPV4),
        network_id=np.full(len(rows), ABSENT),
        doubtful=np.zeros(len(rows), bool),
    )


def _in_udp(data: U8, end: I64, out: Headers, rows: I64) -> _Found:
    """VXLAN and Geneve. The port alone proves nothing (it may be an ephemeral one): the header must fit too.

    VXLAN is found at other ports, and with reserved bits set (group policies), if the packet inside proves it.
    """
    rows = rows[out.src_port[rows] != DNS_PORT]
    port, at = out.dst_port[rows], out.payload[rows]
    head = gather(data, at, 8)
    clean = (fulls(head, 0) == 0x08000000) & (head[:, 7] == 0)
    known = (port == VXLAN_PORTS[0]) | (port == VXLAN_PORTS[1])
    vxlan = np.where(known, head[:, 0] & 8 != 0, clean & (port != DNS_PORT) & (port != GENEVE_PORT))
    inner = halves(head, 2)
    geneve = (port == GENEVE_PORT) & (head[:, 0] >> 6 == 0) & (head[:, 1] & 0x3F == 0) & (head[:, 7] == 0)
    geneve &= (inner == ETHERNET_TYPE) | (inner == IPV4) | (inner == IPV6)
    at = at + 8 + np.where(geneve, (head[:, 0] & 0x3F).astype(np.int64) * 4, 0)
    kind = np.where(geneve, GENEVE, VXLAN).astype(np.uint8)
    at, ethertype = _past_ethernet(data, at, np.where(geneve, inner, ETHERNET_TYPE).astype(np.int64))
    network_id = (fulls(head, 4) >> np.uint32(8)).astype(np.int64)
    found = _Found(rows, kind, at, ethertype, network_id, ~geneve & ~(known & clean))
    return found.take((vxlan | geneve) & (at <= end[rows]))


def _in_gre(data: U8, end: I64, out: Headers, rows: I64) -> _Found:
    """GRE without source routes, of version 0, or of version 1 where PPP is inside (PPTP)."""
    at = out.payload[rows]
    head = gather(data, at, 16)
    flags, inner = halves(head, 0).astype(np.int64), halves(head, 2).astype(np.int64)
    summed, keyed, counted = flags >> 15 & 1, flags >> 13 & 1, flags >> 12 & 1
    version, acknowledged = flags & 7, flags >> 7 & 1
    good = (flags & 0x4000 == 0) & ((version == 0) | ((version == 1) & (inner == shims.PPP)))
    size = 4 + 4 * (summed + keyed + counted + acknowledged * (version == 1))
    key = np.where(summed == 1, fulls(head, 8), fulls(head, 4)).astype(np.int64)
    network_id = np.where((keyed == 1) & (version == 0), key, ABSENT)
    at = at + size
    # Type I has neither a sequence number nor a header of its own.
    spanned = ((inner == ERSPAN_1_2) & (counted == 1)) | (inner == ERSPAN_3)
    mirrored = spanned | (inner == ERSPAN_1_2)
    span = gather(data, at, 12)
    session = halves(span, 2).astype(np.int64) & 0x3FF
    good &= ~spanned | (span[:, 0] >> 4 == np.where(inner == ERSPAN_3, 2, 1))
    # The last bit of type III announces a platform header.
    at += np.where(spanned, np.where(inner == ERSPAN_3, 12 + 8 * (span[:, 11] & 1).astype(np.int64), 8), 0)
    at, ethertype = _past_ethernet(data, at, np.where(mirrored, ETHERNET_TYPE, inner))
    found = _Found(
        rows,
        np.where(mirrored, ERSPAN, IN_GRE).astype(np.uint8),
        at,
        ethertype,
        np.where(spanned, session, network_id),
        np.zeros(len(rows), bool),
    )
    return found.take(good & (at <= end[rows]))


def _past_ethernet(data: U8, at: I64, ethertype: I64) -> tuple[I64, I64]:
    """Where Ethernet is inside, what is in that."""
    ethernet = ethertype == ETHERNET_TYPE
    inner = half_at(data, at + 12).astype(np.int64)
    return at + 14 * ethernet, np.where(ethernet, inner, ethertype)


def _trusted(data: U8, end: I64, found: _Found) -> _Found:
    """Without the doubtful ones, unless an IPv4 header inside has the right checksum, or an IPv6 packet ends exactly
    where the outer one does."""
    asked = np.flatnonzero(found.doubtful)
    if not len(asked):
        return found
    at, last, ethertype = found.at[asked], end[found.rows[asked]], found.ethertype[asked]
    head = gather(data, at, 60)
    size = (head[:, 0] & 15).astype(np.int64) * 4
    four = (ethertype == IPV4) & (head[:, 0] >> 4 == 4) & (size >= 20) & (at + size <= last)
    words = np.where(np.arange(30) < size[:, None] // 2, head.view(">u2"), 0).sum(axis=1, dtype=np.int64)
    four &= (words & 0xFFFF) + (words >> 16) == 0xFFFF
    six = (ethertype == IPV6) & (head[:, 0] >> 4 == 6) & (at + 40 + halves(head, 4).astype(np.int64) == last)
    keep = np.ones(len(found.rows), bool)
    keep[asked] = four | six
    return found.take(keep)


def _wireguard(data: U8, end: I64, out: Headers, rows: I64) -> int:
    """How many of these are WireGuard messages: a type, three zeros, and the length that the type has."""
    kind = data[np.minimum(out.payload[rows], len(data) - 1)]
    rows = rows[(kind >= 1) & (kind <= 4)]
    rows = rows[(out.protocol[rows] == UDP) & (out.src_port[rows] != DNS_PORT) & (out.dst_port[rows] != DNS_PORT)]
    rows = rows[out.payload[rows] + 16 <= end[rows]]
    head, size = gather(data, out.payload[rows], 16), out.payload_bytes[rows]
    kind = head[:, 0]
    typed = fulls(head, 0) << np.uint32(8) == 0
    # A counter of messages never fills its upper two bytes.
    transport = (kind == 4) & (size >= 32) & (size % 16 == 0) & (head.view("<u2")[:, 7] == 0)
    exact = size == _WIREGUARD_BYTES[kind]
    return int((typed & (exact | transport)).sum())
