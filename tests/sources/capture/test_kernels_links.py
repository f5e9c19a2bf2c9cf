"""The kernels that read link headers, make columns and choose segments do what NumPy does, to the last row."""

from __future__ import annotations

import io
import random
import struct
from dataclasses import replace
from ipaddress import ip_address

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer import kernels
from analyzer.sources.capture import links, metadata
from analyzer.sources.capture.arrays import padded
from analyzer.sources.capture.decode import Decoder
from analyzer.sources.capture.packets import Packets, packet_frame
from analyzer.sources.capture.reader import frames_of
from analyzer.sources.capture.recognise import _LEAST, segments, segments_together
from analyzer.sources.capture.texts import Addresses
from analyzer.sources.capture.window import NO_INTERFACE, NO_TIME, Window
from analyzer.sources.contract import Ledger
from tests.sources.capture.make import ethernet, ipv4, pcap, tcp, udp

pytestmark = pytest.mark.skipif(not kernels.there(), reason="no compiled kernels: rustc was not there at the build")

IP = ipv4(udp(b"0123456789", 40000, 53), 17, "10.0.0.7", "10.96.0.10")
TAG, LABEL, BOTTOM = b"\x00\x07", b"\x00\x01\x00\x40", b"\x00\x01\x01\x40"
BEHIND = [
    b"\x08\x00" + IP,
    b"\x86\xdd" + bytes(40),
    b"\x08\x06" + bytes(28),
    b"\x81\x00" + TAG + b"\x08\x00" + IP,
    b"\x88\xa8" + TAG + b"\x81\x00" + TAG + b"\x08\x00" + IP,
    b"\x81\x00" + (TAG + b"\x81\x00") * 20 + IP,
    b"\x88\x64" + b"\x11\x00\x00\x01\x00\x20" + b"\x00\x21" + IP,
    b"\x88\x64" + b"\x11\x07\x00\x01\x00\x20" + b"\x00\x21" + IP,
    b"\x88\x0b" + b"\xff\x03\x00\x21" + IP,
    b"\x88\x0b" + b"\x21" + IP,
    b"\x88\x47" + LABEL * 3 + BOTTOM + IP,
    b"\x88\x47" + BOTTOM + b"\x60" + bytes(39),
    b"\x88\x47" + LABEL * 20 + BOTTOM + IP,
    b"\x00\x26" + b"\xaa\xaa\x03\x00\x00\x00\x08\x00" + IP,
    b"\x00\x26" + b"\x42\x42\x03" + bytes(35),
    b"\x12\x34" + bytes(20),
    IP,
]
"""What stands from the EtherType on, and a bare packet."""
OCTETS = (0, 1, 0x03, 0x08, 0x11, 0x21, 0x45, 0x47, 0x60, 0x64, 0x81, 0x88, 0xAA, 0xDD, 0xFF)


@pytest.mark.parametrize("link", sorted(links._PLAIN))
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), changes=st.integers(0, 6))
def test_damaged_link_headers_are_read_alike(link: int, seed: int, changes: int) -> None:
    rng = random.Random(seed)
    _, typed = links._PLAIN[link]
    front = bytes(typed) if typed <= 20 else b""
    frames = [bytearray(front + rng.choice(BEHIND)) for _ in range(60)]
    for frame in frames:
        for _ in range(rng.randint(0, changes)):
            frame[rng.randrange(min(len(frame), 40))] = rng.choice((*OCTETS, rng.randrange(256)))
        if rng.random() < 0.3:
            del frame[rng.randrange(len(frame)) :]
    end = np.cumsum([len(frame) for frame in frames])
    start = end - [len(frame) for frame in frames]
    count = len(frames)
    wire = end - start + np.array([rng.choice((0, 0, rng.randint(-9, 99))) for _ in frames])
    window = Window(
        padded(b"".join(map(bytes, frames))),
        start,
        end - np.array([rng.choice((0, 0, 0, 30)) for _ in frames]),
        wire,
        np.zeros(count, np.int64),
        np.full(count, link),
        np.full(count, NO_INTERFACE),
        np.arange(count),
    )
    one, other = links.link_layer(window), links.together(window)
    for name in one.__struct_fields__:
        assert getattr(one, name).dtype == getattr(other, name).dtype, name
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), times=st.booleans())
def test_columns_of_packets_are_made_alike(seed: int, times: bool) -> None:
    rng = random.Random(seed)
    records = [bytes([rng.choice((19, 20, 22, 23, 24)), 3, rng.choice((0, 3, 4, 5)), 0, 9]) for _ in range(40)]
    tcps = [tcp(record[: rng.choice((4, 5, 5))], 40000, 443, seq=rng.randrange(1 << 32)) for record in records]
    bodies = [ipv4(part, 6, "10.0.0.7", "10.0.0.8", ident=rng.randrange(1 << 16)) for part in tcps]
    bodies += [IP, b"\x60\x00\x00\x00\x00\x08\x3b\x40" + bytes(40), b"\x45"]
    rng.shuffle(bodies)
    [window] = frames_of(io.BytesIO(pcap([_framed(body) for body in bodies])), Ledger())
    if times:
        window = replace(window, time=np.where(np.arange(len(window)) % 5 == 0, NO_TIME, window.time))
    cut = replace(window, end=window.end - np.array([rng.choice((0, 0, 1, 2, 3, 4)) for _ in bodies]))
    half, known = Decoder("t").open(cut), Addresses()
    ends = (half.head.src_high, half.head.src_low), (half.head.dst_high, half.head.dst_low)
    places, link = np.zeros(len(cut), np.int64), np.where(np.arange(len(cut)) % 3 == 0, -1, 7)

    def frame(addresses: Addresses) -> pl.DataFrame:
        texts = addresses.ends(half.head.version, half.rows, *ends)
        return packet_frame(Packets(cut, half.head, half.rows, places, link, *texts), "t")

    told = [frame(known) for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_library", None)
        other = frame(Addresses())
    assert told[0].equals(other)
    assert told[1].equals(other)
    assert set(other["tls_record"].drop_nulls()) <= {20, 22, 23}
    assert "::" in other["src"].to_list()
    assert told[0].schema == other.schema


SIZES = (1, 40, *(int(least) + more for least in _LEAST[1:] for more in (-1, 0)))
PAYLOADS = [
    b"GET /latest/meta-data/ HTTP/1.1",
    b"HTTP/1.1 200 OK",
    b"\x16\x03\x01\x02\x00\x01" + bytes(8),
    b"{" * 20,
    b"",
    b"x" * 20,
]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_segments_are_chosen_alike(seed: int) -> None:
    rng = random.Random(seed)
    servers = [one for one in metadata.SERVERS if ":" not in one] + ["10.0.0.8", "169.254.169.253"]
    bodies = []
    for payload in rng.choices(PAYLOADS, k=80):
        ports = rng.sample((40000, 80, 53, metadata.PROXY_PORT, 443), 2)
        segment = tcp(payload[: rng.choice(SIZES)], *ports, flags=rng.choice((0x02, 0x10, 0x18)))
        ends = rng.sample(servers, 2)
        fragment = rng.choice((0, 0, 0, 0x2000, 3))
        bodies.append(ethernet(ipv4(segment, 6, *ends, frag=fragment)))
    bodies += [ethernet(_six(tcp(b"GET ", 40000, 80), one), 0x86DD) for one in (*metadata.SERVERS[-2:], "fd00::254")]
    [window] = frames_of(io.BytesIO(pcap(bodies)), Ledger())
    cut = replace(window, end=window.end - np.array([rng.choice((0, 0, 1, 2, 3, 4)) for _ in bodies]))
    half = Decoder("t").open(cut)
    one, other = segments(cut, half.head, half.rows), segments_together(cut, half.head, half.rows)
    assert [part.tolist() for part in one] == [part.tolist() for part in other]
    assert one[1].dtype == other[1].dtype == np.uint8
    assert len(one[2]) > 2


def _six(body: bytes, dst: str) -> bytes:
    return b"\x60\x00\x00\x00" + struct.pack(">HBB", len(body), 6, 64) + bytes(16) + ip_address(dst).packed + body


def _framed(packet: bytes) -> bytes:
    return ethernet(packet, 0x86DD if packet[0] >> 4 == 6 else 0x0800)
