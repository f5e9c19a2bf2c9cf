"""Captures built byte by byte, so that a test sees exactly what is in them."""

from __future__ import annotations

import io
import ipaddress
import struct
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from analyzer.frames import TABLES, concat
from analyzer.sources.capture.reader import batches, frames_of
from analyzer.sources.contract import Ledger

EPOCH = 1_767_225_600
"""2026-01-01 00:00:00 UTC in seconds."""

Frame = bytes | tuple[float, bytes]


def read_all(data: bytes, size: int = 8 << 20) -> tuple[dict[str, pl.DataFrame], Ledger]:
    """Every table of a capture by name, and its ledger; `size` is the window."""
    ledger = Ledger()
    parts: dict[str, list[pl.DataFrame]] = {table.name: [] for table in TABLES}
    for batch in batches(frames_of(io.BytesIO(data), ledger, size), "t", ledger):
        for table, frame in batch.items():
            parts[table.name].append(table.check(frame.lazy()).collect())
    return {table.name: concat(table, parts[table.name]) for table in TABLES}, ledger


def read_file(path: Path) -> tuple[dict[str, pl.DataFrame], Ledger]:
    return read_all(path.read_bytes())


def pcap(
    frames: Iterable[Frame],
    *,
    order: str = "<",
    magic: int = 0xA1B2C3D4,
    link: int = 1,
    snaplen: int = 262144,
    step: float = 0.001,
) -> bytes:
    """A pcap file; a frame may come with its own time in seconds after EPOCH, else they are `step` apart."""
    out = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, snaplen, link)]
    scale = 1_000_000_000 if magic == 0xA1B23C4D else 1_000_000
    for index, frame in enumerate(frames):
        when, body = frame if isinstance(frame, tuple) else (index * step, frame)
        seconds, fraction = divmod(round(when * scale), scale)
        kept = body[:snaplen]
        out.append(struct.pack(f"{order}IIII", EPOCH + seconds, fraction, len(kept), len(body)))
        if magic == 0xA1B2CD34:
            out.append(struct.pack(f"{order}IHBB", 3, 0, 0, 0))
        out.append(kept)
    return b"".join(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + length + body + length


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, options: bytes = b"", order: str = "<", snaplen: int = 0) -> bytes:
    return block(1, struct.pack(f"{order}HHI", link, 0, snaplen) + options, order)


def enhanced(frame: bytes, ticks: int, order: str = "<", which: int = 0, wire: int | None = None) -> bytes:
    head = struct.pack(f"{order}IIIII", which, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), wire or len(frame))
    return block(6, head + frame, order)


def simple(frame: bytes, order: str = "<") -> bytes:
    return block(3, struct.pack(f"{order}I", len(frame)) + frame, order)


def ethernet(packet: bytes, kind: int = 0x0800, tags: Iterable[int] = ()) -> bytes:
    vlans = b"".join(struct.pack(">HH", tag, 7) for tag in tags)
    return b"\2\0\0\0\0\1\2\0\0\0\0\2" + vlans + struct.pack(">H", kind) + packet


def cooked2(packet: bytes, ifindex: int, kind: int = 0x0800) -> bytes:
    return struct.pack(">HHIHBB8s", kind, 0, ifindex, 1, 0, 6, b"") + packet


def ipv4(
    payload: bytes,
    protocol: int,
    src: str,
    dst: str,
    *,
    ident: int = 1,
    ttl: int = 64,
    frag: int = 0,
    opts: bytes = b"",
) -> bytes:
    words = 5 + len(opts) // 4
    head = struct.pack(">BBHHHBBH", 0x40 | words, 0, words * 4 + len(payload), ident, frag, ttl, protocol, 0)
    return head + ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed + opts + payload


def ipv6(payload: bytes, protocol: int, src: str, dst: str, *, hops: int = 64) -> bytes:
    head = struct.pack(">IHBB", 0x60000000, len(payload), protocol, hops)
    return head + ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed + payload


def udp(payload: bytes, sport: int, dport: int) -> bytes:
    return struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload


def tcp(
    payload: bytes, sport: int, dport: int, *, seq: int = 1, ack: int = 0, flags: int = 0x18, window: int = 64240
) -> bytes:
    return struct.pack(">HHIIBBHHH", sport, dport, seq, ack, 5 << 4, flags, window, 0, 0) + payload


def wire_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def query(name: str | bytes, ident: int = 1, qtype: int = 1) -> bytes:
    """A DNS query; a name in bytes is taken as its wire form."""
    wire = name if isinstance(name, bytes) else wire_name(name)
    return struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 0) + wire + struct.pack(">HH", qtype, 1)


def answer(
    name: str, ident: int = 1, *, flags: int = 0x8180, records: Iterable[bytes] = (), authority: Iterable[bytes] = ()
) -> bytes:
    answers, authorities = list(records), list(authority)
    head = struct.pack(">HHHHHH", ident, flags, 1, len(answers), len(authorities), 0)
    return head + wire_name(name) + struct.pack(">HH", 1, 1) + b"".join(answers) + b"".join(authorities)


def record(kind: int, data: bytes, ttl: int = 30, owner: bytes = b"\xc0\x0c") -> bytes:
    return owner + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def soa(minimum: int) -> bytes:
    return wire_name("ns.example.com") + wire_name("host.example.com") + struct.pack(">IIIII", 1, 2, 3, 4, minimum)


def dns_frame(message: bytes, sport: int = 40000, dport: int = 53, *, ident: int = 1) -> bytes:
    return ethernet(ipv4(udp(message, sport, dport), 17, "10.0.0.7", "10.96.0.10", ident=ident))


def checksummed(packet: bytes) -> bytes:
    """An IPv4 packet with the right header checksum."""
    size = (packet[0] & 15) * 4
    total = sum(struct.unpack(f">{size // 2}H", packet[:10] + bytes(2) + packet[12:size]))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return packet[:10] + struct.pack(">H", total ^ 0xFFFF) + packet[12:]


def vxlan(inner: bytes, network: int = 1, flags: int = 0x08000000) -> bytes:
    return struct.pack(">II", flags, network << 8) + inner


def geneve(inner: bytes, network: int = 1, kind: int = 0x6558, options: bytes = b"") -> bytes:
    return struct.pack(">BBHI", len(options) // 4, 0, kind, network << 8) + options + inner


def gre(
    inner: bytes, kind: int = 0x0800, *, key: int | None = None, seq: int | None = None, summed: bool = False
) -> bytes:
    flags = summed << 15 | (key is not None) << 13 | (seq is not None) << 12
    fields = bytes(4) * summed + b"".join(struct.pack(">I", field) for field in (key, seq) if field is not None)
    return struct.pack(">HH", flags, kind) + fields + inner


def icmp(kind: int, code: int, quote: bytes, rest: int = 0) -> bytes:
    return struct.pack(">BBHI", kind, code, 0, rest) + quote
