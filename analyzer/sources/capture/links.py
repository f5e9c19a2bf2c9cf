"""Link layers: where the network header of each frame starts and what protocol it is.

Link types are those of https://www.tcpdump.org/linktypes.html.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.sources.capture.arrays import I64, U8, Flags, distinct, fulls, gather, half_at, halves
from analyzer.sources.capture.reasons import CUT, DEEP_VLAN, EMPTY, FINE, UNKNOWN_TYPE, UNSUPPORTED
from analyzer.sources.capture.window import Window

NULL, ETHERNET, RAW_DLT, RAW, LOOP, COOKED, RAW4, RAW6, COOKED2 = 0, 1, 12, 101, 108, 113, 228, 229, 276
SUPPORTED = (NULL, ETHERNET, RAW_DLT, RAW, LOOP, COOKED, RAW4, RAW6, COOKED2)

IPV4, IPV6 = 0x0800, 0x86DD
VLAN_TYPES = (0x8100, 0x88A8, 0x9100)
VLAN_MOST = 8
"""Stacked VLAN tags that are followed; 802.1ad uses two."""

# fmt: off
OTHER_TYPES = (
    0x0806, 0x8035, 0x809B, 0x80F3, 0x8137, 0x8808, 0x8809, 0x8847, 0x8848, 0x8863, 0x8864, 0x887B, 0x888E, 0x8892,
    0x88A4, 0x88B5, 0x88B6, 0x88B8, 0x88CA, 0x88CC, 0x88E1, 0x88E5, 0x88F7, 0x88FB, 0x8902, 0x8906, 0x8914, 0x893A,
    0x9000, 0x6003, 0x6558, 0x22F0, 0x22F3, 0x0842, 0x8999, 0x880B, 0x876B, 0x886F, 0x88A2, 0x88A7, 0x8903, 0x8926,
    0x8947,
)
# fmt: on
"""EtherTypes that are known not to be IP (ARP, LLDP, STP's relatives ...): such frames are understood, without a row.

From the IEEE 802 numbers registered with IANA, https://www.iana.org/assignments/ieee-802-numbers."""

_UNDERSTOOD = np.zeros(1 << 16, bool)
_UNDERSTOOD[list(OTHER_TYPES)] = True

LENGTH_MOST = 0x05FF
"""An EtherType field up to here is an 802.3 length (or, in cooked captures, a Linux pseudo protocol)."""

_V6_FAMILIES = (10, 23, 24, 28, 30)


@dataclass(frozen=True, slots=True)
class Link:
    """Per frame: offset of the network header, EtherType (0 if it has none), why it cannot be read, interface."""

    network: I64
    ethertype: I64
    reason: U8
    interface: I64


def link_layer(window: Window) -> Link:
    """Peel the link header and VLAN tags of every frame."""
    count = len(window)
    network, ethertype = window.start.copy(), np.zeros(count, np.int64)
    reason, interface = np.zeros(count, np.uint8), window.interface.copy()
    for kind in distinct(window.link).tolist():
        here = window.link == kind
        rows = np.arange(count) if here.all() else np.flatnonzero(here)
        if kind not in SUPPORTED:
            reason[rows] = UNSUPPORTED
            continue
        length, types = _peel(window, rows, kind, interface)
        network[rows] += length
        ethertype[rows] = types
    captured = window.end - window.start
    reason[(captured <= 0) & (reason == FINE)] = EMPTY
    short = (reason == FINE) & (network > window.end)
    reason[short] = np.where(captured[short] < window.wire[short], CUT, UNKNOWN_TYPE)
    _vlan(window, network, ethertype, reason)
    _classify(ethertype, reason)
    return Link(network, ethertype, reason, interface)


def _peel(window: Window, rows: I64, kind: int, interface: I64) -> tuple[int, I64]:
    """Length of the link header, and the EtherType of each row."""
    start = window.start[rows]
    if kind == ETHERNET:
        return 14, half_at(window.data, start + 12).astype(np.int64)
    if kind == COOKED:
        return 16, half_at(window.data, start + 14).astype(np.int64)
    if kind == COOKED2:
        head = gather(window.data, start, 8)
        interface[rows] = fulls(head, 4).astype(np.int64) & 0x7FFFFFFF
        return 20, halves(head, 0).astype(np.int64)
    if kind in (NULL, LOOP):
        head = gather(window.data, start, 4)
        # The family is in the byte order of the capturing machine; it is small, so the smaller reading is right.
        family = np.minimum(fulls(head, 0), head.view("<u4")[:, 0])
        return 4, np.where(family == 2, IPV4, np.where(np.isin(family, _V6_FAMILIES), IPV6, LENGTH_MOST))
    version = window.data[start] >> 4
    return 0, np.where(version == 4, IPV4, np.where(version == 6, IPV6, 0xFFFF))


def _vlan(window: Window, network: I64, ethertype: I64, reason: U8) -> None:
    tagged = np.flatnonzero(_is_vlan(ethertype) & (reason == FINE))
    for _ in range(VLAN_MOST):
        if not len(tagged):
            return
        whole = network[tagged] + 4 <= window.end[tagged]
        broken = tagged[~whole]
        reason[broken] = np.where(window.end[broken] - window.start[broken] < window.wire[broken], CUT, UNKNOWN_TYPE)
        tagged = tagged[whole]
        ethertype[tagged] = half_at(window.data, network[tagged] + 2)
        network[tagged] += 4
        tagged = tagged[_is_vlan(ethertype[tagged])]
    reason[tagged] = DEEP_VLAN


def _is_vlan(ethertype: I64) -> Flags:
    tagged: Flags = (ethertype == VLAN_TYPES[0]) | (ethertype == VLAN_TYPES[1]) | (ethertype == VLAN_TYPES[2])
    return tagged


def _classify(ethertype: I64, reason: U8) -> None:
    """Frames that are not IP keep EtherType 0 if they are understood, and a reason if not."""
    other = np.flatnonzero((ethertype != IPV4) & (ethertype != IPV6) & (reason == FINE))
    known = (ethertype[other] <= LENGTH_MOST) | _UNDERSTOOD[ethertype[other]]
    reason[other[~known]] = UNKNOWN_TYPE
    ethertype[other] = 0
    ethertype[reason != FINE] = 0
