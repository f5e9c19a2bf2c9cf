"""Which packets are looked at for DNS, and what makes them DNS.

At port 53 every message is DNS, good or malformed. Elsewhere the port is a hint only: the message must be one that a
resolver or server would write, to the last octet, or nothing is said about it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from analyzer.sources.capture.arrays import I64, U8, U64, Flags, half_at
from analyzer.sources.capture.dns import GOOD, Messages
from analyzer.sources.capture.dns_records import QUERY

PORT, MULTICAST_PORT, LINK_LOCAL_PORT = 53, 5353, 5355
"""DNS (RFC 1035), multicast DNS (RFC 6762), LLMNR (RFC 4795)."""

OTHER_PORTS = (1053, 5053, 5300, MULTICAST_PORT, 8053, 8600, 9053, 10053, 15053)
"""Where servers listen that may not or need not bind 53: unprivileged CoreDNS (1053, 5300, 8053, 9053), OpenShift's
dns-default (5353), cloudflared (5053), Consul (8600), kube-dns behind its dnsmasq (10053), Istio's agent (15053)."""

NONE, DNS, MDNS, LLMNR, MAYBE = range(5)
"""What the addresses and ports of a packet say. MAYBE becomes DNS where the message proves it."""

TEXTS = pl.Series(["", "dns", "mdns", "llmnr", "dns"], dtype=pl.String)

GROUPS = np.array([[0, 0xE00000FB], [0xFF02 << 48, 0xFB]], np.uint64)
"""224.0.0.251 and ff02::fb, where multicast DNS is sent to: an upper and a lower word each."""

_RESPONSE = 0x8000
_CACHE_FLUSH = 0x8000
_CLASSES = (1, 3, 255)
"""Internet, Chaos (version.bind), any."""
_ADDITIONAL_MOST = 2
"""Records that a query carries: EDNS and a signature."""
_RCODE_MOST = 10


def _table() -> U8:
    # ABSENT, -1, is the last place.
    table = np.zeros(65537, np.uint8)
    table[list(OTHER_PORTS)] = MAYBE
    table[LINK_LOCAL_PORT] = LLMNR
    table[PORT] = DNS
    return table


BY_PORT = _table()
"""What each port says."""

LISTENING = BY_PORT > NONE
"""Whether a server may listen at each port."""


def protocols(src_port: I64, dst_port: I64, dst_high: U64, dst_low: U64) -> U8:
    """What each packet may hold."""
    src, dst = BY_PORT[src_port], BY_PORT[dst_port]
    out: U8 = np.where((src == DNS) | (dst == DNS), np.uint8(DNS), np.maximum(src, dst))
    others = np.flatnonzero(out > DNS)
    if len(others):
        to = dst_port[others] == MULTICAST_PORT
        high, low = dst_high[others], dst_low[others]
        group = ((high[:, None] == GROUPS[:, 0]) & (low[:, None] == GROUPS[:, 1])).any(axis=1)
        out[others[to & (group | (src_port[others] == MULTICAST_PORT))]] = MDNS
    return out


def classes(protocol: U8) -> I64 | None:
    """The bits of a record's class that count: multicast DNS marks unique records by the top one (RFC 6762 10.2)."""
    if not (protocol == MDNS).any():
        return None
    return np.where(protocol == MDNS, 0xFFFF ^ _CACHE_FLUSH, 0xFFFF)


def plausible(data: U8, made: Messages, rows: I64, end: I64, to_server: Flags, from_server: Flags) -> Flags:
    """Whether these messages are beyond doubt what their port hints at: one question of a known class, nothing behind
    the last record, a query to the server or an answer of it."""
    flags, counts = made.flags[rows], made.counts[rows]
    good: Flags = (made.state[rows] == GOOD) & (counts[:, 0] == 1) & (made.name_at[rows] >= 0)
    good &= (flags >> 11 & 15 == QUERY) & (made.behind[rows] == end[rows]) & (flags & 0x40 == 0)
    asked = half_at(data, np.maximum(made.behind_name[rows], 0) + 2)
    good &= np.isin(asked, _CLASSES) & (made.qtype[rows] > 0)
    response = flags & _RESPONSE != 0
    none = (counts[:, 1] == 0) & (counts[:, 2] == 0) & (counts[:, 3] <= _ADDITIONAL_MOST)
    query = ~response & to_server & none & (flags & 15 == 0)
    good &= query | (response & from_server & (flags & 15 <= _RCODE_MOST))
    return good
