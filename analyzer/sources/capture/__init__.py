"""Packet captures: pcap and pcapng."""

from __future__ import annotations

from analyzer.frames import (
    DNS_ANSWERS,
    DNS_MESSAGES,
    HTTP_MESSAGES,
    ICMP_ERRORS,
    MINING_MESSAGES,
    PACKETS,
    TLS_CLIENT_HELLOS,
    TUNNEL_HEADERS,
)
from analyzer.sources.capture.heads import ORDERS, SECTION_MAGIC
from analyzer.sources.capture.pcap_format import MAGICS
from analyzer.sources.capture.quote import quote, quote_by
from analyzer.sources.capture.reader import read
from analyzer.sources.contract import Match, Source


def identify(head: bytes) -> Match | None:
    """Captures begin with a magic number; a pcapng file also states its byte order at offset 8."""
    if head[:4] in MAGICS:
        return Match(1.0, "magic number of pcap")
    if head[:4] == SECTION_MAGIC:
        return Match(1.0 if head[8:12] in ORDERS else 0.8, "section header of pcapng")
    return None


SOURCE = Source(
    name="pcap",
    title="Packet capture (pcap, pcapng)",
    tables=(
        PACKETS,
        DNS_MESSAGES,
        DNS_ANSWERS,
        HTTP_MESSAGES,
        TLS_CLIENT_HELLOS,
        MINING_MESSAGES,
        TUNNEL_HEADERS,
        ICMP_ERRORS,
    ),
    identify=identify,
    read=read,
    quote=quote,
    quote_by=quote_by,
    magic=True,
)
