"""Link, network and transport headers."""

from __future__ import annotations

import struct

import pytest

from tests.sources.capture.make import ethernet, ipv4, ipv6, pcap, query, read_all, tcp, udp

A, B = "10.0.0.7", "10.96.0.10"
A6, B6 = "fd00::7", "2001:db8:0:0:1::10"
DNS = udp(query("a.example.com"), 40000, 53)
PACKET = ipv4(DNS, 17, A, B)


def _reasons(*frames: bytes, link: int = 1, snaplen: int = 262144) -> dict[str, int]:
    _, ledger = read_all(pcap(frames, link=link, snaplen=snaplen))
    assert ledger.records == len(frames)
    report = ledger.report(path="", kind="", sha256="", size=0)
    return {one.reason: one.count for one in report.skipped_reasons}


def test_ipv6_extension_headers_are_walked() -> None:
    hop = bytes([60, 0]) + bytes(6)
    destination = bytes([17, 1]) + bytes(14)
    frame = ethernet(ipv6(hop + destination + DNS, 0, A6, B6), 0x86DD)
    row = read_all(pcap([frame]))[0]["dns_messages"].row(0, named=True)
    assert (row["src"], row["dst"], row["name"]) == ("fd00::7", "2001:db8::1:0:0:10", "a.example.com")


def test_tcp_fields_are_read_and_other_protocols_have_none() -> None:
    frames = [
        ethernet(ipv4(tcp(b"x" * 9, 1234, 443, seq=4_000_000_000, ack=7, flags=0x18, window=513), 6, A, B)),
        ethernet(ipv4(bytes([8, 0, 0, 0, 0, 1, 0, 1]) + b"ping", 1, A, B)),
        ethernet(ipv4(b"whatever", 89, A, B)),
    ]
    rows = read_all(pcap(frames))[0]["packets"].to_dicts()
    assert [r["protocol"] for r in rows] == ["TCP", "ICMP", "89"]
    assert [r["seq"] for r in rows] == [4_000_000_000, None, None]
    assert [r["ack"] for r in rows] == [7, None, None]
    assert [r["tcp_flags"] for r in rows] == [0x18, None, None]
    assert [r["window"] for r in rows] == [513, None, None]
    assert [r["src_port"] for r in rows] == [1234, None, None]
    assert [r["payload_bytes"] for r in rows] == [9, 4, None]


def test_the_tls_record_that_a_payload_begins_with_is_told() -> None:
    payloads = [
        b"\x16\x03\x01\x02\x00hello",
        b"\x17\x03\x03\x00\x10data",
        b"\x17\x02\x03\x00\x10",
        b"GET / HTTP/1.1",
        b"\x16\x03",
    ]
    frames = [ethernet(ipv4(tcp(payload, 1234, 443), 6, A, B)) for payload in payloads]
    frames.append(ethernet(ipv4(udp(b"\x16\x03\x01\x02\x00", 1234, 443), 17, A, B)))
    assert read_all(pcap(frames))[0]["packets"]["tls_record"].to_list() == [22, 23, None, None, None, None]


def test_ethernet_padding_is_no_payload() -> None:
    frame = ethernet(ipv4(tcp(b"", 1, 2), 6, A, B)) + bytes(6)
    assert read_all(pcap([frame]))[0]["packets"]["payload_bytes"].to_list() == [0]


def test_a_later_fragment_is_a_packet_without_ports() -> None:
    first = ethernet(ipv4(udp(b"y" * 64, 5000, 5001), 17, A, B, frag=0x2000, ident=9))
    later = ethernet(ipv4(b"z" * 64, 17, A, B, frag=9, ident=9))
    tables, ledger = read_all(pcap([later, first]))
    assert tables["packets"]["src_port"].to_list() == [None, 5000]
    assert (ledger.used, ledger.skipped) == (2, 0)


def test_a_first_fragment_alone_is_incomplete() -> None:
    frame = ethernet(ipv4(DNS, 17, A, B, frag=0x2000))
    tables, _ = read_all(pcap([frame]))
    assert tables["dns_messages"].height == 0
    assert _reasons(frame) == {"incomplete fragment": 1}


def test_frames_that_are_known_not_to_be_ip_are_used_without_a_row() -> None:
    arp, stp = ethernet(bytes(28), 0x0806), ethernet(bytes(40), 0x0026)
    tables, ledger = read_all(pcap([arp, stp, ethernet(PACKET)]))
    assert (ledger.used, tables["packets"]["number"].to_list()) == (3, [3])


def test_a_first_fragment_may_end_within_the_transport_header() -> None:
    frame = ethernet(ipv4(tcp(b"", 5000, 443, seq=77)[:8], 6, A, B, frag=0x2000))
    row = read_all(pcap([frame]))[0]["packets"].row(0, named=True)
    assert (row["src_port"], row["dst_port"], row["seq"], row["tcp_flags"]) == (5000, 443, 77, None)
    assert _reasons(frame) == {"incomplete fragment": 1}


@pytest.mark.parametrize("version", [4, 6])
def test_the_authentication_header_is_walked_in_both_versions(version: int) -> None:
    header = bytes([17, 4]) + bytes(22)
    packet = ipv4(header + DNS, 51, A, B) if version == 4 else ipv6(header + DNS, 51, A6, B6)
    tables, _ = read_all(pcap([ethernet(packet, 0x0800 if version == 4 else 0x86DD)]))
    assert tables["dns_messages"]["name"].to_list() == ["a.example.com"]


def test_the_headers_of_hip_and_shim6_are_walked_and_nothing_follows_no_next_header() -> None:
    hip, shim6 = bytes([140, 4]) + bytes(38), bytes([17, 0]) + bytes(6)
    frames = [ipv6(hip + shim6 + DNS, 139, A6, B6), ipv6(bytes([59, 0]) + bytes(6), 0, A6, B6), ipv6(b"x", 59, A6, B6)]
    tables, ledger = read_all(pcap([ethernet(frame, 0x86DD) for frame in frames]))
    assert tables["packets"]["protocol"].to_list() == ["UDP", "59", "59"]
    assert tables["dns_messages"].height == 1
    assert ledger.used == 3


def test_sctp_has_ports_where_its_header_is_whole() -> None:
    header = struct.pack(">HHII", 36412, 38412, 1, 0)
    frames = [ipv4(header + b"chunk", 132, A, B), ipv4(header[:8], 132, A, B), ipv4(bytes(12), 132, A, B)]
    rows = read_all(pcap([ethernet(frame) for frame in frames]))[0]["packets"]
    assert rows["protocol"].to_list() == ["SCTP"] * 3
    assert rows["dst_port"].to_list() == [38412, None, None]
    assert rows["payload_bytes"].to_list() == [5, None, None]


def test_encrypted_packets_are_counted() -> None:
    esp = ethernet(ipv4(bytes(40), 50, A, B))
    wireguard = [
        bytes([1, 0, 0, 0]) + bytes(144),
        bytes([2, 0, 0, 0]) + bytes(88),
        bytes([3, 0, 0, 0]) + bytes(60),
        bytes([4, 0, 0, 0]) + bytes(28),
        bytes([4, 0, 0, 0]) + bytes(76),
    ]
    others = [
        bytes([1, 0, 0, 0]) + bytes(143),
        bytes([4, 0, 0, 1]) + bytes(28),
        bytes([4, 0, 0, 0]) + bytes(29),
        bytes([4, 0, 0, 0]) + bytes(11) + b"\1" + bytes(16),
        bytes([5, 0, 0, 0]) + bytes(28),
    ]
    frames = [ethernet(ipv4(udp(body, 51820, 51820), 17, A, B)) for body in wireguard + others]
    tables, ledger = read_all(pcap([esp, *frames]))
    assert "5 WireGuard packets (encrypted) were counted, not decoded" in ledger.notes
    assert "1 ESP packets (encrypted) were counted, not decoded" in ledger.notes
    assert tables["packets"]["protocol"].to_list() == ["ESP"] + ["UDP"] * 10


def test_a_wrong_link_type_is_suspected() -> None:
    tables, ledger = read_all(pcap([PACKET] * 3, link=1))
    assert tables["packets"].height == 0
    assert ledger.notes == ["no IP packet found in 3 frames; link type may be wrong"]


def test_every_malformed_header_has_its_reason() -> None:
    ihl = bytearray(ethernet(PACKET))
    ihl[14] = 0x4F
    del ihl[60:]
    offset = ethernet(ipv4(tcp(b"", 1, 2)[:12] + b"\xf0" + bytes(7), 6, A, B))
    short_udp = ethernet(ipv4(struct.pack(">HHHH", 1, 2, 7, 0), 17, A, B))
    deep = PACKET
    for _ in range(20):
        deep = ipv4(deep, 4, A, B)
    extensions = ipv6(b"".join(bytes([60, 0]) + bytes(6) for _ in range(30)), 60, A6, B6)
    assert _reasons(bytes(ihl)) == {"malformed IP header": 1}
    assert _reasons(offset) == {"malformed TCP header": 1}
    assert _reasons(short_udp) == {"malformed UDP header": 1}
    assert _reasons(ethernet(PACKET, tags=[0x8100] * 500)) == {"VLAN tags nested too deep": 1}
    assert _reasons(ethernet(deep)) == {"tunnels nested too deep": 1}
    assert _reasons(ethernet(extensions, 0x86DD)) == {"IPv6 extension headers nested too deep": 1}
    assert _reasons(b"") == {"empty frame": 1}
    assert _reasons(ethernet(PACKET, 0x1234)) == {"unknown EtherType": 1}
    assert _reasons(ethernet(bytes([0x55]) + PACKET[1:])) == {"malformed IP header": 1}


def test_a_snap_length_is_no_malformation() -> None:
    frames = [ethernet(PACKET)] * 3
    tables, ledger = read_all(pcap(frames, snaplen=60))
    assert tables["packets"]["dst_port"].to_list() == [53] * 3
    assert tables["packets"]["payload_bytes"].to_list() == [len(DNS) - 8] * 3
    assert "3 of 3 packets truncated by snaplen 60; DNS payload incomplete in 3" in ledger.notes
    assert ledger.skipped == 0
    assert _reasons(*frames, snaplen=30) == {"cut by the snap length before its headers end": 3}


def test_a_name_that_was_captured_whole_is_kept_from_a_cut_message() -> None:
    long = ethernet(ipv4(udp(query("a.example.com") + bytes(400), 40000, 53), 17, A, B))
    tables, _ = read_all(pcap([long], snaplen=100))
    assert tables["dns_messages"]["name"].to_list() == ["a.example.com"]


def test_an_open_udp_length_is_taken_up_to_the_end_of_the_packet() -> None:
    datagram = DNS[:4] + bytes(2) + DNS[6:]
    tables, ledger = read_all(pcap([ethernet(ipv4(datagram, 17, A, B))]))
    assert tables["dns_messages"]["name"].to_list() == ["a.example.com"]
    assert len(ledger.notes) == 1


def test_a_clock_that_steps_back_is_told() -> None:
    times = [0.0, 1.0, 2.0, 3.0 - 3600, 4.0 - 3600]
    _, ledger = read_all(pcap([(when + 7200, ethernet(ipv4(DNS, 17, A, B, ident=n))) for n, when in enumerate(times)]))
    assert ledger.notes == ["clock stepped -3600 s at packet 4"]


def test_a_mapped_address_is_written_with_dots_whatever_the_python() -> None:
    packet = ipv6(udp(b"x", 5000, 6000), 17, "::ffff:192.0.2.7", "fd00::1")
    assert read_all(pcap([ethernet(packet, 0x86DD)]))[0]["packets"]["src"].to_list() == ["::ffff:192.0.2.7"]
