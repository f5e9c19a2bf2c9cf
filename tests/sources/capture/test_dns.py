"""DNS messages: names as RFC 1035 and RFC 4343 want them, and every lie of RFC 9267 refused."""

from __future__ import annotations

import random
import struct

import dns.name
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.sources.capture import dns as decoder
from analyzer.sources.capture import dns_records
from analyzer.sources.capture.arrays import padded
from analyzer.sources.capture.dns_names import Names
from tests.sources.capture.make import (
    answer,
    dns_frame,
    ethernet,
    ipv4,
    pcap,
    query,
    read_all,
    record,
    soa,
    udp,
    wire_name,
)


def _wire(*labels: bytes) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _names(*wires: bytes) -> list[str]:
    data = padded(*wires)
    length = np.array([len(wire) for wire in wires], np.int64)
    return Names().texts(data, np.cumsum(length) - length, length).to_list()


def _state(message: bytes, *, whole: bool = True) -> int:
    data = padded(message)
    made = decoder.decode(data, np.array([0]), np.array([len(message)]), np.array([whole]))
    return int(made.state[0])


def _rows(*messages: bytes) -> list[dict[str, object]]:
    return read_all(pcap([dns_frame(message, ident=n + 1) for n, message in enumerate(messages)]))[0][
        "dns_messages"
    ].to_dicts()


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (_wire(b"API", b"Example", b"com"), "api.example.com"),
        (b"\0", ""),
        (_wire(b"kubernetes.default.svc"), r"kubernetes\.default\.svc"),
        (_wire(b"a\\b"), r"a\\b"),
        (_wire(b"\x1b[2J"), r"\027[2j"),
        (_wire(b"abc\0def"), r"abc\000def"),
        (_wire(b"\xff\xfe"), r"\255\254"),
        (_wire("т".encode()), r"\209\130"),
        (_wire(b"_dns-sd", b"_udp"), "_dns-sd._udp"),
        (_wire(b"a b"), r"a\032b"),
        (_wire(*[b"x" * 63] * 3, b"y" * 61), ".".join(["x" * 63] * 3 + ["y" * 61])),
    ],
)
def test_names_are_spelled(wire: bytes, text: str) -> None:
    assert _names(wire) == [text]


def test_a_label_of_46_octets_is_not_mistaken_for_a_dot() -> None:
    assert _names(_wire(b"a" * 46, b"b")) == ["a" * 46 + ".b"]


@given(st.lists(st.lists(st.binary(min_size=1, max_size=20), max_size=6), min_size=1, max_size=20))
def test_names_equal_those_of_dnspython(names: list[list[bytes]]) -> None:
    plain = str.maketrans({letter: f"\\{letter}" for letter in '"();@$'})
    want = [dns.name.Name([label.lower() for label in labels]).to_text(omit_final_dot=True) for labels in names]
    got = [text.translate(plain) or "@" for text in _names(*(_wire(*labels) for labels in names))]
    assert got == want


def test_thousands_of_distinct_names_keep_their_own_text() -> None:
    names = [f"n{n}.{'x' * (n % 60)}.example.com".replace("..", ".") for n in range(70_000)]
    speller = Names()
    for _ in range(2):
        data = padded(*map(wire_name, names))
        length = np.array([len(name) + 2 for name in names], np.int64)
        assert speller.texts(data, np.cumsum(length) - length, length).to_list() == names


def test_a_query_and_its_answer_fill_the_columns() -> None:
    asked, told = _rows(
        query("A.example.com", 7, 28), answer("a.example.com", 7, flags=0x8403, authority=[record(6, soa(5), ttl=30)])
    )
    assert (asked["dns_id"], asked["response"], asked["rcode"], asked["name"]) == (7, False, None, "a.example.com")
    assert (asked["qtype"], asked["answers"], asked["negative_ttl"], asked["transport"]) == ("AAAA", None, None, "udp")
    assert (told["response"], told["rcode"], told["answers"]) == (True, "NXDOMAIN", 0)
    assert (told["authoritative"], told["truncated"], told["negative_ttl"]) == (True, False, 5)


def test_a_negative_answer_lives_as_long_as_the_lesser_of_ttl_and_minimum() -> None:
    told = [
        _rows(answer("a.b", flags=flags, authority=[record(6, soa(minimum), ttl=ttl)]))[0]["negative_ttl"]
        for flags, ttl, minimum in ((0x8180, 30, 300), (0x8183, 300, 30), (0x8182, 30, 30))
    ]
    assert told == [30, 30, None]


def test_an_soa_among_the_answers_is_no_negative_answer() -> None:
    assert _rows(answer("a.b", records=[record(6, soa(30))]))[0]["negative_ttl"] is None


def test_unknown_codes_are_numbers_as_text() -> None:
    row = _rows(query("a.b", qtype=65280))[0]
    assert row["qtype"] == "TYPE65280"
    assert _rows(answer("a.b", flags=0x818D))[0]["rcode"] == "RCODE13"


def test_the_first_of_several_questions_is_told() -> None:
    message = struct.pack(">HHHHHH", 1, 0x0100, 2, 0, 0, 0)
    message += wire_name("one.example.com") + b"\0\1\0\1" + b"\3two\xc0\x10" + b"\0\x1c\0\1"
    assert [row["name"] for row in _rows(message)] == ["one.example.com"]
    assert _state(message[:-3]) == decoder.MALFORMED


def test_a_message_without_question_has_no_name() -> None:
    row = _rows(struct.pack(">HHHHHH", 1, 0x8181, 0, 0, 0, 0))[0]
    assert (row["name"], row["qtype"], row["rcode"]) == (None, None, "FORMERR")


HEAD = struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0)
END = b"\0\1\0\1"


@pytest.mark.parametrize(
    "message",
    [
        HEAD[:11],
        HEAD + b"\xc0\x0c" + END,
        HEAD + b"\xc0\x00" + END,
        HEAD + b"\x01a\xc0\x0c" + END,
        HEAD + b"\xff\xff" + END,
        HEAD + b"\x41a\0" + END,
        HEAD + b"\x81a\0" + END,
        HEAD + wire_name("a.b") + END[:3],
        HEAD + b"\x3fa",
        HEAD + _wire(*[b"x" * 63] * 3, b"y" * 62) + END,
        HEAD + _wire(*[b"x" * 63] * 400) + END,
        struct.pack(">HHHHHH", 1, 0, 65535, 0, 0, 0) + wire_name("a.b") + END,
        struct.pack(">HHHHHH", 1, 0x8180, 1, 9, 0, 0) + wire_name("a.b") + END,
        answer("a.b", records=[record(1, b"")]),
        answer("a.b", records=[record(1, b"12345")]),
        answer("a.b", records=[record(28, b"123")]),
        answer("a.b", records=[record(16, b"\xffab")]),
        answer("a.b", records=[record(33, b"\0\1\0\1\0\1\xc0\x2e")]),
        answer("a.b", records=[record(5, b"\xc0\xff")]),
        answer("a.b", records=[record(1, b"1234", owner=b"\xc0\x05")]),
        answer("a.b", records=[record(1, b"1234")])[:-2],
    ],
)
def test_malformed_messages_are_refused_and_counted(message: bytes) -> None:
    assert _state(message) == decoder.MALFORMED
    tables, ledger = read_all(pcap([dns_frame(message), dns_frame(query("good.example.com"))]))
    assert tables["dns_messages"]["name"].to_list() == ["good.example.com"]
    report = ledger.report(path="", kind="", sha256="", size=0)
    assert [(one.reason, one.places) for one in report.skipped_reasons] == [("malformed DNS", ("1",))]
    assert ledger.used == 1


@pytest.mark.parametrize(
    "message",
    [
        HEAD + _wire(*[b"x" * 63] * 3, b"y" * 61) + END,
        answer("a.b", records=[record(5, b"\3www\xc0\x0c"), record(1, b"1234", owner=b"\xc0\x21")]),
        answer("a.b", records=[record(16, b"\2ab\0\1c"), record(65280, b"anything")]),
        answer("a.b", flags=0x2800, records=[record(1, b"")]),
        answer("a.b", flags=0x8380, records=[record(1, b"1234")])[:-3],
    ],
)
def test_odd_but_legal_messages_are_read(message: bytes) -> None:
    assert _state(message) == decoder.GOOD


def test_a_message_of_thousands_of_expanding_records_is_bounded() -> None:
    name = _wire(*[b"x"] * 126)
    records = [record(5, b"\xc0\x0c") for _ in range(4500)]
    head = struct.pack(">HHHHHH", 1, 0x8180, 1, len(records), 0, 0)
    message = head + name + END + b"".join(records)
    _, ledger = read_all(pcap([ethernet(ipv4(udp(message, 53, 40000), 17, "10.96.0.10", "10.0.0.7"))]))
    assert ledger.used == 1
    assert "too many RRs" in ledger.notes[0]


def test_the_two_ways_to_check_a_name_agree() -> None:
    rng = random.Random(2)
    pieces = (b"\0", b"\1a", b"\3abc", b"\xc0\x0c", b"\xc0\x10", b"\xc0\x00", b"\x40", b"\xff", b"\x3f")
    for _ in range(60):
        body = bytes(12) + b"".join(rng.choice(pieces) for _ in range(60))
        data = padded(body)
        at = np.array([rng.randrange(12, len(body)) for _ in range(40)], np.int64)
        start, end = np.zeros(40, np.int64), np.full(40, len(body))
        one = [dns_records.name_end(data.data, place, 0, len(body)) for place in at.tolist()]
        assert dns_records.names_end(data, at, start, end).tolist() == one


def test_names_of_unequal_length_are_walked_together_to_their_own_ends() -> None:
    wires = [_wire(*[b"a"] * labels) for labels in (0, 1, 7, 8, 9, 126, 127)] + [_wire(b"a" * 63, b"b" * 63, b"c" * 63)]
    wires += [b"\x40" + b"a" * 64 + b"\0", b"\x03abc"]
    length = np.array([len(wire) for wire in wires], np.int64)
    end = np.cumsum(length)
    stop, broken, cut = decoder.plain_names(padded(*wires), end - length, end)
    assert broken.tolist() == [False] * 6 + [len(_wire(*[b"a"] * 127)) > 255, False, True, False]
    assert cut.tolist() == [False] * 9 + [True]
    good = ~broken & ~cut
    assert (stop[good] == end[good] - 1).all()
