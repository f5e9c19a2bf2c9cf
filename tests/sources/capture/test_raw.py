"""Single frames for a smaller capture: what of each stays, and its time to the nanosecond."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.sources.capture.interfaces import fine_of, micros_of
from analyzer.sources.capture.raw import Known, frames
from tests.sources.capture.make import (
    EPOCH,
    answer,
    dns_frame,
    enhanced,
    ethernet,
    icmp,
    interface,
    ipv4,
    ipv6,
    option,
    pcap,
    query,
    section,
    simple,
    tcp,
    udp,
    vxlan,
)

BODY = b"GET / HTTP/1.1\r\nAuthorization: Bearer c2VjcmV0c2VjcmV0\r\n\r\n"
ETHERNET, IPV4, UDP, TCP = 14, 20, 8, 20


def kept(frame: bytes, *, link: int = 1, known: Known | None = None) -> int:
    """How many bytes of it stay."""
    [one] = frames(io.BytesIO(pcap([frame], link=link)), frozenset({1}), known or Known())
    assert (one.captured, one.wire) == (len(frame), len(frame))
    assert frame.startswith(one.data)
    return len(one.data)


def of4(payload: bytes, protocol: int, frag: int = 0) -> bytes:
    return ethernet(ipv4(payload, protocol, "10.0.0.7", "192.0.2.1", frag=frag))


MESSAGE = query("a.example.com")
HELLO = b"\x16\x03\x01" + struct.pack(">H", 60) + b"\x01" + bytes(59)
QUOTED = ipv4(tcp(BODY, 1, 2), 6, "192.0.2.1", "10.0.0.7")
QUOTED6 = ipv6(tcp(BODY, 1, 2), 6, "fd00::2", "fd00::1")
NEIGHBOUR = icmp(135, 0, bytes(16) + b"\x01\x01\x02\x00\x00\x00\x00\x01")


@pytest.mark.parametrize(
    ("frame", "left"),
    [
        (of4(tcp(BODY, 1000, 80), 6), ETHERNET + IPV4 + TCP),
        (of4(tcp(MESSAGE, 1000, 53), 6), ETHERNET + IPV4 + TCP),
        (of4(udp(BODY, 1000, 2000), 17), ETHERNET + IPV4 + UDP),
        (of4(udp(MESSAGE, 1000, 53), 17) + b"padding", ETHERNET + IPV4 + UDP + len(MESSAGE)),
        (of4(udp(MESSAGE, 5353, 5353), 17), ETHERNET + IPV4 + UDP + len(MESSAGE)),
        # the later fragment of a datagram has no ports
        (of4(BODY, 17, frag=100), ETHERNET + IPV4),
        (of4(icmp(8, 0, BODY), 1), ETHERNET + IPV4 + 8),
        (of4(icmp(3, 4, QUOTED), 1), ETHERNET + IPV4 + 8 + IPV4 + TCP),
        (of4(icmp(3, 4, QUOTED[: IPV4 + 8]), 1), ETHERNET + IPV4 + 8 + IPV4 + 8),
        # this begins like the header of an IP packet
        (of4(icmp(3, 3, BODY), 1), ETHERNET + IPV4 + 8),
        (ethernet(ipv6(icmp(2, 0, QUOTED6), 58, "fd00::1", "fd00::2"), 0x86DD), ETHERNET + 40 + 8 + 40 + TCP),
        (ethernet(ipv6(NEIGHBOUR, 58, "fd00::1", "fd00::2"), 0x86DD), ETHERNET + 40 + len(NEIGHBOUR)),
        (ethernet(ipv6(tcp(BODY, 1, 2), 6, "fd00::1", "fd00::2"), 0x86DD), ETHERNET + 40 + TCP),
        (of4(udp(vxlan(of4(tcp(BODY, 1, 2), 6)), 9, 4789), 17), 2 * (ETHERNET + IPV4) + UDP + 8 + TCP),
        (of4(udp(vxlan(b"\0" * 12 + BODY), 9, 4789), 17), ETHERNET + IPV4 + UDP),
        (of4(BODY, 47), ETHERNET + IPV4),
        (of4(bytes(20) + BODY, 6), ETHERNET + IPV4),
        (ethernet(bytes(28) + BODY, 0x0806), ETHERNET + 28),
        (ethernet(BODY, 0x88CC), ETHERNET),
        (ethernet(b"\x00" + BODY), ETHERNET),
    ],
    ids=str,
)
def test_headers_stay_and_payloads_that_nobody_reads_go(frame: bytes, left: int) -> None:
    assert kept(frame) == left


def test_what_the_reader_knows_as_dns_or_as_a_client_hello_stays() -> None:
    dns = struct.pack(">H", len(MESSAGE)) + MESSAGE
    at = ETHERNET + IPV4 + TCP
    assert kept(of4(tcp(dns, 1000, 53), 6), known=Known(dns=frozenset({1}))) == at + len(dns)
    hello = of4(tcp(HELLO + BODY, 1000, 443), 6)
    assert kept(hello, known=Known(hellos=frozenset({1}))) == at + 5 + 60
    assert kept(hello, known=Known(hellos=frozenset({2}))) == at
    assert kept(of4(tcp(BODY, 1000, 443), 6), known=Known(hellos=frozenset({1}))) == at


def test_of_a_frame_of_an_unknown_link_type_nothing_stays() -> None:
    assert kept(BODY, link=147) == 0


def test_wanted_frames_alone_are_given_however_many_there_are() -> None:
    data = pcap([dns_frame(answer("a", at)) for at in range(40)])
    assert [one.number for one in frames(io.BytesIO(data), frozenset({3, 39, 41}), Known())] == [3, 39]
    assert list(frames(io.BytesIO(data), frozenset(), Known())) == []


@pytest.mark.parametrize("order", ["<", ">"])
def test_nanoseconds_of_a_pcap(order: str) -> None:
    data = pcap([(0.000000007, MESSAGE), (1.5, MESSAGE)], magic=0xA1B23C4D, order=order)
    found = [one.time for one in frames(io.BytesIO(data), frozenset({1, 2}), Known())]
    assert found == [EPOCH * 10**9 + 7, EPOCH * 10**9 + 1_500_000_000]


def test_each_interface_has_a_clock_and_some_frames_have_none() -> None:
    nanos, half = option(9, b"\x09"), option(9, b"\x81")
    data = section() + interface(options=nanos) + interface(options=half) + interface()
    data += enhanced(MESSAGE, EPOCH * 10**9 + 1) + enhanced(MESSAGE, EPOCH * 2 + 1, which=1) + simple(MESSAGE)
    found = [(one.time, one.interface) for one in frames(io.BytesIO(data), frozenset({1, 2, 3}), Known())]
    assert found == [(EPOCH * 10**9 + 1, 0), (EPOCH * 10**9 + 500_000_000, 1), (None, 0)]


@given(st.integers(0, 2**50), st.integers(0, 32) | st.integers(128, 161))
def test_fine_and_coarse_make_the_whole_time(ticks: int, resolution: int) -> None:
    base = 2 ** (resolution & 127) if resolution & 128 else 10**resolution
    given_ = np.array([ticks], np.uint64)
    micros, fits = micros_of(given_, resolution)
    if fits[0]:
        assert int(micros[0]) * 1000 + int(fine_of(given_, resolution)[0]) == ticks * 10**9 // base
