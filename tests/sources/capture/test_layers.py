"""Link, network and transport headers."""

from __future__ import annotations

import struct

import pytest

from tests.sources.capture.make import cooked2, ethernet, ipv4, ipv6, pcap, query, read_all, tcp, udp

A, B = "10.0.0.7", "10.96.0.10"
A6, B6 = "fd00::7", "2001:db8:0:0:1::10"
DNS = udp(query("a.example.com"), 40000, 53)
PACKET = ipv4(DNS, 17, A, B)


def _reasons(*frames: bytes, link: int = 1, snaplen: int = 262144) -> dict[str, int]:
    _, ledger = read_all(pcap(frames, link=link, snaplen=snaplen))
    assert ledger.records == len(frames)
    report = ledger.report(path="", kind="", sha256="", size=0)
    return {one.reason: one.count for one in report.skipped_reasons}


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        (1, ethernet(PACKET)),
        (1, ethernet(PACKET, tags=[0x8100])),
        (1, ethernet(PACKET, tags=[0x88A8, 0x8100])),
        (113, struct.pack(">HHH8sH", 0, 1, 6, b"", 0x0800) + PACKET),
        (276, cooked2(PACKET, 5)),
        (101, PACKET),
        (12, PACKET),
        (228, PACKET),
        (0, struct.pack("<I", 2) + PACKET),
        (0, struct.pack(">I", 2) + PACKET),
        (108, struct.pack(">I", 2) + PACKET),
        (101, ipv4(DNS, 17, A, B, opts=b"\1" * 8)),
        (1, ethernet(ipv4(PACKET, 4, "192.0.2.1", "192.0.2.2"))),
    ],
)
def test_the_same_packet_is_found_under_every_link_layer(link: int, frame: bytes) -> None:
    tables, ledger = read_all(pcap([frame], link=link))
    row = tables["packets"].row(0, named=True)
    assert (row["src"], row["src_port"], row["dst"], row["dst_port"]) == (A, 40000, B, 53)
    assert (row["protocol"], row["ttl"], row["ip_id"], row["payload_bytes"]) == ("UDP", 64, 1, len(DNS) - 8)
    assert row["wire_bytes"] == len(frame)
    assert tables["dns_messages"]["name"].to_list() == ["a.example.com"]
    assert ledger.used == 1


def test_the_interface_of_a_cooked_capture_is_its_ifindex() -> None:
    tables, _ = read_all(pcap([cooked2(PACKET, 7)], link=276))
    assert tables["packets"]["interface"].to_list() == [7]
    tables, _ = read_all(pcap([ethernet(PACKET)]))
    assert tables["packets"]["interface"].to_list() == [None]


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


def test_a_first_fragment_alone_is_incomplete_but_keeps_its_question() -> None:
    frame = ethernet(ipv4(DNS, 17, A, B, frag=0x2000))
    tables, _ = read_all(pcap([frame]))
    assert tables["dns_messages"]["name"].to_list() == ["a.example.com"]
    assert _reasons(frame) == {"incomplete fragment": 1}


def test_frames_that_are_known_not_to_be_ip_are_used_without_a_row() -> None:
    arp, stp = ethernet(bytes(28), 0x0806), ethernet(bytes(40), 0x0026)
    tables, ledger = read_all(pcap([arp, stp, ethernet(PACKET)]))
    assert (ledger.used, tables["packets"]["number"].to_list()) == (3, [3])


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


def _vxlan(inner: bytes, port: int = 4789, sport: int = 55555) -> bytes:
    return ethernet(ipv4(udp(b"\x08\0\0\0\0\0\1\0" + inner, sport, port), 17, "192.0.2.1", "192.0.2.2"))


def test_the_packet_inside_vxlan_and_geneve_is_what_counts() -> None:
    inner = ethernet(PACKET)
    geneve = udp(b"\1\0\x65\x58\0\0\1\0" + b"\0\1\2\0" + inner, 55555, 6081)
    outer = ethernet(ipv4(geneve, 17, "192.0.2.1", "192.0.2.2"))
    tables, _ = read_all(pcap([_vxlan(inner), _vxlan(inner, 8472), outer]))
    assert tables["packets"]["src"].to_list() == [A] * 3
    assert tables["dns_messages"].height == 3


def test_a_dns_answer_to_the_port_of_vxlan_is_a_dns_answer() -> None:
    answer = ethernet(ipv4(udp(query("a.example.com"), 53, 4789), 17, B, A))
    assert read_all(pcap([answer]))[0]["dns_messages"]["dst_port"].to_list() == [4789]


def test_a_clock_that_steps_back_is_told() -> None:
    times = [0.0, 1.0, 2.0, 3.0 - 3600, 4.0 - 3600]
    _, ledger = read_all(pcap([(when + 7200, ethernet(ipv4(DNS, 17, A, B, ident=n))) for n, when in enumerate(times)]))
    assert ledger.notes == ["clock stepped -3600 s at packet 4"]
