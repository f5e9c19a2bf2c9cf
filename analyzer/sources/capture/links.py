"""Link layers: where the network header of each frame starts and what protocol it is.

Link types are those of https://www.tcpdump.org/linktypes.html.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from msgspec import Struct

from analyzer import kernels
from analyzer.sources.capture import shims
from analyzer.sources.capture.arrays import I64, U8, Flags, distinct, fulls, gather, half_at, halves, is_constant
from analyzer.sources.capture.reasons import CUT, EMPTY, FINE, UNKNOWN_TYPE, UNSUPPORTED, WIRELESS
from analyzer.sources.capture.shims import IPV4, IPV6, NOT_IP, PPP, PPPOE
from analyzer.sources.capture.window import Window

NULL, ETHERNET, RAW_DLT, RAW, LOOP, COOKED, RAW4, RAW6, COOKED2 = 0, 1, 12, 101, 108, 113, 228, 229, 276
PPP_PLAIN, PPP_HDLC, PPP_PPPOE, CISCO_HDLC, PPP_PPPD, PPP_DIRECTION = 9, 50, 51, 104, 166, 204
IPNET, NFLOG = 226, 239
WIRELESS_LINKS = (105, 119, 127, 163, 192)
"""IEEE 802.11, bare and with Prism, radiotap, AVS and PPI headers: counted only, mostly encrypted anyway."""

_V6_FAMILIES = (10, 23, 24, 26, 28, 30)
"""AF_INET6 of Linux, Windows, the BSDs, Solaris and macOS."""
_UNKNOWN = 0xFFFF
"""An EtherType that is reserved, so that nothing is taken for it."""
_CISCO_OTHER = (0x2000, 0xFEFE)
"""CDP and OSI, which have no EtherType but stand in the field of Cisco HDLC."""
_NFLOG_PAYLOAD = 9
"""NFULA_PAYLOAD of linux/netfilter/nfnetlink_log.h."""
_NFLOG_ATTRIBUTES_MOST = 32
"""The kernel knows 21 attributes and writes each once."""

Rows = I64 | slice
"""Some frames of a window; a slice where it is all of them."""


class Link(Struct, frozen=True):
    """Per frame: offset of the network header, EtherType (0 if it has none), why it cannot be read, interface (the
    window's own where the frames do not say another); whether it was cut, and where it ended on the wire."""

    network: I64
    ethertype: I64
    reason: U8
    interface: I64
    cut: Flags
    wire_end: I64


def link_layer(window: Window) -> Link:
    """Peel the link header of every frame, and what stands between it and IP."""
    kind = int(window.link[0]) if len(window) else ETHERNET
    if kind not in _PLAIN or not kernels.there() or not (is_constant(window.link) or (window.link == kind).all()):
        return together(window)
    numbers, octets = np.empty((3, len(window)), np.int64), np.empty((2, len(window)), np.uint8)
    frames = [np.ascontiguousarray(part) for part in (window.start, window.end, window.wire)]
    if kernels.call("link_headers", window.data, *frames, *shims.TABLES, numbers, octets, *_PLAIN[kind]) is None:
        return together(window)
    interface = _interface2(window, slice(None)) if kind == COOKED2 else window.interface
    return Link(numbers[0], numbers[1], octets[0], interface, octets[1].view(bool), numbers[2])


def together(window: Window) -> Link:
    """The same in NumPy, for frames of any link types."""
    count = len(window)
    network, ethertype = window.start.copy(), np.zeros(count, np.int64)
    reason, interface = np.zeros(count, np.uint8), window.interface
    for kind in distinct(window.link).tolist():
        here = window.link == kind
        rows: Rows = slice(None) if here.all() else np.flatnonzero(here)
        if kind not in _HEADS:
            reason[rows] = WIRELESS if kind in WIRELESS_LINKS else UNSUPPORTED
            continue
        length, types = _HEADS[kind](window, rows)
        network[rows] += length
        ethertype[rows] = types
        if kind == COOKED2:
            interface = np.array(interface)
            interface[rows] = _interface2(window, rows)
    captured = window.end - window.start
    cut = captured < window.wire
    reason[(captured <= 0) & (reason == FINE)] = EMPTY
    short = (reason == FINE) & (network > window.end)
    reason[short] = np.where(cut[short], CUT, UNKNOWN_TYPE)
    shims.peel(window.data, network, window.end, cut, ethertype, reason)
    shims.classify(ethertype, reason)
    return Link(network, ethertype, reason, interface, cut, window.start + np.maximum(window.wire, captured))


_ANYWHERE = 0xFF
"""In place of where the EtherType stands: the version of the IP header tells it."""
_PLAIN = {
    ETHERNET: (14, 12),
    COOKED: (16, 14),
    COOKED2: (20, 0),
    RAW_DLT: (0, _ANYWHERE),
    RAW: (0, _ANYWHERE),
    RAW4: (0, _ANYWHERE),
    RAW6: (0, _ANYWHERE),
}
"""Of the links that a kernel reads: bytes of the header, and where in it the EtherType stands."""


def _interface2(window: Window, rows: Rows) -> I64:
    """The interface that Linux cooked v2 tells in each frame."""
    return fulls(gather(window.data, window.start[rows], 8), 4).astype(np.int64) & 0x7FFFFFFF


_Head = tuple[I64 | int, I64 | int]
"""Length of the link header, and the EtherType of each row."""


def _typed(length: int) -> Callable[[Window, Rows], _Head]:
    """A header that ends in an EtherType."""

    def head(window: Window, rows: Rows) -> _Head:
        return length, half_at(window.data, window.start[rows] + (length - 2)).astype(np.int64)

    return head


def _cooked2(window: Window, rows: Rows) -> _Head:
    return 20, half_at(window.data, window.start[rows]).astype(np.int64)


def _loopback(window: Window, rows: Rows) -> _Head:
    head = gather(window.data, window.start[rows], 4)
    # The family is in the byte order of the capturing machine; it is small, so the smaller reading is right.
    return 4, _family(np.minimum(fulls(head, 0), head.view("<u4")[:, 0]).astype(np.int64))


def _family(family: I64) -> I64:
    return np.where(family == 2, IPV4, np.where(np.isin(family, _V6_FAMILIES), IPV6, NOT_IP))


def _raw(window: Window, rows: Rows) -> _Head:
    version = window.data[window.start[rows]] >> 4
    return 0, np.where(version == 4, IPV4, np.where(version == 6, IPV6, _UNKNOWN))


def _ppp_plain(window: Window, rows: Rows) -> _Head:
    del window, rows
    return 0, PPP


def _ppp_hdlc(window: Window, rows: Rows) -> _Head:
    """PPP, or Cisco HDLC by its address of unicast or broadcast."""
    first = window.data[window.start[rows]]
    cisco = (first == 0x0F) | (first == 0x8F)
    length, types = _cisco_hdlc(window, rows)
    return np.where(cisco, length, 0), np.where(cisco, types, PPP)


def _ppp_pppoe(window: Window, rows: Rows) -> _Head:
    del window, rows
    return 0, PPPOE


def _ppp_pppd(window: Window, rows: Rows) -> _Head:
    """The direction stands in place of the address."""
    return np.where(window.data[window.start[rows] + 1] == 3, 2, 0), PPP


def _ppp_direction(window: Window, rows: Rows) -> _Head:
    del window, rows
    return 1, PPP


def _cisco_hdlc(window: Window, rows: Rows) -> _Head:
    types = half_at(window.data, window.start[rows] + 2).astype(np.int64)
    return 4, np.where(np.isin(types, _CISCO_OTHER), NOT_IP, types)


def _ipnet(window: Window, rows: Rows) -> _Head:
    return 24, _family(window.data[window.start[rows] + 1].astype(np.int64))


def _nflog(window: Window, rows: Rows) -> _Head:
    """Netfilter's log: attributes in the byte order of the capturing machine, one of which is the packet."""
    start, end = window.start[rows], window.end[rows]
    # Where no packet is found, the header is taken to be longer than the frame.
    length = end - start + 1
    at, left = start + 4, np.arange(len(start))
    for _ in range(_NFLOG_ATTRIBUTES_MOST):
        left = left[at[left] + 4 <= end[left]]
        if not len(left):
            break
        head = gather(window.data, at[left], 4)
        # Types are small and not 0, which tells the byte order of the length.
        big = head[:, 2] == 0
        size = np.where(big, halves(head, 0), head.view("<u2")[:, 0]).astype(np.int64)
        kind = np.where(big, head[:, 3], head[:, 2])
        packet = kind == _NFLOG_PAYLOAD
        length[left[packet]] = at[left[packet]] + 4 - start[left[packet]]
        at[left] += (size + 3) & ~3
        left = left[~packet & (size >= 4)]
    return length, _family(window.data[start].astype(np.int64))


_HEADS: dict[int, Callable[[Window, Rows], _Head]] = {
    NULL: _loopback,
    ETHERNET: _typed(14),
    RAW_DLT: _raw,
    RAW: _raw,
    LOOP: _loopback,
    COOKED: _typed(16),
    RAW4: _raw,
    RAW6: _raw,
    COOKED2: _cooked2,
    PPP_PLAIN: _ppp_plain,
    PPP_HDLC: _ppp_hdlc,
    PPP_PPPOE: _ppp_pppoe,
    CISCO_HDLC: _cisco_hdlc,
    PPP_PPPD: _ppp_pppd,
    PPP_DIRECTION: _ppp_direction,
    IPNET: _ipnet,
    NFLOG: _nflog,
}
