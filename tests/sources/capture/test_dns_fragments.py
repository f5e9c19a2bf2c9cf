"""DNS datagrams in IP fragments."""

from __future__ import annotations

import itertools
import struct

import pytest

from analyzer.sources.capture import dns_datagrams
from analyzer.sources.contract import Ledger
from tests.sources.capture.make import answer, ethernet, ipv4, ipv6, pcap, query, read_all, read_file, record, udp
from tests.sources.capture.oracle import dns_rows, needs_tshark, our_dns_rows

BIG = answer("big.example.com", records=[record(16, b"\xff" + bytes([65 + n]) * 255) for n in range(9)])
DATAGRAM = udp(BIG, 53, 40000)
CUTS = (0, 800, 1600, len(DATAGRAM))


def _four(ident: int = 9, datagram: bytes = DATAGRAM, opts: bytes = b"") -> list[bytes]:
    """The datagram in three IPv4 fragments."""
    parts = []
    for begin, end in itertools.pairwise((*CUTS[:3], len(datagram))):
        place = begin // 8 | (0x2000 if end < len(datagram) else 0)
        packet = ipv4(datagram[begin:end], 17, "10.96.0.10", "10.0.0.7", ident=ident, frag=place, opts=opts)
        parts.append(ethernet(packet))
    return parts


def _six(ident: int = 9) -> list[bytes]:
    parts = []
    for begin, end in itertools.pairwise(CUTS):
        head = struct.pack(">BBHI", 17, 0, begin | (end < len(DATAGRAM)), ident)
        parts.append(ethernet(ipv6(head + DATAGRAM[begin:end], 44, "fd00::53", "fd00::7"), 0x86DD))
    return parts


def _read(*frames: bytes, size: int = 8 << 20, step: float = 0.001) -> tuple[list[tuple[int, str, int]], Ledger]:
    tables, ledger = read_all(pcap(frames, step=step), size=size)
    assert ledger.records == len(frames)
    return tables["dns_messages"].select("number", "name", "answers").rows(), ledger


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("size", [500, 8 << 20])
@pytest.mark.parametrize("version", [4, 6])
def test_fragments_are_put_together_in_any_order(order: tuple[int, ...], size: int, version: int) -> None:
    parts = _four() if version == 4 else _six()
    rows, ledger = _read(*(parts[place] for place in order), size=size)
    assert rows == [(3, "big.example.com", 9)]
    assert (ledger.used, ledger.notes) == (3, [])


def test_the_row_has_the_ends_of_the_first_fragment_and_the_place_of_the_last() -> None:
    tables, _ = read_all(pcap(_four()))
    [row] = tables["dns_messages"].to_dicts()
    assert (row["src"], row["src_port"], row["dst"], row["dst_port"]) == ("10.96.0.10", 53, "10.0.0.7", 40000)
    assert (row["number"], row["protocol"], row["transport"], row["duplicate"]) == (3, "dns", "udp", False)
    assert row["time"] == tables["packets"]["time"][2]
    assert tables["dns_answers"]["number"].to_list() == [3] * 9


def test_headers_with_options_are_found_again() -> None:
    assert _read(*_four(opts=b"\x94\x04\0\0"))[0] == [(3, "big.example.com", 9)]


@needs_tshark
def test_rows_of_fragments_equal_those_of_tshark(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("fragments") / "t.pcap"
    a, b, c = _four(1)
    frames = [*_four(7), ethernet(ipv4(udp(query("a.b"), 40000, 53), 17, "10.0.0.7", "10.96.0.10")), c, a, *_six(), b]
    path.write_bytes(pcap(frames))
    assert our_dns_rows(read_file(path)[0]["dns_messages"]) == dns_rows(path)


def test_datagrams_of_one_moment_are_not_mixed() -> None:
    mixed = itertools.chain.from_iterable(zip(_four(1), _four(2), strict=True))
    assert _read(*mixed)[0] == [(5, "big.example.com", 9), (6, "big.example.com", 9)]


def test_an_identification_used_again_later_is_another_datagram() -> None:
    first, second, third = _four()
    frames = [(0.0, first), (1.0, third), (2.0, second), (3.0, second), (40.0, first), (41.0, third)]
    tables, ledger = read_all(pcap(frames))
    assert tables["dns_messages"]["number"].to_list() == [3]
    assert ledger.notes == ["1 DNS datagrams in fragments never became whole"]


def test_a_datagram_without_its_middle_has_no_row() -> None:
    first, _, third = _four()
    rows, ledger = _read(first, third)
    assert rows == []
    assert ledger.notes == ["1 DNS datagrams in fragments never became whole"]


def test_overlapping_fragments_are_refused_and_the_first_wins() -> None:
    first, second, third = _four()
    evil = ethernet(ipv4(b"\xee" * 808, 17, "10.96.0.10", "10.0.0.7", ident=9, frag=100 | 0x2000))
    rows, ledger = _read(first, evil, second, third)
    assert rows == []
    assert "overlapping fragments of DNS datagrams were refused" in ledger.notes[1]
    rows, ledger = _read(first, second, evil, third)
    assert rows == [(4, "big.example.com", 9)]
    assert ledger.notes == ["1 overlapping fragments of DNS datagrams were refused"]


def test_a_fragment_sent_twice_is_no_overlap() -> None:
    first, second, third = _four()
    rows, ledger = _read(first, second, second, third, step=0.5)
    assert (rows, ledger.notes) == ([(4, "big.example.com", 9)], [])


def test_a_malformed_message_in_fragments_is_counted_at_its_first() -> None:
    rows, ledger = _read(*_four(datagram=udp(BIG[:-1], 53, 40000)))
    assert (rows, ledger.used) == ([], 2)
    [one] = ledger.report(path="", kind="", sha256="", size=0).skipped_reasons
    assert (one.reason, one.places) == ("malformed DNS", ("1",))


def test_fragments_of_other_datagrams_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_datagrams.Datagrams, "_put", lambda *_: pytest.fail("not DNS"))
    assert _read(*_four(datagram=udp(BIG, 2049, 40000)))[1].used == 3


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("OPEN_MOST", 2), ("BYTES_MOST", 3000)):
        monkeypatch.setattr(dns_datagrams, name, most)
        firsts = [_four(ident)[0] for ident in range(1, 9)]
        rows, ledger = _read(*firsts, *_four(1)[1:], *_four(8)[1:])
        assert rows == [(12, "big.example.com", 9)]
        assert ledger.notes == ["7 DNS datagrams in fragments never became whole"]
