"""What may stand between a link header and IP: VLAN tags, PPPoE, PPP, MPLS labels, SNAP; and the EtherTypes.

The same headers stand before the packets inside tunnels, so this works on any set of places.
VLAN: IEEE 802.1Q; PPPoE: RFC 2516; PPP: RFC 1661 and 1662; MPLS: RFC 3032; SNAP: RFC 1042.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analyzer.sources.capture.arrays import I64, U8, Flags, distinct, gather, half_at, halves
from analyzer.sources.capture.reasons import CUT, DEEP_MPLS, DEEP_VLAN, FINE, UNKNOWN_TYPE

IPV4, IPV6 = 0x0800, 0x86DD
VLAN_TYPES = (0x8100, 0x88A8, 0x9100)
MPLS_TYPES = (0x8847, 0x8848)
PPP, PPPOE = 0x880B, 0x8864
SHIMS_MOST = 16
"""Headers before IP that are followed; 802.1ad uses two tags, and stacks of ten MPLS labels are rare."""

# fmt: off
OTHER_TYPES = (
    0x0806, 0x8035, 0x809B, 0x80F3, 0x8137, 0x8808, 0x8809, 0x8863, 0x887B, 0x888E, 0x8892, 0x88A4, 0x88B5, 0x88B6,
    0x88B8, 0x88CA, 0x88CC, 0x88E1, 0x88E5, 0x88F7, 0x88FB, 0x8902, 0x8906, 0x8914, 0x893A, 0x9000, 0x6003, 0x6558,
    0x22F0, 0x22F3, 0x0842, 0x8999, 0x876B, 0x886F, 0x88A2, 0x88A7, 0x8903, 0x8926, 0x8947,
)
# fmt: on
"""EtherTypes that are known not to be IP (ARP, LLDP, STP's relatives ...): such frames are understood, without a row.

From the IEEE 802 numbers registered with IANA, https://www.iana.org/assignments/ieee-802-numbers."""

NOT_IP = 0
"""Stands for the EtherType of what is understood and is not IP."""
LENGTH_MOST = 0x05FF
"""An EtherType field up to here is an 802.3 length (or, in cooked captures, a Linux pseudo protocol)."""

_UNDERSTOOD = np.zeros(1 << 16, bool)
_UNDERSTOOD[: LENGTH_MOST + 1] = True
_UNDERSTOOD[list(OTHER_TYPES)] = True

_PPP_TYPES = {0x0021: IPV4, 0x0057: IPV6, 0x0281: MPLS_TYPES[0], 0x0283: MPLS_TYPES[1]}
"""PPP protocols as EtherTypes, https://www.iana.org/assignments/ppp-numbers; all others are not IP."""

_TAG, _SESSION, _PROTOCOL, _LABEL, _SNAP = range(1, 6)
_SHIM = np.zeros(1 << 16, np.uint8)
_SHIM[NOT_IP + 1 : LENGTH_MOST + 1] = _SNAP
_SHIM[list(VLAN_TYPES)] = _TAG
_SHIM[PPPOE] = _SESSION
_SHIM[PPP] = _PROTOCOL
_SHIM[list(MPLS_TYPES)] = _LABEL

TABLES = _UNDERSTOOD.view(np.uint8), _SHIM
"""What a kernel that does both `peel` and `classify` has to know of each EtherType."""


def peel(data: U8, at: I64, end: I64, cut: Flags, ethertype: I64, reason: U8) -> None:
    """Move `at` and `ethertype` past every shim, in place; `reason` tells where that failed."""
    rows = np.flatnonzero((ethertype != IPV4) & (ethertype != IPV6) & (reason == FINE))
    kinds = _SHIM[ethertype[rows]]
    for _ in range(SHIMS_MOST):
        rows, kinds = rows[kinds > 0], kinds[kinds > 0]
        if not len(rows):
            return
        for kind in distinct(kinds).tolist():
            mine = rows[kinds == kind]
            size, types = _STEPS[kind](data, at[mine], ethertype[mine])
            at[mine] += size
            ethertype[mine] = types
        broken = rows[at[rows] > end[rows]]
        reason[broken] = np.where(cut[broken], CUT, UNKNOWN_TYPE)
        rows = rows[at[rows] <= end[rows]]
        kinds = _SHIM[ethertype[rows]]
    reason[rows] = np.where(kinds == _LABEL, DEEP_MPLS, DEEP_VLAN) * (kinds > 0)


def classify(ethertype: I64, reason: U8) -> None:
    """Frames that are not IP keep NOT_IP if they are understood, and a reason if not."""
    other = np.flatnonzero((ethertype != IPV4) & (ethertype != IPV6) & (reason == FINE))
    reason[other[~_UNDERSTOOD[ethertype[other]]]] = UNKNOWN_TYPE
    ethertype[other] = NOT_IP
    ethertype[reason != FINE] = NOT_IP


_Step = tuple[I64 | int, I64]
"""Bytes to go on, and the EtherType of what stands there."""


def _tag(data: U8, at: I64, ethertype: I64) -> _Step:
    del ethertype
    return 4, half_at(data, at + 2).astype(np.int64)


def _session(data: U8, at: I64, ethertype: I64) -> _Step:
    del ethertype
    # Version and type 1, code 0: anything else is no session.
    return 6, np.where(half_at(data, at) == 0x1100, PPP, NOT_IP)


def _protocol(data: U8, at: I64, ethertype: I64) -> _Step:
    """Address and control may be left out, and the protocol's first byte if it is zero (RFC 1661, section 6.5)."""
    del ethertype
    head = gather(data, at, 4)
    skip = np.where(halves(head, 0) == 0xFF03, 2, 0)
    first = np.where(skip == 2, head[:, 2], head[:, 0]).astype(np.int64)
    second = np.where(skip == 2, head[:, 3], head[:, 1])
    short = first & 1
    protocol = np.where(short == 1, first, first << 8 | second)
    types = np.full(len(at), NOT_IP)
    for number, known in _PPP_TYPES.items():
        types[protocol == number] = known
    return skip + 2 - short, types


def _label(data: U8, at: I64, ethertype: I64) -> _Step:
    """Below the last label the first four bits tell the IP version: what else may stand there has 0 or 1 (RFC 4928)."""
    head = gather(data, at, 5)
    version = head[:, 4] >> 4
    below = np.where(version == 4, IPV4, np.where(version == 6, IPV6, NOT_IP))
    return 4, np.where(head[:, 2] & 1, below, ethertype)


def _snap(data: U8, at: I64, ethertype: I64) -> _Step:
    del ethertype
    head = gather(data, at, 8)
    fits = (halves(head, 0) == 0xAAAA) & (halves(head, 2) == 0x0300) & (halves(head, 4) == 0)
    types = halves(head, 6).astype(np.int64)
    # Within SNAP a length has no meaning.
    fits &= types > LENGTH_MOST
    return np.where(fits, 8, 0), np.where(fits, types, NOT_IP)


_STEPS: dict[int, Callable[[U8, I64, I64], _Step]] = {
    _TAG: _tag,
    _SESSION: _session,
    _PROTOCOL: _protocol,
    _LABEL: _label,
    _SNAP: _snap,
}
