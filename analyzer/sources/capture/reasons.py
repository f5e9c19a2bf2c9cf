"""Why a frame was not used, as small codes for arrays and as the words of the ledger."""

from __future__ import annotations

(
    FINE,
    EMPTY,
    UNSUPPORTED,
    WIRELESS,
    CUT,
    DEEP_VLAN,
    DEEP_MPLS,
    UNKNOWN_TYPE,
    BAD_IP,
    DEEP_IPV6,
    DEEP_TUNNEL,
    BAD_TCP,
    BAD_UDP,
    BAD_DNS,
) = range(14)

HEADERS_UNREAD = BAD_UDP
"""Reasons up to here leave a frame without a row; later ones concern a message inside a packet that has its row."""

WORDS = {
    EMPTY: "empty frame",
    UNSUPPORTED: "unsupported link type",
    WIRELESS: "IEEE 802.11 frame, counted only",
    CUT: "cut by the snap length before its headers end",
    DEEP_VLAN: "VLAN tags nested too deep",
    DEEP_MPLS: "MPLS labels nested too deep",
    UNKNOWN_TYPE: "unknown EtherType",
    BAD_IP: "malformed IP header",
    DEEP_IPV6: "IPv6 extension headers nested too deep",
    DEEP_TUNNEL: "tunnels nested too deep",
    BAD_TCP: "malformed TCP header",
    BAD_UDP: "malformed UDP header",
    BAD_DNS: "malformed DNS",
}
