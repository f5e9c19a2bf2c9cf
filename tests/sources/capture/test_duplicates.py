"""Copies of a packet are marked; what was really sent twice is not."""

from __future__ import annotations

import pytest

from tests.sources.capture.make import cooked2, dns_frame, ethernet, ipv4, ipv6, pcap, query, read_all, tcp, udp

A, B = "10.0.0.7", "203.0.113.9"


def _marked(*frames: tuple[float, bytes], link: int = 276, size: int = 8 << 20) -> list[bool]:
    return read_all(pcap(frames, link=link), size=size)[0]["packets"]["duplicate"].to_list()


def _data(ident: int, ifindex: int = 2, ttl: int = 64, seq: int = 1, body: bytes = b"hello") -> bytes:
    return cooked2(ipv4(tcp(body, 40000, 443, seq=seq), 6, A, B, ident=ident, ttl=ttl), ifindex)


@pytest.mark.parametrize("size", [8 << 20, 97])
def test_a_forwarded_packet_is_counted_once_even_over_a_window_border(size: int) -> None:
    frames = [
        (0.0, _data(5)),
        (0.0002, _data(5, ifindex=3, ttl=63)),
        (0.001, _data(6, seq=6)),
        (0.002, _data(6, 3, 63, 6)),
    ]
    assert _marked(*frames, size=size) == [False, True, False, True]


def test_a_retransmission_with_its_own_identification_stays() -> None:
    assert _marked((0.0, _data(5)), (0.0002, _data(5, 3, 63)), (0.004, _data(6)), (0.0042, _data(6, 3, 63))) == [
        *(False, True),
        *(False, True),
    ]


def test_copies_further_apart_than_ten_milliseconds_stay() -> None:
    assert _marked((0.0, _data(5)), (0.011, _data(5, 3, 63))) == [False, False]


def test_an_exact_copy_is_marked_within_one_millisecond_only() -> None:
    frame = dns_frame(query("a.b"))
    assert _marked((0.0, frame), (0.0009, frame), link=1) == [False, True]
    assert _marked((0.0, frame), (0.0021, frame), link=1) == [False, False]


def test_three_interfaces_give_one_packet() -> None:
    assert _marked((0.0, _data(5)), (0.0001, _data(5, 3)), (0.0002, _data(5, 4, 63))) == [False, True, True]


def test_equal_datagrams_without_identification_are_not_merged() -> None:
    packet = ethernet(ipv6(udp(b"hits:1|c", 50000, 8125), 17, "fd00::1", "fd00::2"), 0x86DD)
    assert _marked((0.0, packet), (0.0001, packet), link=1) == [False, False]


def test_equal_datagrams_at_two_interfaces_pair_up() -> None:
    def seen(ifindex: int) -> bytes:
        return cooked2(ipv6(udp(b"hits:1|c", 50000, 8125), 17, "fd00::1", "fd00::2"), ifindex, 0x86DD)

    frames = [(0.0, seen(2)), (0.0001, seen(3)), (0.0002, seen(2)), (0.0003, seen(3))]
    assert _marked(*frames) == [False, True, False, True]


def test_packets_that_differ_in_their_payload_stay() -> None:
    assert _marked((0.0, _data(5, body=b"hello")), (0.0001, _data(5, 3, body=b"hellp"))) == [False, False]


def test_the_dns_row_of_a_copy_is_marked_too() -> None:
    packet = ipv4(udp(query("a.b"), 40000, 53), 17, A, B)
    tables, ledger = read_all(pcap([(0.0, cooked2(packet, 2)), (0.0001, cooked2(packet, 3))], link=276))
    assert tables["dns_messages"]["duplicate"].to_list() == [False, True]
    assert ledger.notes == ["1 packets seen again at another interface or hop were marked"]


def test_packets_alike_in_all_but_the_end_of_their_payload_are_no_copies() -> None:
    frames = [
        (index / 10_000, _data(5, seq=1, body=b"the same words," + end)) for index, end in enumerate((b"a", b"b"))
    ]
    assert _marked(*frames) == [False, False]
