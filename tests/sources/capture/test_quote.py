"""Quoted frames are readable, harmless and short."""

from __future__ import annotations

import io
import random
from functools import partial

import pytest

from analyzer.sources.capture import SOURCE
from analyzer.sources.capture import quote as quote_module
from analyzer.sources.capture.reader import frames_of
from tests.sources.capture.make import (
    answer,
    cooked2,
    dns_frame,
    ethernet,
    ipv4,
    pcap,
    query,
    record,
    tcp,
    udp,
    vxlan,
)

A, B = "10.0.0.7", "10.96.0.10"


def _quote(data: bytes, *numbers: int) -> dict[int, str]:
    return SOURCE.quote(io.BytesIO(data), frozenset(numbers))


def test_a_dns_query_is_readable() -> None:
    told = _quote(pcap([dns_frame(query("a.b")), dns_frame(query("API.example.com", 7, 28))]), 2)
    assert set(told) == {2}
    assert told[2].splitlines()[0] == "frame 2, 2026-01-01 00:00:00.001000 UTC, 75 bytes, 75 captured"
    assert "src=10.0.0.7 dst=10.96.0.10" in told[2]
    assert "DNS query id=7 AAAA api.example.com" in told[2]


def test_an_answer_shows_its_records() -> None:
    message = answer("a.example.com", records=[record(1, bytes([192, 0, 2, 9]), ttl=30)])
    frame = cooked2(ipv4(udp(message, 53, 40000), 17, B, A), 3)
    assert "A ttl=30 192.0.2.9" in _quote(pcap([frame], link=276), 1)[1]


def test_http_bodies_tokens_and_queries_do_not_appear() -> None:
    body = (
        "GET /latest/meta-data/x?token=CANARY HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer CANARY\r\n"
        "X-Aws-Ec2-Metadata-Token: CANARY\r\nCookie: CANARY\r\n\r\nCANARY"
    )
    text = _quote(pcap([ethernet(ipv4(tcp(body.encode(), 40000, 80), 6, A, B))]), 1)[1]
    assert "CANARY" not in text
    assert "HTTP GET /latest/meta-data/x" in text
    rest = ethernet(ipv4(tcp(b'{"SecretAccessKey":"CANARY"}', 80, 40000), 6, B, A))
    assert "CANARY" not in _quote(pcap([rest]), 1)[1]


def test_numbers_that_do_not_exist_are_left_out() -> None:
    assert _quote(pcap([dns_frame(query("a.b"))]), 0, 5) == {}
    assert _quote(pcap([]), 1) == {}


def test_hostile_frames_are_quoted_in_printable_text_of_bounded_length() -> None:
    rng = random.Random(4)
    seed = dns_frame(answer("a.example.com", records=[record(16, b"\3abc"), record(5, b"\1x\xc0\x0c")]))
    deep = ipv4(b"", 17, A, B)
    for _ in range(300):
        deep = ipv4(deep, 4, A, B)
    frames = [ethernet(deep), ethernet(deep, tags=[0x8100] * 300), b"", b"\x00"]
    for _ in range(150):
        frame = bytearray(seed)
        for _ in range(rng.randrange(1, 9)):
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        frames.append(bytes(frame[: rng.randrange(1, len(frame) + 1)]))
    told = _quote(pcap(frames), *range(1, len(frames) + 1))
    assert len(told) == len(frames)
    for text in told.values():
        assert len(text.encode()) <= 2048
        assert all(line.isprintable() and line.isascii() for line in text.split("\n"))


def test_an_unknown_link_type_is_said() -> None:
    assert "link type 147, not dissected" in _quote(pcap([b"abc"], link=147), 1)[1]


def test_frames_quoted_together_read_as_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    message = answer("a.example.com", records=[record(1, bytes([192, 0, 2, 9]))])
    inner = ethernet(ipv4(udp(query("inside.example.com", 9), 40001, 53), 17, A, B))
    frames = [
        dns_frame(query("a.example.com", 7)),
        ethernet(ipv4(udp(vxlan(inner, 42), 50000, 4789), 17, "192.0.2.1", "192.0.2.2")),
        ethernet(ipv4(tcp(b"GET /x HTTP/1.1\r\n\r\n", 40000, 80), 6, A, B)),
        ethernet(ipv4(udp(b"\0\7", 40000, 53), 17, A, B)),
        ethernet(ipv4(udp(message, 53, 40000), 17, B, A)),
    ]
    alone = {number: _quote(pcap(frames), number)[number] for number in range(1, 6)}
    assert "network_id=42" in alone[2]
    assert "DNS query id=9 A inside.example.com" in alone[2]
    assert "malformed" in alone[4]
    assert "192.0.2.9" in alone[5]
    assert _quote(pcap(frames), *range(1, 6)) == alone
    monkeypatch.setattr(quote_module, "HELD_MOST", 1)
    monkeypatch.setattr(quote_module, "frames_of", partial(frames_of, size=200))
    assert _quote(pcap(frames), *range(1, 6)) == alone
