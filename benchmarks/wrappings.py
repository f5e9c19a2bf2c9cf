"""The same packets in the link layers and file formats that captures of a node come in."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from benchmarks.traffic import IPV4, Packet, ipv4, udp

Wrap = Callable[[int, Packet], bytes]
"""A packet and its position to the frame of a link layer."""

ETHERNET, COOKED2 = 1, 276
SNAPLEN = 262_144
TAGGED = 10
"""One frame of so many carries a VLAN tag."""
JOINED = 8192
"""Pieces that are written at once."""

NODE, PEER = b"\x02\x42\xac\x11\0\x02", b"\x02\x42\xac\x11\0\x01"
NODE_ADDRESS, PEER_ADDRESS = bytes((192, 168, 1, 10)), bytes((192, 168, 1, 11))
VXLAN_PORT = 4789


def ethernet(index: int, packet: Packet) -> bytes:
    return _ethernet(packet.outbound, packet.ethertype, index % TAGGED == 0) + packet.body


def cooked(index: int, packet: Packet) -> bytes:
    """Linux cooked capture v2, as `tcpdump -i any` writes it."""
    del index
    return _cooked(packet.outbound, packet.ethertype) + packet.body


def vxlan(index: int, packet: Packet) -> bytes:
    """As an overlay network carries it between two nodes."""
    inner = _ethernet(packet.outbound, packet.ethertype, False) + packet.body
    ends = (NODE_ADDRESS, PEER_ADDRESS) if packet.outbound else (PEER_ADDRESS, NODE_ADDRESS)
    outer = udp(32768 + index * 7919 % 28_000, VXLAN_PORT, b"\x08\0\0\0\0\0\x01\0" + inner)
    return _ethernet(packet.outbound, IPV4, False) + ipv4(*ends, 17, outer, index & 0xFFFF)


@cache
def _ethernet(outbound: bool, ethertype: int, tagged: bool) -> bytes:
    ends = PEER + NODE if outbound else NODE + PEER
    return ends + (struct.pack(">HH", 0x8100, 100) if tagged else b"") + struct.pack(">H", ethertype)


@cache
def _cooked(outbound: bool, ethertype: int) -> bytes:
    return struct.pack(">HHIHBB", ethertype, 0, 7, 1, 4 if outbound else 0, 6) + NODE + b"\0\0"


def pcap(packets: Iterable[Packet], wrap: Wrap = ethernet, link: int = ETHERNET) -> Iterator[bytes]:
    """A pcap file with microseconds, in pieces."""
    yield struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAPLEN, link)
    head = struct.Struct("<IIII").pack
    parts: list[bytes] = []
    for index, packet in enumerate(packets):
        frame = wrap(index, packet)
        seconds, micros = divmod(packet.time, 1_000_000)
        parts += (head(seconds, micros, len(frame), len(frame)), frame)
        if len(parts) >= JOINED:
            yield b"".join(parts)
            parts.clear()
    yield b"".join(parts)


def pcapng(packets: Iterable[Packet], wrap: Wrap = ethernet, link: int = ETHERNET) -> Iterator[bytes]:
    """A pcapng file of one section and one interface, with nanoseconds as dumpcap writes them, in pieces."""
    yield struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    nanoseconds = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)
    size = 20 + len(nanoseconds)
    yield struct.pack("<IIHHI", 1, size, link, 0, SNAPLEN) + nanoseconds + struct.pack("<I", size)
    head, tail = struct.Struct("<IIIIIII").pack, struct.Struct("<I").pack
    parts: list[bytes] = []
    for index, packet in enumerate(packets):
        frame = wrap(index, packet)
        padding = -len(frame) % 4
        size = 32 + len(frame) + padding
        high, low = divmod(packet.time * 1000, 1 << 32)
        parts += (head(6, size, 0, high, low, len(frame), len(frame)), frame, bytes(padding), tail(size))
        if len(parts) >= JOINED:
            yield b"".join(parts)
            parts.clear()
    yield b"".join(parts)
