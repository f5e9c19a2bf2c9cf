"""Tunnels: the inner packet counts, the outer headers are kept apart."""

from __future__ import annotations

import io
import random
import struct
from itertools import pairwise
from pathlib import Path

import pytest

from analyzer.sources.capture import SOURCE
from tests.sources.capture.make import (
    checksummed,
    ethernet,
    geneve,
    gre,
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

A, B = "10.0.0.7", "10.96.0.10"
NODE, OTHER = "192.0.2.1", "192.0.2.2"
NODE6, OTHER6 = "2001:db8::1", "2001:db8::2"
DNS = udp(query("a.example.com"), 40000, 53)
PACKET = checksummed(ipv4(DNS, 17, A, B))
SIX = ipv6(DNS, 17, "fd00::7", "fd00::53")
FRAME = ethernet(PACKET)
FRAME6 = ethernet(SIX, 0x86DD)
ERSPAN2 = struct.pack(">HHI", 1 << 12 | 100, 7, 0)
ERSPAN3 = struct.pack(">HHIHH", 2 << 12 | 100, 7, 0, 0, 0)
ERSPAN3_PLATFORM = ERSPAN3[:-1] + b"\1" + bytes(8)
LABEL = struct.pack(">I", 16 << 12 | 1 << 8 | 64)


def _in_udp(payload: bytes, port: int, sport: int = 55555) -> bytes:
    return ethernet(ipv4(udp(payload, sport, port), 17, NODE, OTHER))


def _in4(payload: bytes, protocol: int) -> bytes:
    return ethernet(ipv4(payload, protocol, NODE, OTHER))


def _in6(payload: bytes, protocol: int) -> bytes:
    return ethernet(ipv6(payload, protocol, NODE6, OTHER6), 0x86DD)


def _outer(frame: bytes) -> list[tuple[object, ...]]:
    tables, ledger = read_all(pcap([frame]))
    assert ledger.used == 1
    return tables["tunnel_headers"].drop("time", "source", "number").rows()


TUNNELS = {
    "vxlan": (_in_udp(vxlan(FRAME, 42), 4789), 55555, 4789, 42),
    "vxlan of linux": (_in_udp(vxlan(FRAME, 1), 8472), 55555, 8472, 1),
    "vxlan with inner tag": (_in_udp(vxlan(ethernet(PACKET, tags=[0x8100])), 4789), 55555, 4789, 1),
    "geneve": (_in_udp(geneve(FRAME, 9), 6081), 55555, 6081, 9),
    "geneve with options": (_in_udp(geneve(FRAME, 9, options=b"\0\1\2\1" + bytes(4)), 6081), 55555, 6081, 9),
    "geneve of ip": (_in_udp(geneve(PACKET, 9, 0x0800), 6081), 55555, 6081, 9),
    "gre": (_in4(gre(PACKET), 47), None, None, None),
    "gre with key": (_in4(gre(PACKET, key=77), 47), None, None, 77),
    "gre with all": (_in4(gre(PACKET, key=77, seq=3, summed=True), 47), None, None, 77),
    "gre of ethernet": (_in4(gre(FRAME, 0x6558, seq=3), 47), None, None, None),
    "gre of mpls": (_in4(gre(LABEL + PACKET, 0x8847), 47), None, None, None),
    "erspan 1": (_in4(gre(FRAME, 0x88BE), 47), None, None, None),
    "erspan 2": (_in4(gre(ERSPAN2 + FRAME, 0x88BE, seq=3), 47), None, None, 7),
    "erspan 3": (_in4(gre(ERSPAN3 + FRAME, 0x22EB, seq=3), 47), None, None, 7),
    "erspan 3 with platform": (_in4(gre(ERSPAN3_PLATFORM + FRAME, 0x22EB, seq=3), 47), None, None, 7),
    "ipip": (_in4(PACKET, 4), None, None, None),
}


@pytest.mark.parametrize("name", TUNNELS)
def test_the_packet_inside_a_tunnel_is_what_counts(name: str) -> None:
    frame, sport, dport, network = TUNNELS[name]
    tables, ledger = read_all(pcap([frame]))
    row = tables["packets"].row(0, named=True)
    assert (row["src"], row["src_port"], row["dst"], row["dst_port"], row["protocol"]) == (A, 40000, B, 53, "UDP")
    assert (row["wire_bytes"], row["payload_bytes"]) == (len(frame), len(DNS) - 8)
    assert tables["dns_messages"]["name"].to_list() == ["a.example.com"]
    assert _outer(frame) == [(1, name.split()[0], NODE, sport, OTHER, dport, network)]
    assert ledger.notes == []


@pytest.mark.parametrize(
    ("frame", "kind", "outer"),
    [
        (_in4(SIX, 41), "6in4", NODE),
        (_in6(SIX, 41), "6in6", NODE6),
        (_in_udp(vxlan(FRAME6), 4789), "vxlan", NODE),
        (_in_udp(geneve(SIX, 1, 0x86DD), 6081), "geneve", NODE),
        (_in4(gre(SIX, 0x86DD), 47), "gre", NODE),
        (_in6(gre(SIX, 0x86DD), 47), "gre", NODE6),
    ],
)
def test_ipv6_is_found_in_tunnels(frame: bytes, kind: str, outer: str) -> None:
    tables, _ = read_all(pcap([frame]))
    assert tables["packets"]["src"].to_list() == ["fd00::7"]
    assert tables["tunnel_headers"].select("kind", "src").rows() == [(kind, outer)]


def test_ipv4_in_ipv6_has_its_own_kind() -> None:
    assert _outer(_in6(PACKET, 4)) == [(1, "4in6", NODE6, None, OTHER6, None, None)]


def test_tunnels_in_tunnels_are_told_from_the_outermost_inwards() -> None:
    middle = ipv4(udp(vxlan(FRAME, 5), 1000, 4789), 17, "198.51.100.1", "198.51.100.2")
    assert _outer(_in4(gre(middle, key=3), 47)) == [
        (1, "gre", NODE, None, OTHER, None, 3),
        (2, "vxlan", "198.51.100.1", 1000, "198.51.100.2", 4789, 5),
    ]


def test_a_depth_bomb_is_skipped_and_leaves_no_outer_headers() -> None:
    deep = PACKET
    for _ in range(5):
        deep = ipv4(deep, 4, NODE, OTHER)
    four = deep[20:]
    tables, ledger = read_all(pcap([ethernet(deep), ethernet(four)]))
    [skipped] = ledger.report(path="", kind="", sha256="", size=0).skipped_reasons
    assert (skipped.reason, skipped.places) == ("tunnels nested too deep", ("1",))
    assert tables["tunnel_headers"].select("number", "depth").rows() == [(2, 1), (2, 2), (2, 3), (2, 4)]
    assert tables["packets"]["src"].to_list() == [A]


def test_vxlan_at_any_port_is_found_if_the_packet_inside_proves_it() -> None:
    tables, _ = read_all(pcap([_in_udp(vxlan(FRAME, 3), 14789), _in_udp(vxlan(FRAME6, 3), 14789)]))
    assert tables["packets"]["src"].to_list() == [A, "fd00::7"]
    assert tables["tunnel_headers"].select("dst_port", "network_id").rows() == [(14789, 3)] * 2


@pytest.mark.parametrize(
    "payload",
    [
        vxlan(ethernet(ipv4(DNS, 17, A, B))),
        vxlan(FRAME, flags=0x88000001),
        vxlan(FRAME)[:7] + b"\1" + FRAME,
        vxlan(ethernet(SIX + b"x", 0x86DD)),
        vxlan(ethernet(PACKET, 0x0806)),
        geneve(FRAME),
    ],
    ids=["wrong checksum", "reserved bits", "reserved byte", "longer than inside", "not IP", "geneve"],
)
def test_a_payload_at_another_port_that_only_looks_like_vxlan_is_left_alone(payload: bytes) -> None:
    tables, ledger = read_all(pcap([_in_udp(payload, 14789)]))
    assert tables["packets"].select("src", "dst_port").rows() == [(NODE, 14789)]
    assert tables["tunnel_headers"].height == 0
    assert ledger.notes == []


def test_vxlan_with_a_group_policy_is_opened_at_its_port_only() -> None:
    marked = vxlan(FRAME, 3, flags=0x88000001)
    tables, _ = read_all(pcap([_in_udp(marked, 4789), _in_udp(marked, 14789)]))
    assert tables["packets"]["src"].to_list() == [A, NODE]


def test_a_dns_answer_to_the_port_of_a_tunnel_is_a_dns_answer() -> None:
    frames = [ethernet(ipv4(udp(query("a.example.com", ident=0x0800), 53, port), 17, B, A)) for port in (4789, 6081)]
    assert read_all(pcap(frames))[0]["dns_messages"]["dst_port"].to_list() == [4789, 6081]


@pytest.mark.parametrize(
    "frame",
    [
        _in4(bytes([0x65]) + PACKET[1:], 4),
        _in4(PACKET[:12], 4),
        _in_udp(vxlan(ethernet(PACKET[:12])), 4789),
        _in_udp(vxlan(ethernet(bytes([0x4F]) + PACKET[1:21])), 4789),
        _in4(gre(SIX[:30], 0x86DD), 47),
        _in4(gre(LABEL * 500, 0x8847).replace(b"\1\x40", b"\0\x40"), 47),
    ],
)
def test_a_malformed_packet_inside_leaves_the_outer_one_and_is_noted(frame: bytes) -> None:
    tables, ledger = read_all(pcap([frame]))
    assert tables["packets"]["src"].to_list() == [NODE]
    assert tables["tunnel_headers"].height == 0
    assert ledger.notes == ["1 packets inside tunnels are cut or malformed; the outer packets stand for them"]
    assert ledger.used == 1


@pytest.mark.parametrize(
    "frame",
    [
        _in_udp(vxlan(ethernet(bytes(28), 0x0806)), 4789),
        _in_udp(vxlan(b"")[:6], 4789),
        _in_udp(geneve(FRAME, kind=0x894F), 6081),
        _in4(gre(b"\xff\3\xc0\x21" + bytes(9), 0x880B), 47),
        _in4(b"\x40\0\x08\0" + PACKET, 47),
        _in4(gre(PACKET)[:3], 47),
        _in4(gre(FRAME, 0x22EB), 47),
        ethernet(ipv4(vxlan(FRAME), 17, NODE, OTHER, frag=5)),
    ],
    ids=["arp", "cut", "nsh", "lcp", "source route", "half gre", "no erspan header", "later fragment"],
)
def test_what_is_no_packet_in_a_tunnel_stays_outside(frame: bytes) -> None:
    tables, ledger = read_all(pcap([frame]))
    assert tables["packets"]["src"].to_list() == [NODE]
    assert (tables["tunnel_headers"].height, ledger.notes) == (0, [])


def test_pptp_carries_ppp_in_gre_of_version_1() -> None:
    head = struct.pack(">HHHHII", 0x3081, 0x880B, len(PACKET) + 4, 9, 1, 1)
    assert _outer(_in4(head + b"\xff\3\0\x21" + PACKET, 47)) == [(1, "gre", NODE, None, OTHER, None, None)]


def test_every_cut_of_a_tunnelled_frame_is_read_without_a_fault() -> None:
    for frame, *_ in TUNNELS.values():
        data = pcap([frame] * 1, snaplen=1)
        for kept in range(1, len(frame)):
            data = pcap([frame], snaplen=kept)
            tables, ledger = read_all(data)
            assert ledger.records == 1
            for src in tables["packets"]["src"]:
                assert src in (A, NODE)


def test_frames_with_and_without_tunnels_keep_their_order() -> None:
    plain, wrapped = ethernet(ipv4(tcp(b"", 1, 2), 6, "10.0.0.1", "10.0.0.2")), TUNNELS["vxlan"][0]
    tables, _ = read_all(pcap([plain, wrapped, plain, TUNNELS["gre"][0], plain]))
    assert tables["packets"]["src"].to_list() == ["10.0.0.1", A, "10.0.0.1", A, "10.0.0.1"]
    assert tables["tunnel_headers"]["number"].to_list() == [2, 4]


def test_windows_do_not_change_what_is_found() -> None:
    data = pcap([frame for frame, *_ in TUNNELS.values()] * 5)
    whole = read_all(data)[0]["tunnel_headers"]
    assert whole.height == 5 * len(TUNNELS)
    assert read_all(data, size=700)[0]["tunnel_headers"].equals(whole)


def test_a_quote_shows_the_outer_headers_then_the_inner() -> None:
    text = SOURCE.quote(io.BytesIO(pcap([TUNNELS["vxlan"][0]])), frozenset([1]))[1]
    parts = ["src=192.0.2.1 dst=192.0.2.2", "dport=4789", "vxlan network_id=42", "src=10.0.0.7", "DNS query"]
    assert all(text.find(left) < text.find(right) for left, right in pairwise(parts))
    assert text.find(parts[0]) > 0
    text = SOURCE.quote(io.BytesIO(pcap([b"\xff\3\0\x21" + PACKET], link=9)), frozenset([1]))[1]
    assert "link type 9, not dissected" in text
    assert "DNS query id=1 A a.example.com" in text


def test_a_quote_of_a_tunnel_shows_no_payload() -> None:
    secret = checksummed(ipv4(tcp(b"token=CANARY", 40000, 80), 6, A, B))
    frames = [_in_udp(vxlan(ethernet(secret)), 4789), _in4(gre(secret), 47), _in_udp(b"CANARY" * 9, 4789)]
    frames.append(_in_udp(geneve(FRAME, options=b"CANARYXX"), 6081))
    for text in SOURCE.quote(io.BytesIO(pcap(frames)), frozenset(range(1, 5))).values():
        assert "CANARY" not in text


@needs_tshark
def test_addresses_and_ports_of_all_layers_equal_those_of_tshark(tmp_path: Path) -> None:
    path = tmp_path / "t.pcap"
    path.write_bytes(pcap([frame for frame, *_ in TUNNELS.values()]))
    decode = ("-d", "udp.port==8472,vxlan")
    theirs = fields(path, "ip.src", "ip.dst", "udp.dstport", "vxlan.vni", "geneve.vni", "gre.key", options=decode)
    assert theirs is not None
    tables, _ = read_all(path.read_bytes())
    rows = zip(tables["packets"].to_dicts(), tables["tunnel_headers"].to_dicts(), theirs, strict=True)
    for packet, outer, (src, dst, ports, vni, geneve_vni, key) in rows:
        assert src.split(",") == [outer["src"], packet["src"]]
        assert dst.split(",") == [outer["dst"], packet["dst"]]
        assert [int(port) for port in ports.split(",")] == [
            port for port in (outer["dst_port"], packet["dst_port"]) if port is not None
        ]
        told = vni or geneve_vni or key
        if told:
            assert outer["network_id"] == int(told, 0)


def test_damaged_headers_are_read_alike_in_windows_of_any_size_and_all_counted() -> None:
    rng = random.Random(6)
    seeds = [frame for frame, *_ in TUNNELS.values()]
    frames = []
    for _ in range(3000):
        frame = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 6)):
            frame[rng.randrange(90)] = rng.choice((0, 1, 4, 8, 0x45, 0x60, 0xFF, rng.randrange(256)))
        frames.append(bytes(frame[: rng.randrange(len(frame) + 1)] if rng.random() < 0.3 else frame))
    tables, ledger = read_all(pcap(frames))
    assert ledger.used + ledger.skipped == 3000
    assert set(tables["tunnel_headers"]["number"]) <= set(tables["packets"]["number"])
    again, _ = read_all(pcap(frames), size=5000)
    for name in ("packets", "tunnel_headers", "icmp_errors", "dns_messages"):
        assert again[name].equals(tables[name]), name
