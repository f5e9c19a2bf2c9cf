"""Writes a pcapng file: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html.

The same frames give the same bytes: no time of writing, no name of a machine.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from msgspec import Struct

from analyzer.sources.capture.raw import Frame

SECTION, INTERFACE, ENHANCED = 0x0A0D0D0A, 1, 6
BYTE_ORDER = 0x1A2B3C4D
COMMENT, DESCRIPTION, APPLICATION, RESOLUTION = 1, 3, 4, 9
NANOS, MICROS = 9, 6
"""Values of if_tsresol: ten to the minus that."""

NANOS_MOST = 1 << 63
"""A later time (after 2262) is written in microseconds: other readers hold nanoseconds in 63 bits."""

OPTION_MOST = 1024


class Packet(Struct, frozen=True):
    """A frame, the capture it is from, and what is said of it."""

    frame: Frame
    source: str
    comment: str


def pcapng(packets: Sequence[Packet], application: str) -> bytes:
    """A capture of these packets in this order; an interface each for what differs in source, interface, link type."""
    return b"".join(_blocks(packets, application))


def _blocks(packets: Sequence[Packet], application: str) -> Iterator[bytes]:
    yield _block(SECTION, struct.pack("<IHHq", BYTE_ORDER, 1, 0, -1) + _options((APPLICATION, application.encode())))
    known: dict[tuple[str, int, int, int], int] = {}
    for packet in packets:
        frame = packet.frame
        # The block has no way to say that there is no time; the comment does.
        time = frame.time or 0
        resolution = NANOS if time < NANOS_MOST else MICROS
        key = (packet.source, frame.interface, frame.link, resolution)
        if key not in known:
            known[key] = len(known)
            yield _interface(packet, resolution)
        ticks = time if resolution == NANOS else time // 1000
        head = struct.pack("<5I", known[key], ticks >> 32, ticks & 0xFFFFFFFF, len(frame.data), frame.wire & 0xFFFFFFFF)
        yield _block(ENHANCED, head + _padded(frame.data) + _options((COMMENT, _text(packet.comment))))


def _interface(packet: Packet, resolution: int) -> bytes:
    frame = packet.frame
    where = packet.source if frame.interface < 0 else f"interface {frame.interface} of {packet.source}"
    options = _options((DESCRIPTION, _text(where)), (RESOLUTION, bytes([resolution])))
    return _block(INTERFACE, struct.pack("<HHI", frame.link, 0, 0) + options)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def _options(*options: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options) + bytes(4)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")[:OPTION_MOST].decode("utf-8", "ignore").encode()


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
