"""Records of answer sections: owners, lives and values, as they are needed to follow a chain of names."""

from __future__ import annotations

import struct

import pytest

from analyzer.frames import DNS_ANSWERS, DNS_MESSAGES, Table
from analyzer.sources.capture.dns_records import RECORDS_MOST
from tests.sources.capture.make import answer, dns_frame, ethernet, ipv4, pcap, query, read_all, record, soa, tcp, udp
from tests.sources.capture.make import wire_name as wire

Row = tuple[int, str, str, int, str | None]


def _rows(*messages: bytes) -> list[Row]:
    tables, _ = read_all(pcap([dns_frame(message, 53, 40000, ident=n + 1) for n, message in enumerate(messages)]))
    return tables["dns_answers"].select("position", "name", "rtype", "ttl", "value").rows()


def test_a_chain_of_names_can_be_followed() -> None:
    # Offsets: question name at 12, data of the first record at 45, of the second at 63.
    chain = [
        record(5, b"\3web\xc0\x10", ttl=30),
        record(5, b"\4edge\3cdn\xc0\x18", ttl=5, owner=b"\xc0\x2d"),
        record(1, bytes([192, 0, 2, 1]), ttl=60, owner=b"\xc0\x3f"),
        record(28, bytes.fromhex("20010db8000000000000000000000001"), ttl=60, owner=b"\xc0\x3f"),
    ]
    assert _rows(answer("WWW.example.com", records=chain)) == [
        (1, "www.example.com", "CNAME", 30, "web.example.com"),
        (2, "web.example.com", "CNAME", 5, "edge.cdn.com"),
        (3, "edge.cdn.com", "A", 60, "192.0.2.1"),
        (4, "edge.cdn.com", "AAAA", 60, "2001:db8::1"),
    ]


@pytest.mark.parametrize(
    ("kind", "data", "text", "value"),
    [
        (2, wire("ns1.example.com"), "NS", "ns1.example.com"),
        (12, wire("Pod-0.Web"), "PTR", "pod-0.web"),
        (15, b"\0\x0a" + wire("mail.example.com"), "MX", "mail.example.com"),
        (33, b"\0\0\0\x64\x1f\x90" + wire("pod-0.web"), "SRV", "pod-0.web"),
        (39, wire("example.org"), "DNAME", "example.org"),
        (5, b"\0", "CNAME", ""),
        (5, b"\3a.b\xc0\x0c", "CNAME", r"a\.b.a.example.com"),
        (16, b"\2ab", "TXT", None),
        (6, soa(5), "SOA", None),
        (65280, b"anything", "TYPE65280", None),
    ],
)
def test_the_value_is_what_the_type_points_to(kind: int, data: bytes, text: str, value: str | None) -> None:
    assert _rows(answer("a.example.com", records=[record(kind, data)])) == [(1, "a.example.com", text, 30, value)]


def test_only_the_answer_section_of_answers_has_rows() -> None:
    asked = bytearray(answer("a.b", flags=0x0100, records=[record(1, b"1234")]))
    refused = answer("a.b", flags=0x8183, authority=[record(6, soa(5))])
    assert _rows(bytes(asked), refused, query("a.b")) == []


def test_records_of_other_classes_have_no_value() -> None:
    chaos = b"\xc0\x0c" + struct.pack(">HHIH", 1, 3, 0, 4) + b"1234"
    assert _rows(answer("a.b", records=[chaos])) == [(1, "a.b", "A", 0, None)]


def test_records_that_a_truncated_answer_still_holds_are_read() -> None:
    whole = answer("a.b", flags=0x8380, records=[record(1, bytes(4)), record(1, bytes(4))])
    assert _rows(whole[:-3]) == [(1, "a.b", "A", 30, "0.0.0.0")]


def test_a_message_that_proves_malformed_leaves_no_rows() -> None:
    good, bad = record(1, bytes(4)), record(1, bytes(3))
    assert _rows(answer("a.b", records=[good, bad]), answer("c.d", records=[good])) == [(1, "c.d", "A", 30, "0.0.0.0")]


def test_rows_stand_in_the_order_of_messages_and_records() -> None:
    messages = [
        answer(f"n{n}.b", n, records=[record(1, bytes([10, 0, n, m])) for m in range(n % 5)]) for n in range(40)
    ]
    tables, _ = read_all(pcap([dns_frame(message, 53, 40000, ident=n + 1) for n, message in enumerate(messages)]))
    got = tables["dns_answers"].select("number", "dns_id", "position", "name", "value").rows()
    assert got == [(n + 1, n, m + 1, f"n{n}.b", f"10.0.{n}.{m}") for n in range(40) for m in range(n % 5)]


def test_no_more_than_so_many_records_of_a_message_are_told() -> None:
    rows = _rows(answer("a.b", records=[record(1, bytes([10, 0, 0, n])) for n in range(80)]))
    assert [row[0] for row in rows] == list(range(1, RECORDS_MOST + 1))


def test_long_compressed_names_are_unpacked_to_their_last_label() -> None:
    longest = ".".join(["x" * 63] * 3 + ["y" * 57])
    rows = _rows(*(answer(longest, records=[record(5, b"\3abc\xc0\x0c", owner=b"\xc0\x4c")]) for _ in range(20)))
    assert set(rows) == {(1, longest[64:], "CNAME", 30, f"abc.{longest}")}


def test_copies_are_marked_among_the_records_as_well() -> None:
    frame = dns_frame(answer("a.b", records=[record(1, bytes(4))]), 53, 40000)
    tables, _ = read_all(pcap([(0.0, frame), (0.0005, frame)]))
    assert tables["dns_answers"]["duplicate"].to_list() == [False, True]


def test_two_answers_in_one_segment_keep_their_records_apart() -> None:
    both = b"".join(
        struct.pack(">H", len(m)) + m for m in (answer("a.b", n, records=[record(1, bytes([n] * 4))]) for n in (1, 2))
    )
    frame = ethernet(ipv4(tcp(both, 53, 40000), 6, "10.96.0.10", "10.0.0.7"))
    rows = read_all(pcap([frame]))[0]["dns_answers"].select("number", "dns_id", "value").rows()
    assert rows == [(1, 1, "1.1.1.1"), (1, 2, "2.2.2.2")]


def test_a_message_cut_by_the_snap_length_tells_what_it_holds() -> None:
    message = answer("a.b", records=[record(1, bytes([n] * 4)) for n in range(3)])
    frame = ethernet(ipv4(udp(message, 53, 40000), 17, "10.96.0.10", "10.0.0.7"))
    tables, _ = read_all(pcap([frame], snaplen=len(frame) - 10))
    assert tables["dns_messages"]["answers"].to_list() == [3]
    assert tables["dns_answers"]["value"].to_list() == ["0.0.0.0", "1.1.1.1"]


@pytest.mark.parametrize("table", [DNS_MESSAGES, DNS_ANSWERS], ids=lambda table: table.name)
def test_columns_stand_in_the_order_of_the_contract(table: Table) -> None:
    tables, _ = read_all(pcap([dns_frame(answer("a.b", records=[record(1, bytes(4))]), 53, 40000)]))
    assert tables[table.name].columns == [column.name for column in table.cols]
