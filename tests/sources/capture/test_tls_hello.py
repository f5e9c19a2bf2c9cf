"""TLS ClientHellos: which server was asked for, with which protocols, up to which version."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.sources.capture.make import ethernet, ipv4, pcap, read_all, tcp
from tests.sources.capture.oracle import fields, needs_tshark

CLIENT, SERVER = "10.244.1.17", "192.0.2.80"
NEW = b"\x7a\x7a\x03\x04\x03\x03"
"""supported_versions with GREASE in front."""


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">HH", kind, len(data)) + data


def sni(name: bytes) -> bytes:
    return extension(0, struct.pack(">HBH", len(name) + 3, 0, len(name)) + name)


def alpn(*names: bytes) -> bytes:
    listed = b"".join(bytes([len(name)]) + name for name in names)
    return extension(16, struct.pack(">H", len(listed)) + listed)


def versions(listed: bytes = NEW) -> bytes:
    return extension(43, bytes([len(listed)]) + listed)


def handshake(*extensions: bytes, legacy: int = 0x0303, session: int = 32, bare: bool = False) -> bytes:
    body = struct.pack(">H", legacy) + bytes(32) + bytes([session]) + bytes(session)
    body += struct.pack(">H", 4) + b"\x13\x01\xc0\x2f" + b"\x01\x00"
    joined = b"".join(extensions)
    body += b"" if bare else struct.pack(">H", len(joined)) + joined
    return b"\x01" + len(body).to_bytes(3, "big") + body


def record(data: bytes, version: int = 0x0301) -> bytes:
    return b"\x16" + struct.pack(">HH", version, len(data)) + data


def hello(*extensions: bytes, **more: Any) -> bytes:
    return record(handshake(*extensions, **more))


def segment(data: bytes, *, seq: int = 1, port: int = 443, client: int = 40000, ident: int = 1) -> bytes:
    return ethernet(ipv4(tcp(data, client, port, seq=seq), 6, CLIENT, SERVER, ident=ident))


def rows(*frames: bytes, size: int = 8 << 20, **more: Any) -> list[dict[str, Any]]:
    return read_all(pcap(frames, step=0.01, **more), size=size)[0]["tls_client_hellos"].to_dicts()


def test_a_hello_tells_name_protocols_and_version_at_any_port() -> None:
    [row] = rows(segment(hello(sni(b"API.Example.com"), alpn(b"h2", b"http/1.1"), versions()), port=10250))
    assert (row["sni"], row["alpn"], row["version"]) == ("api.example.com", "h2,http/1.1", "TLS 1.3")
    assert (row["client"], row["client_port"], row["server"], row["server_port"]) == (CLIENT, 40000, SERVER, 10250)


@pytest.mark.parametrize(
    ("made", "version"),
    [
        (hello(versions(b"\x03\x03\x03\x04")), "TLS 1.3"),
        (hello(versions(b"\x7f\x1c\x03\x03")), "TLS 1.3"),
        (hello(versions(b"\x03\x02\x03\x03")), "TLS 1.2"),
        (hello(legacy=0x0301), "TLS 1.0"),
        (hello(bare=True, session=0), "TLS 1.2"),
        (hello(versions(b"\x5a\x5a")), None),
    ],
)
def test_the_highest_version_offered_counts(made: bytes, version: str | None) -> None:
    [row] = rows(segment(made))
    assert (row["version"], row["sni"], row["alpn"]) == (version, None, None)


def test_names_that_do_not_print_are_escaped_and_long_ones_cut() -> None:
    odd = hello(sni(b"a\xff<b>\x00.example.com."), alpn(b"\x0a\x1a", b"h2"), versions())
    long = hello(sni(b"x" * 300), versions())
    first, second = rows(segment(odd), segment(long, client=40001))
    assert (first["sni"], first["alpn"]) == ("a\\xff<b>\\x00.example.com", "\\x0a\\x1a,h2")
    assert second["sni"] == "x" * 255


KEY_SHARE = extension(51, bytes(1300))


@pytest.mark.parametrize("size", [100, 8 << 20])
@pytest.mark.parametrize("cut", [11, 43, 60, 90, 700, 1390])
def test_a_hello_with_a_post_quantum_key_share_spans_segments(cut: int, size: int) -> None:
    made = hello(KEY_SHARE, sni(b"a.example.com"), versions(), alpn(b"h2"), extension(21, bytes(300)))
    parts = [
        segment(made[:cut]),
        segment(made[cut : cut + 800], seq=1 + cut),
        segment(made[cut + 800 :], seq=801 + cut),
    ]
    expected = [("a.example.com", "h2", "TLS 1.3", 1)]
    for frames in (parts, [parts[0], parts[2], parts[1]], [parts[0], *parts]):
        found = rows(*frames, size=size)
        assert [(row["sni"], row["alpn"], row["version"], row["number"]) for row in found] == expected


def test_what_is_needed_may_stand_in_the_first_segment_alone() -> None:
    made = hello(sni(b"a.example.com"), alpn(b"h2"), versions(), KEY_SHARE)
    tables, ledger = read_all(pcap([segment(made[:500])]))
    assert tables["tls_client_hellos"]["sni"].to_list() == ["a.example.com"]
    assert ledger.notes == []


def test_a_hello_over_two_records_is_put_together() -> None:
    whole = handshake(sni(b"a.example.com"), alpn(b"h2"), versions())
    [row] = rows(segment(record(whole[:60]) + record(whole[60:])))
    assert (row["sni"], row["alpn"]) == ("a.example.com", "h2")


def test_a_hello_that_never_becomes_whole_tells_what_was_seen_and_is_counted() -> None:
    made = hello(sni(b"a.example.com"), KEY_SHARE, versions())
    tables, ledger = read_all(pcap([segment(made[:900])]))
    assert tables["tls_client_hellos"].select("sni", "alpn").rows() == [("a.example.com", None)]
    assert "1 TLS ClientHellos never became whole; what was seen of them is told" in ledger.notes


def test_a_segment_sent_again_is_no_second_hello_but_a_second_hello_is_one() -> None:
    made = hello(sni(b"a.example.com"), versions())
    again = [segment(made), segment(made, ident=2), segment(made, seq=1 + len(made), ident=3)]
    assert [row["number"] for row in rows(*again)] == [1, 3]


@pytest.mark.parametrize(
    "payload",
    [
        record(b"\x02" + handshake(sni(b"a"))[1:]),
        b"\x17" + hello(sni(b"a"))[1:],
        b"\x16\x02" + hello(sni(b"a"))[2:],
        record(b"\x01\x00\x00\x04" + bytes(40)),
        record(handshake(session=33)),
        record(handshake()[:-2] + b"\x00\x09"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x09\x09" + bytes(500),
    ],
)
def test_what_only_looks_like_a_hello_is_left_alone(payload: bytes) -> None:
    assert rows(segment(payload)) == []


def test_lying_lengths_are_found_out() -> None:
    made = hello(sni(b"a.example.com"), alpn(b"h2"), versions())
    frames = [segment(made[:at], client=1024 + at) for at in range(len(made))]
    for at in range(len(made)):
        for byte in (0, 1, 127, 255):
            garbled = made[:at] + bytes([byte]) + made[at + 1 :]
            frames.append(segment(garbled, client=2000 + 4 * at + (0, 1, 127, 255).index(byte)))
    tables, ledger = read_all(pcap(frames))
    assert ledger.used == len(frames)
    told = set(tables["tls_client_hellos"]["sni"].drop_nulls())
    assert "a.example.com" in told
    assert max(map(len, told)) < 100, "nothing is read beyond the hello"


@needs_tshark
def test_rows_equal_those_of_tshark(tmp_path: Path) -> None:
    rng = random.Random(5)
    frames = []
    for number in range(120):
        parts = [versions(), extension(10, b"\x00\x02\x00\x1d"), extension(23, b"")]
        if number % 3:
            parts.append(sni(b"svc-%d.Example.com" % (number % 9)))
        if number % 4:
            parts.append(alpn(*(b"h2", b"http/1.1", b"grpc-exp")[: number % 4]))
        if number % 5 == 0:
            parts.append(KEY_SHARE)
        rng.shuffle(parts)
        made = hello(*parts)
        pieces = range(0, len(made), 1000)
        frames += [segment(made[at : at + 1000], seq=1 + at, client=40000 + number, ident=1 + at) for at in pieces]
    path = tmp_path / "t.pcap"
    path.write_bytes(pcap(frames))
    names = ("tcp.srcport", "tls.handshake.extensions_server_name", "tls.handshake.extensions_alpn_str")
    theirs = fields(path, *names, where="tls.handshake.type == 1", options=("-o", "tcp.check_checksum:false"))
    assert theirs is not None
    ours = [
        [str(row["client_port"]), row["sni"] or "", row["alpn"] or ""]
        for row in read_all(path.read_bytes())[0]["tls_client_hellos"].to_dicts()
    ]
    assert ours == [[port, name.lower(), protocols] for port, name, protocols in theirs]
    assert len(ours) == 120
