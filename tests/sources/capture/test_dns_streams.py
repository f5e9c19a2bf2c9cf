"""DNS over TCP: messages that lie in one segment, span several, come out of order, or are torn."""

from __future__ import annotations

import random
import struct
from itertools import pairwise

import pytest

from analyzer.sources.capture import dns_streams
from analyzer.sources.contract import Ledger
from tests.sources.capture.make import answer, dns_frame, ethernet, ipv4, pcap, query, read_all, record, tcp

SYN = 0x02
Row = tuple[int, str]


def _segment(payload: bytes, seq: int, ident: int = 1, *, flags: int = 0x18, port: int = 40000) -> bytes:
    return ethernet(ipv4(tcp(payload, port, 53, seq=seq, flags=flags), 6, "10.0.0.7", "10.96.0.10", ident=ident))


def _prefixed(message: bytes) -> bytes:
    return struct.pack(">H", len(message)) + message


def _cut(stream: bytes, *places: int, seq: int = 100) -> list[bytes]:
    """Segments of a stream cut at these places."""
    edges = [0, *places, len(stream)]
    return [_segment(stream[a:b], (seq + a) % (1 << 32), ident=n + 1) for n, (a, b) in enumerate(pairwise(edges))]


def _read(*frames: bytes, size: int = 8 << 20) -> tuple[list[Row], Ledger]:
    tables, ledger = read_all(pcap(frames, step=0.3), size=size)
    assert ledger.records == len(frames)
    return tables["dns_messages"].filter(~tables["dns_messages"]["duplicate"]).select("number", "name").rows(), ledger


def _skipped(ledger: Ledger) -> dict[str, tuple[str, ...]]:
    return {one.reason: one.places for one in ledger.report(path="", kind="", sha256="", size=0).skipped_reasons}


ABC = b"".join(_prefixed(query(f"{name}.example.com", n)) for n, name in enumerate("abc"))
ONE = len(ABC) // 3


def test_messages_inside_one_tcp_segment_are_read() -> None:
    both = _prefixed(query("a.b", 1)) + _prefixed(query("c.d", 2))
    rows = read_all(pcap([_segment(both, 1)]))[0]["dns_messages"].to_dicts()
    assert [(r["name"], r["dns_id"], r["transport"], r["number"]) for r in rows] == [
        ("a.b", 1, "tcp", 1),
        ("c.d", 2, "tcp", 1),
    ]


@pytest.mark.parametrize("size", [97, 8 << 20])
@pytest.mark.parametrize("cut", [1, 2, 5, 20])
@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("swapped", [True, False])
def test_a_message_over_two_segments_is_put_together(cut: int, begun: bool, swapped: bool, size: int) -> None:
    parts = _cut(_prefixed(query("split.example.com")), cut)
    if swapped:
        parts.reverse()
    frames = [_segment(b"", 99, 9, flags=SYN)] * begun + parts
    rows, ledger = _read(*frames, size=size)
    assert rows == [(len(frames), "split.example.com")]
    assert (ledger.used, ledger.notes) == (len(frames), [])


@pytest.mark.parametrize("cuts", [(ONE // 2, ONE + 1), (1, 2, 3, ONE + 1), (ONE, ONE + 3, 2 * ONE + 3), (2 * ONE,)])
def test_pipelined_messages_are_read_however_the_stream_is_cut(cuts: tuple[int, ...]) -> None:
    rows, ledger = _read(*_cut(ABC, *cuts))
    assert [name for _, name in rows] == ["a.example.com", "b.example.com", "c.example.com"]
    assert ledger.skipped == 0


def test_any_order_of_segments_gives_the_same_messages() -> None:
    rng = random.Random(5)
    stream = ABC * 4
    for _ in range(40):
        places = sorted(rng.sample(range(1, len(stream)), 9))
        parts = _cut(stream, *places, seq=(1 << 32) - 50)
        rng.shuffle(parts)
        syn = _segment(b"", (1 << 32) - 51, 99, flags=SYN)
        rows, ledger = _read(syn, *parts, size=rng.choice((97, 300, 8 << 20)))
        assert sorted(name for _, name in rows) == sorted([f"{name}.example.com" for name in "abc"] * 4)
        assert ledger.used == 11


def test_retransmissions_add_no_message() -> None:
    first, second = _cut(ABC[:ONE], 10)
    again = _segment(ABC[:20], 100, 7)  # cut elsewhere
    rows, ledger = _read(
        first, first[:18] + b"\0\x09" + first[20:], again, second, second[:18] + b"\0\x0a" + second[20:]
    )
    assert rows == [(4, "a.example.com")]
    assert ledger.used == 5


def test_a_whole_message_sent_again_is_marked_as_a_copy() -> None:
    frames = [_segment(ABC[:ONE], 100, ident) for ident in (1, 2)]
    frames.append(_segment(ABC[:ONE], 100, 3, port=40001))
    for size in (97, 8 << 20):
        tables, _ = read_all(pcap(frames, step=0.3), size=size)
        assert tables["dns_messages"]["duplicate"].to_list() == [False, True, False]


def test_a_capture_that_begins_in_the_middle_of_a_message_goes_on_with_the_next() -> None:
    rows, ledger = _read(*_cut(b"\xee" * 40 + ABC, 40, 40 + ONE // 2, 40 + ONE + 5))
    assert [name for _, name in rows] == ["a.example.com", "b.example.com", "c.example.com"]
    assert ledger.notes == ["1 TCP segments of port 53 hold parts of DNS messages not put together"]


def test_a_lost_segment_costs_its_message_only() -> None:
    torn, lost, *rest = _cut(ABC, 10, 20, ONE, ONE + 10)
    rows, ledger = _read(torn, *rest)
    assert lost
    assert rows == [(4, "b.example.com"), (4, "c.example.com")]
    assert _skipped(ledger) == {"incomplete DNS message over TCP": ("1",)}
    assert ledger.notes == ["1 TCP segments of port 53 hold parts of DNS messages not put together"]


def test_a_syn_begins_a_new_connection_of_the_same_ports() -> None:
    torn = _segment(ABC[:10], 100, 1)
    syn = _segment(b"", 109, 2, flags=SYN)
    rows, ledger = _read(torn, syn, *_cut(ABC[ONE : 2 * ONE], 10, seq=110))
    assert rows == [(4, "b.example.com")]
    assert _skipped(ledger) == {"incomplete DNS message over TCP": ("1",)}


@pytest.mark.parametrize("size", [4096, 8 << 20])
def test_a_message_of_64_kib_is_put_together(size: int) -> None:
    texts = [record(16, b"\xff" + b"x" * 255, ttl=n) for n in range(244)]
    message = answer("big.example.com", records=texts)
    message += bytes(65535 - len(message))
    stream = _prefixed(message) + ABC[:ONE]
    rows, ledger = _read(*_cut(stream, *range(1460, len(stream), 1460)), size=size)
    assert [name for _, name in rows] == ["big.example.com", "a.example.com"]
    assert ledger.skipped == 0


def test_a_message_whose_rest_never_came_is_counted() -> None:
    payload = struct.pack(">H", 500) + query("half.example.com")
    tables, ledger = read_all(pcap([_segment(payload, 1), dns_frame(query("a.b"))]))
    assert tables["dns_messages"]["name"].to_list() == ["a.b"]
    assert _skipped(ledger) == {"incomplete DNS message over TCP": ("1",)}


def test_a_malformed_message_over_segments_is_counted_once() -> None:
    message = query("bad.example.com")[:-2]
    rows, ledger = _read(*_cut(_prefixed(message), 20))
    assert rows == []
    assert (ledger.used, _skipped(ledger)) == (1, {"malformed DNS": ("2",)})


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_streams, "OPEN_MOST", 3)
    frames = [_segment(ABC[:10], 1, port=40000 + n, ident=n + 1) for n in range(9)]
    rows, ledger = _read(*frames)
    assert rows == []
    assert (ledger.used, ledger.skipped) == (0, 9)
    monkeypatch.setattr(dns_streams, "BYTES_MOST", 25)
    assert _read(*frames)[1].skipped == 9


def test_noise_at_port_53_is_accounted_for() -> None:
    rng = random.Random(6)
    for _ in range(30):
        frames = []
        for n in range(40):
            part = rng.choice((rng.randbytes(rng.randrange(1, 40)), bytes(30), ABC[: rng.randrange(1, 60)], ABC[:ONE]))
            flags = rng.choice((0x18, 0x18, 0x18, SYN))
            frames.append(_segment(part, rng.randrange(200), n + 1, flags=flags, port=40000 + n % 2))
        _, ledger = _read(*frames, size=rng.choice((97, 1000, 8 << 20)))
        assert ledger.records == 40
