"""Packet captures: pcap and pcapng.

What reads them is imported when one is read: to know one by its magic takes next to nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator

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
from analyzer.sources.contract import (
    Batch,
    ByteStream,
    Item,
    Ledger,
    Marks,
    Match,
    ReadOptions,
    SkippingStream,
    Source,
)

QUOTE_LIMIT = 2048
"""Characters of one quoted frame."""


def identify(head: bytes) -> Match | None:
    """Captures begin with a magic number; a pcapng file also states its byte order at offset 8."""
    if head[:4] in MAGICS:
        return Match(1.0, "magic number of pcap")
    if head[:4] == SECTION_MAGIC:
        return Match(1.0 if head[8:12] in ORDERS else 0.8, "section header of pcapng")
    return None


def _read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    from analyzer.sources.capture.reader import read

    return read(stream, item, options, ledger)


def _quote(stream: ByteStream, numbers: frozenset[int], most: int = QUOTE_LIMIT) -> dict[int, str]:
    from analyzer.sources.capture.quote import quote

    return {number: text[:most] for number, text in quote(stream, numbers).items()}


def _quote_by(stream: SkippingStream, numbers: frozenset[int], marks: Marks) -> dict[int, str]:
    from analyzer.sources.capture.quote import quote_by

    return quote_by(stream, numbers, marks)


def _ready() -> None:
    from analyzer.sources.capture.quote import ready

    ready()


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
    read=_read,
    quote=_quote,
    quote_by=_quote_by,
    ready=_ready,
    magic=True,
)
