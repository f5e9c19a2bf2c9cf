"""ICMP errors, and the packets that they are about."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from analyzer.sources.capture import SOURCE
from tests.sources.capture.make import (
    cooked2,
    ethernet,
    icmp,
    ipv4,
    ipv6,
    pcap,
    query,
    read_all,
    tcp,
    udp,
    vxlan,
)
from tests.sources.capture.oracle import fields, needs_tshark

POD, SERVICE, ROUTER = "10.0.0.7", "10.96.0.10", "192.0.2.1"
POD6, SERVICE6, ROUTER6 = "fd00::7", "fd00::53", "2001:db8::1"
DNS = ipv4(udp(query("a.example.com"), 40000, 53), 17, POD, SERVICE)
TCP = ipv4(tcp(b"x" * 1400, 40000, 443, seq=4_000_000_000), 6, POD, SERVICE)
DNS6 = ipv6(udp(query("a.example.com"), 40000, 53), 17, POD6, SERVICE6)


def _error(kind: int, code: int, quote: bytes, rest: int = 0) -> bytes:
    return ethernet(ipv4(icmp(kind, code, quote, rest), 1, ROUTER, POD))


def _error6(kind: int, code: int, quote: bytes, rest: int = 0) -> bytes:
    return ethernet(ipv6(icmp(kind, code, quote, rest), 58, ROUTER6, POD6), 0x86DD)


def _rows(*frames: bytes, snaplen: int = 262144) -> list[dict[str, object]]:
    return read_all(pcap(frames, snaplen=snaplen))[0]["icmp_errors"].to_dicts()


def test_an_error_tells_who_sent_it_and_the_flow_it_is_about() -> None:
    [row] = _rows(_error(3, 3, DNS[:28]))
    assert (row["number"], row["src"], row["dst"], row["error"]) == (1, ROUTER, POD, "port unreachable")
    assert (row["icmp_type"], row["icmp_code"], row["mtu"]) == (3, 3, None)
    assert (row["quoted_protocol"], row["quoted_src"], row["quoted_src_port"]) == ("UDP", POD, 40000)
    assert (row["quoted_dst"], row["quoted_dst_port"], row["quoted_seq"]) == (SERVICE, 53, None)
    assert (row["interface"], row["duplicate"]) == (None, False)


def test_the_sequence_number_of_a_quoted_segment_is_kept() -> None:
    [row] = _rows(_error(3, 4, TCP[:28], 1450))
    assert (row["error"], row["mtu"]) == ("fragmentation needed", 1450)
    assert (row["quoted_protocol"], row["quoted_dst_port"], row["quoted_seq"]) == ("TCP", 443, 4_000_000_000)


@pytest.mark.parametrize(
    ("kind", "code", "text"),
    [
        (3, 0, "network unreachable"),
        (3, 1, "host unreachable"),
        (3, 13, "administratively prohibited"),
        (3, 99, "destination unreachable"),
        (4, 0, "source quench"),
        (5, 1, "redirect for the host"),
        (11, 0, "ttl exceeded in transit"),
        (11, 1, "fragment reassembly time exceeded"),
        (12, 0, "parameter problem"),
    ],
)
def test_types_and_codes_are_words(kind: int, code: int, text: str) -> None:
    [row] = _rows(_error(kind, code, DNS[:28]))
    assert (row["error"], row["quoted_dst_port"], row["mtu"]) == (text, 53, None)


@pytest.mark.parametrize(
    ("kind", "code", "rest", "text", "mtu"),
    [
        (1, 0, 0, "no route to destination", None),
        (1, 1, 0, "administratively prohibited", None),
        (1, 4, 0, "port unreachable", None),
        (2, 0, 1280, "packet too big", 1280),
        (3, 0, 0, "hop limit exceeded in transit", None),
        (4, 1, 6, "unrecognized next header", None),
    ],
)
def test_icmpv6_errors_are_told_alike(kind: int, code: int, rest: int, text: str, mtu: int | None) -> None:
    [row] = _rows(_error6(kind, code, DNS6, rest))
    assert (row["src"], row["error"], row["mtu"]) == (ROUTER6, text, mtu)
    assert (row["quoted_src"], row["quoted_src_port"], row["quoted_dst"]) == (POD6, 40000, SERVICE6)


def test_what_is_no_error_has_no_row() -> None:
    echo = ethernet(ipv4(icmp(8, 0, b"ping"), 1, POD, ROUTER))
    solicitation = ethernet(ipv6(icmp(135, 0, bytes(16)), 58, POD6, ROUTER6), 0x86DD)
    # Type 3 of ICMP stands for another error than type 3 of ICMPv6, and 11 for none there.
    assert _rows(echo, solicitation, _error6(11, 0, DNS6), ethernet(DNS)) == []


def test_a_redirect_of_icmpv6_has_no_quote() -> None:
    [row] = _rows(_error6(137, 0, bytes(32)))
    assert (row["error"], row["quoted_protocol"], row["quoted_src"]) == ("redirect", None, None)


def test_dns_in_a_quote_is_no_dns_message() -> None:
    tables, _ = read_all(pcap([_error(3, 3, DNS), _error6(1, 4, DNS6)]))
    assert tables["dns_messages"].height == 0
    assert tables["packets"]["protocol"].to_list() == ["ICMP", "ICMPv6"]


@pytest.mark.parametrize(
    ("quote", "known"),
    [
        (b"", (None, None, None)),
        (DNS[:19], (None, None, None)),
        (b"\x65" + DNS[1:28], (None, None, None)),
        (DNS[:20], ("UDP", SERVICE, None)),
        (DNS[:23], ("UDP", SERVICE, None)),
        (DNS[:24], ("UDP", SERVICE, 53)),
        (ipv4(b"z" * 8, 17, POD, SERVICE, frag=9), ("UDP", SERVICE, None)),
        (ipv4(bytes(8), 89, POD, SERVICE), ("89", SERVICE, None)),
    ],
)
def test_a_short_or_broken_quote_tells_what_it_holds(quote: bytes, known: tuple[str | None, ...]) -> None:
    [row] = _rows(_error(3, 1, quote))
    assert (row["quoted_protocol"], row["quoted_dst"], row["quoted_dst_port"]) == known


def test_a_quote_ends_where_the_packet_or_the_capture_does() -> None:
    error = ipv4(icmp(3, 1, DNS[:22]), 1, ROUTER, POD)
    [row] = _rows(ethernet(error) + b"\x9c\x40\0\x35" * 4)
    assert (row["quoted_src"], row["quoted_src_port"]) == (POD, None)
    [row] = _rows(_error(3, 4, DNS[:28], 1400), snaplen=14 + 20 + 6)
    assert (row["error"], row["mtu"], row["quoted_src"]) == ("fragmentation needed", None, None)
    assert _rows(_error(3, 1, DNS[:28]), snaplen=14 + 20 + 2) == []


def test_an_mtu_of_zero_is_not_told() -> None:
    assert _rows(_error(3, 4, DNS[:28], 0))[0]["mtu"] is None


def test_errors_inside_tunnels_and_about_tunnels_are_read() -> None:
    inner = ethernet(ipv4(icmp(11, 0, DNS[:28]), 1, ROUTER, POD))
    outer = ipv4(udp(vxlan(inner), 50000, 4789), 17, "198.51.100.1", "198.51.100.2")
    inside, about = _rows(ethernet(outer), _error(3, 4, outer[:28], 1450))
    assert (inside["src"], inside["quoted_dst_port"]) == (ROUTER, 53)
    assert (about["quoted_src"], about["quoted_dst_port"], about["mtu"]) == ("198.51.100.1", 4789, 1450)


def test_copies_at_two_interfaces_are_marked_and_the_interface_is_told() -> None:
    packet = ipv4(icmp(3, 1, DNS[:28]), 1, ROUTER, POD, ident=7)
    data = pcap([cooked2(packet, 3), cooked2(packet, 4)], link=276)
    errors = read_all(data)[0]["icmp_errors"]
    assert errors.select("interface", "duplicate").rows() == [(3, False), (4, True)]


def test_a_quoted_frame_shows_the_flow_of_the_error_without_its_payload() -> None:
    secret = ipv4(udp(b"CANARY" * 4, 40000, 9000), 17, POD, SERVICE)
    text = SOURCE.quote(io.BytesIO(pcap([_error(3, 3, secret)])), frozenset([1]))[1]
    assert "ICMP type=3 code=3" in text
    assert "src=10.0.0.7 dst=10.96.0.10" in text
    assert "sport=40000 dport=9000" in text
    assert "CANARY" not in text


@needs_tshark
def test_errors_equal_those_of_tshark(tmp_path: Path) -> None:
    frames = [_error(kind, code, quote) for kind in (3, 11, 12) for code in (0, 1, 2) for quote in (DNS, TCP[:28])]
    frames += [_error(3, 4, TCP[:28], 1400), _error(3, 4, DNS[:28], 1300)]
    path = tmp_path / "t.pcap"
    path.write_bytes(pcap(frames))
    theirs = fields(path, "icmp.type", "icmp.code", "icmp.mtu", "ip.src", "udp.dstport", "tcp.dstport")
    assert theirs is not None
    for row, (kind, code, mtu, src, udp_port, tcp_port) in zip(_rows(*frames), theirs, strict=True):
        assert [row["icmp_type"], row["icmp_code"], row["mtu"] or 0] == [int(kind), int(code), int(mtu or 0)]
        assert src.split(",") == [row["src"], row["quoted_src"]]
        assert row["quoted_dst_port"] == int(udp_port or tcp_port)


def test_no_damage_of_an_error_stops_the_reading() -> None:
    frame = _error(3, 4, TCP[:60], 1450)
    damaged = [
        frame[:at] + struct.pack("B", value) + frame[at + 1 :] for at in range(14, 82) for value in (0, 0x45, 0xFF)
    ]
    _, ledger = read_all(pcap(damaged))
    assert ledger.records == len(damaged)
