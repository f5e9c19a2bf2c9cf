"""Link layers, and what stands between them and IP."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from analyzer.errors import InputError
from tests.sources.capture.make import cooked2, ethernet, interface, ipv4, ipv6, pcap, query, read_all, section, udp
from tests.sources.capture.make import enhanced as block
from tests.sources.capture.oracle import fields, needs_tshark

A, B = "10.0.0.7", "10.96.0.10"
DNS = udp(query("a.example.com"), 40000, 53)
PACKET = ipv4(DNS, 17, A, B)
SIX = ipv6(DNS, 17, "fd00::7", "fd00::53")
SESSION = struct.pack(">BBHH", 0x11, 0, 7, len(PACKET) + 2)


def _label(number: int, *, bottom: bool) -> bytes:
    return struct.pack(">I", number << 12 | bottom << 8 | 64)


def _nflog(packet: bytes, order: str, family: int = 2) -> bytes:
    """Prefix, packet header and payload as the kernel logs them."""
    out = struct.pack(">BBH", family, 0, 5)
    for kind, value in ((1, bytes(4)), (10, b"log\0\0"), (9, packet)):
        out += struct.pack(f"{order}HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)
    return out


LINKS = [
    (1, ethernet(PACKET)),
    (1, ethernet(PACKET, tags=[0x8100])),
    (1, ethernet(PACKET, tags=[0x88A8, 0x8100])),
    (1, ethernet(SESSION + b"\0\x21" + PACKET, 0x8864)),
    (1, ethernet(SESSION + b"\0\x21" + PACKET, 0x8864, tags=[0x8100])),
    (1, ethernet(_label(16, bottom=True) + PACKET, 0x8847)),
    (1, ethernet(_label(16, bottom=False) + _label(17, bottom=True) + PACKET, 0x8848)),
    (1, ethernet(b"\xaa\xaa\3\0\0\0\x08\0" + PACKET, len(PACKET) + 8)),
    (113, struct.pack(">HHH8sH", 0, 1, 6, b"", 0x0800) + PACKET),
    (276, cooked2(PACKET, 5)),
    (101, PACKET),
    (12, PACKET),
    (228, PACKET),
    (0, struct.pack("<I", 2) + PACKET),
    (0, struct.pack(">I", 2) + PACKET),
    (108, struct.pack(">I", 2) + PACKET),
    (9, b"\xff\3\0\x21" + PACKET),
    (9, b"\0\x21" + PACKET),
    (9, b"\x21" + PACKET),
    (9, b"\xff\3\x21" + PACKET),
    (9, b"\xff\3\2\x81" + _label(16, bottom=True) + PACKET),
    (50, b"\xff\3\0\x21" + PACKET),
    (50, b"\x0f\0\x08\0" + PACKET),
    (51, SESSION + b"\0\x21" + PACKET),
    (104, b"\x8f\0\x08\0" + PACKET),
    (166, b"\1\3\0\x21" + PACKET),
    (204, b"\1\xff\3\0\x21" + PACKET),
    (204, b"\0\x21" + PACKET),
    (226, struct.pack(">BBHIIIII", 1, 2, 1, len(PACKET), 3, 0, 0, 0) + PACKET),
    (239, _nflog(PACKET, "<")),
    (239, _nflog(PACKET, ">")),
    (101, ipv4(DNS, 17, A, B, opts=b"\1" * 8)),
]


@pytest.mark.parametrize(("link", "frame"), LINKS)
def test_the_same_packet_is_found_under_every_link_layer(link: int, frame: bytes) -> None:
    tables, ledger = read_all(pcap([frame], link=link))
    row = tables["packets"].row(0, named=True)
    assert (row["src"], row["src_port"], row["dst"], row["dst_port"]) == (A, 40000, B, 53)
    assert (row["protocol"], row["ttl"], row["ip_id"], row["payload_bytes"]) == ("UDP", 64, 1, len(DNS) - 8)
    assert row["wire_bytes"] == len(frame)
    assert tables["dns_messages"]["name"].to_list() == ["a.example.com"]
    assert ledger.used == 1


@needs_tshark
@pytest.mark.parametrize("link", sorted({link for link, _ in LINKS} - {166}))
def test_tshark_finds_the_same_packet(link: int, tmp_path: Path) -> None:
    path = tmp_path / "t.pcap"
    # tshark does not know link type 166, and reads the lengths of link type 239 as little-endian only.
    frames = [frame for kind, frame in LINKS if kind == link and frame != _nflog(PACKET, ">")]
    path.write_bytes(pcap(frames, link=link))
    assert fields(path, "ip.src", "udp.srcport", "ip.dst", "udp.dstport") == [[A, "40000", B, "53"]] * len(frames)


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        (1, ethernet(SESSION + b"\0\x57" + SIX, 0x8864)),
        (1, ethernet(_label(16, bottom=True) + SIX, 0x8847)),
        (9, b"\xff\3\0\x57" + SIX),
        (226, struct.pack(">BBHIIIII", 1, 26, 1, len(SIX), 3, 0, 0, 0) + SIX),
        (229, SIX),
        (239, _nflog(SIX, "<", 10)),
        *((link, struct.pack("<I", family) + SIX) for link, family in ((0, 24), (0, 30), (108, 28))),
    ],
)
def test_ipv6_is_found_there_too(link: int, frame: bytes) -> None:
    assert read_all(pcap([frame], link=link))[0]["packets"]["src"].to_list() == ["fd00::7"]


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        (1, ethernet(SESSION + b"\xc0\x21" + bytes(20), 0x8864)),
        (1, ethernet(b"\x11\xa7" + bytes(30), 0x8864)),
        (1, ethernet(_label(16, bottom=True) + bytes(40), 0x8847)),
        (1, ethernet(b"\xaa\xaa\3\0\0\x0c\x20\0" + bytes(40), 48)),
        (9, b"\xff\3\xc0\x21" + bytes(20)),
        (104, b"\x8f\0\x20\0" + bytes(20)),
        (239, _nflog(bytes(28), "<", 3)),
    ],
)
def test_what_is_known_not_to_be_ip_is_used_without_a_row(link: int, frame: bytes) -> None:
    tables, ledger = read_all(pcap([frame], link=link))
    assert (ledger.used, tables["packets"].height) == (1, 0)


@pytest.mark.parametrize(
    ("link", "frame", "reason"),
    [
        (1, ethernet(b"".join(_label(n, bottom=False) for n in range(500)), 0x8847), "MPLS labels nested too deep"),
        (1, ethernet(_label(1, bottom=False)[:2], 0x8847), "unknown EtherType"),
        (1, ethernet(SESSION[:4], 0x8864), "unknown EtherType"),
        (9, b"\xff\3\0", "unknown EtherType"),
        (226, bytes(20), "unknown EtherType"),
        (239, _nflog(PACKET, "<")[:22], "unknown EtherType"),
        (239, b"\2\0\0\0" + bytes(400), "unknown EtherType"),
        (239, b"\2\0\0\0" + b"\4\0\1\0" * 100 + _nflog(PACKET, "<")[4:], "unknown EtherType"),
    ],
)
def test_headers_that_do_not_end_cost_the_frame_only(link: int, frame: bytes, reason: str) -> None:
    tables, ledger = read_all(pcap([frame], link=link))
    [skipped] = ledger.report(path="", kind="", sha256="", size=0).skipped_reasons
    assert (skipped.reason, skipped.count, tables["packets"].height) == (reason, 1, 0)


def test_a_snap_length_within_the_labels_is_no_malformation() -> None:
    frame = ethernet(_label(16, bottom=False) + _label(17, bottom=True) + PACKET, 0x8847)
    _, ledger = read_all(pcap([frame], snaplen=16))
    [skipped] = ledger.report(path="", kind="", sha256="", size=0).skipped_reasons
    assert skipped.reason == "cut by the snap length before its headers end"


@pytest.mark.parametrize("link", [105, 119, 127, 163, 192])
def test_wireless_frames_are_counted_and_do_not_refuse_the_capture(link: int) -> None:
    tables, ledger = read_all(pcap([bytes(60)] * 3, link=link))
    [skipped] = ledger.report(path="", kind="", sha256="", size=0).skipped_reasons
    assert (skipped.reason, skipped.count) == ("IEEE 802.11 frame, counted only", 3)
    assert tables["packets"].height == 0
    assert ledger.notes == []


def test_a_capture_of_an_unsupported_link_type_alone_is_refused() -> None:
    with pytest.raises(InputError, match="unsupported link type 147"):
        read_all(pcap([bytes(60)], link=147))


def test_interfaces_of_one_capture_may_have_different_link_types() -> None:
    ng = section() + interface(link=1) + interface(link=9) + interface(link=127)
    frames = [ethernet(PACKET), b"\xff\3\0\x21" + PACKET, bytes(40)]
    ng += b"".join(block(frame, 1_767_225_600_000_000 + n, which=n) for n, frame in enumerate(frames))
    tables, ledger = read_all(ng)
    assert tables["packets"]["number"].to_list() == [1, 2]
    assert (ledger.used, ledger.skipped) == (2, 1)


def test_the_interface_of_a_cooked_capture_is_its_ifindex() -> None:
    tables, _ = read_all(pcap([cooked2(PACKET, 7)], link=276))
    assert tables["packets"]["interface"].to_list() == [7]
    tables, _ = read_all(pcap([ethernet(PACKET)]))
    assert tables["packets"]["interface"].to_list() == [None]
