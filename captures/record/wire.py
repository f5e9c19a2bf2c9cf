"""Frames as a capture on a node sees them: Ethernet, IPv4, UDP and TCP, and the files that hold them."""

from __future__ import annotations

import gzip
import io
import ipaddress
import random
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from scapy.utils import RawPcapWriter

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
SNAPLEN = 262144
UPLINK, ROUTER = bytes.fromhex("021fa35c7709"), bytes.fromhex("02000a000c01")
SECOND = 1_000_000
"""All times in these scripts are whole microseconds since the epoch."""


def gzipped(data: bytes) -> bytes:
    """The same bytes on every run: no file name, no time."""
    return gzip.compress(data, compresslevel=9, mtime=0)


@lru_cache(maxsize=4096)
def packed(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


@lru_cache(maxsize=4096)
def mac(address: str) -> bytes:
    """The hardware address that the bridge plugin gives to a pod: 0a:58 and the four octets of its address."""
    return b"\x0a\x58" + packed(address)


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


@dataclass(frozen=True, slots=True)
class Ends:
    """Who sends to whom."""

    src: str
    sport: int
    dst: str
    dport: int

    def back(self) -> Ends:
        return Ends(self.dst, self.dport, self.src, self.sport)


def ethernet(ends: Ends, subnet: str, body: bytes, interface: int = 0) -> bytes:
    """`subnet` is the pod range of the node, as `10.244.3.`; all else is behind the bridge's own address. Interface 1
    is the uplink of the node."""
    if interface:
        away = ends.src.startswith(subnet)
        return (ROUTER + UPLINK if away else UPLINK + ROUTER) + b"\x08\x00" + body
    gateway = mac(subnet + "1")
    src = mac(ends.src) if ends.src.startswith(subnet) else gateway
    dst = mac(ends.dst) if ends.dst.startswith(subnet) else gateway
    return dst + src + b"\x08\x00" + body


def ipv4(ends: Ends, protocol: int, body: bytes, ident: int, ttl: int) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), ident, 0x4000, ttl, protocol, 0)
    head += packed(ends.src) + packed(ends.dst)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def _pseudo(ends: Ends, protocol: int, length: int) -> bytes:
    return packed(ends.src) + packed(ends.dst) + struct.pack("!BBH", 0, protocol, length)


def udp(ends: Ends, payload: bytes, ident: int, ttl: int = 64) -> bytes:
    """An IPv4 packet with a UDP datagram."""
    length = 8 + len(payload)
    head = struct.pack("!HHHH", ends.sport, ends.dport, length, 0)
    total = checksum(_pseudo(ends, 17, length) + head + payload) or 0xFFFF
    return ipv4(ends, 17, head[:6] + struct.pack("!H", total) + payload, ident, ttl)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    seq: int
    ack: int
    flags: int
    window: int
    options: bytes
    payload: bytes = b""


def tcp(ends: Ends, segment: Segment, ident: int, ttl: int = 64) -> bytes:
    """An IPv4 packet with a TCP segment."""
    offset = (20 + len(segment.options)) // 4 << 4
    fields = (ends.sport, ends.dport, segment.seq & 0xFFFFFFFF, segment.ack & 0xFFFFFFFF, offset, segment.flags)
    head = struct.pack("!HHIIBBHHH", *fields, segment.window, 0, 0) + segment.options
    whole = head + segment.payload
    total = checksum(_pseudo(ends, 6, len(whole)) + whole)
    return ipv4(ends, 6, whole[:16] + struct.pack("!H", total) + whole[18:], ident, ttl)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    name: str
    capture_filter: str


@dataclass
class Capture:
    """The frames of one node, in any order; files are written in order of time."""

    subnet: str
    rng: random.Random
    frames: list[tuple[int, int, int, bytes]] = field(default_factory=list)

    def add(self, at: int, ends: Ends, packet: bytes, interface: int = 0) -> int:
        """Keep one packet; returns its length on the wire."""
        frame = ethernet(ends, self.subnet, packet, interface)
        self.frames.append((at, len(self.frames), interface, frame))
        return len(frame)

    def ident(self) -> int:
        return self.rng.randrange(1, 65536)

    def pcap(self) -> bytes:
        """A classic capture file with microseconds."""
        out = io.BytesIO()
        writer = RawPcapWriter(out, linktype=1, snaplen=SNAPLEN, endianness="<")
        writer.write_header(None)
        for at, _, _, frame in sorted(self.frames):
            writer.write_packet(frame, sec=at // SECOND, usec=at % SECOND, caplen=len(frame), wirelen=len(frame))
        writer.flush()
        return out.getvalue()

    def pcapng(self, interfaces: tuple[Interface, ...], host: str) -> bytes:
        """A pcapng file with one section, its interfaces and their statistics at the end, as dumpcap writes it."""
        system = [(2, host.encode()), (3, b"Linux 6.8.0-1021-aws"), (4, b"Dumpcap (Wireshark) 4.2.2")]
        parts = [_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _options(system))]
        for one in interfaces:
            options = [(2, one.name.encode()), (9, b"\x06")]
            if one.capture_filter:
                options.append((11, b"\0" + one.capture_filter.encode()))
            parts.append(_block(1, struct.pack("<HHI", 1, 0, SNAPLEN) + _options(options)))
        received = [0] * len(interfaces)
        last = 0
        for at, _, interface, frame in sorted(self.frames):
            received[interface] += 1
            last = at
            parts.append(_block(6, _epb(interface, at, frame)))
        for number, count in enumerate(received):
            stats = [(4, struct.pack("<Q", count)), (5, struct.pack("<Q", 0))]
            body = struct.pack("<III", number, last >> 32, last & 0xFFFFFFFF)
            parts.append(_block(5, body + _options(stats)))
        return b"".join(parts)


def _epb(interface: int, at: int, frame: bytes) -> bytes:
    head = struct.pack("<IIIII", interface, at >> 32, at & 0xFFFFFFFF, len(frame), len(frame))
    return head + frame + b"\0" * (-len(frame) % 4)


def _options(options: list[tuple[int, bytes]]) -> bytes:
    body = b"".join(struct.pack("<HH", code, len(value)) + value + b"\0" * (-len(value) % 4) for code, value in options)
    return body + b"\0\0\0\0"


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def write(path: Path, data: bytes) -> None:
    """Write a file; a name that ends in `.gz` is compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzipped(data) if path.suffix == ".gz" else data)
