"""Every block type of pcapng: packets are read, statistics told, all else skipped by its length and counted."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.sources.capture.make import (
    EPOCH,
    block,
    dns_frame,
    enhanced,
    interface,
    option,
    query,
    read_all,
    section,
)
from tests.sources.capture.oracle import fields, needs_capinfos, needs_tshark, packet_count

FRAMES = [dns_frame(query(f"svc{n}.example.com", n), ident=n + 1) for n in range(4)]
TICKS = EPOCH * 1_000_000
ORDERS = ["<", ">"]
NOT_PACKETS = {
    "name resolution": block(4, struct.pack("<HH", 1, 8) + bytes([10, 0, 0, 7]) + b"a.b\0" + bytes(4)),
    "systemd journal entries": block(9, b"__REALTIME_TIMESTAMP=1767225600000000\nMESSAGE=hello\n\n"),
    "decryption secrets": block(10, struct.pack("<II", 0x544C534B, 8) + b"CLIENT_R"),
    "custom content": block(0x00000BAD, struct.pack("<I", 32473) + b"CANARY--"),
    "custom content, not to be copied": block(0x40000BAD, struct.pack("<I", 32473) + b"CANARY--"),
    "unknown type": block(0x80001234, b"whatever"),
}


def _statistics(which: int, received: int | None, dropped: int | None, order: str = "<") -> bytes:
    told = b""
    for code, value in ((4, received), (5, dropped)):
        told += b"" if value is None else option(code, struct.pack(f"{order}Q", value), order)
    return block(5, struct.pack(f"{order}III", which, 0, 0) + told, order)


def _named(name: str, order: str = "<") -> bytes:
    return interface(options=option(2, name.encode(), order), order=order)


@pytest.mark.parametrize("what", NOT_PACKETS)
def test_a_block_that_holds_no_packet_is_skipped_by_its_length(what: str) -> None:
    data = section() + interface() + NOT_PACKETS[what]
    data += b"".join(enhanced(frame, TICKS + n) + NOT_PACKETS[what] for n, frame in enumerate(FRAMES))
    tables, ledger = read_all(data)
    assert (tables["packets"].height, ledger.used, ledger.skipped) == (4, 4, 0)
    # What may be anyone's extension is no loss of evidence while all else is whole.
    told = what in ("name resolution", "systemd journal entries", "decryption secrets")
    assert ledger.notes == ([f"5 blocks of {what} were not used"] if told else [])
    everything = "".join(table.write_json() for table in tables.values()) + repr(ledger)
    assert "CANARY" not in everything


def test_blocks_of_unknown_types_are_told_where_something_is_damaged() -> None:
    odd, custom = NOT_PACKETS["unknown type"], NOT_PACKETS["custom content"]
    data = section() + interface() + odd + custom + enhanced(FRAMES[0], TICKS) + bytes(8) + enhanced(FRAMES[1], TICKS)
    _, ledger = read_all(data)
    assert ledger.used == 2
    assert "1 blocks of unknown type were not used" in ledger.notes
    assert "1 blocks of custom content were not used" in ledger.notes


@pytest.mark.parametrize("order", ORDERS)
def test_drops_are_told_for_each_interface_by_its_name(order: str) -> None:
    data = section(order) + _named("eth0", order) + _named("veth\x1b[2J1", order) + interface(order=order)
    data += enhanced(FRAMES[0], TICKS, order)
    # Counters run on: the last one counts.
    data += _statistics(0, 10, 3, order) + _statistics(0, 1_000_000, 12_422, order)
    data += _statistics(1, None, 5, order) + _statistics(2, 7, 0, order) + _statistics(77, 1, 999, order)
    assert read_all(data)[1].notes == [
        "12427 packets were dropped at capture time",
        "interface eth0: 12,422 of 1,000,000 packets dropped at capture time",
        "interface veth\\x1b[2J1: 5 packets dropped at capture time",
    ]


def test_of_many_statistics_the_last_of_each_interface_counts() -> None:
    data = section() + _named("a") + _named("b") + enhanced(FRAMES[0], TICKS)
    data += b"".join(_statistics(n % 2, 1000 + n, n) for n in range(500))
    assert read_all(data)[1].notes[1:] == [
        "interface b: 499 of 1,499 packets dropped at capture time",
        "interface a: 498 of 1,498 packets dropped at capture time",
    ]


@pytest.mark.parametrize("order", ORDERS)
def test_drop_counts_beside_packets_are_summed(order: str) -> None:
    count = option(2, struct.pack(f"{order}I", 1), order) + option(4, struct.pack(f"{order}Q", 7), order)
    head = struct.pack(f"{order}IIIII", 0, TICKS >> 32, TICKS & 0xFFFFFFFF, len(FRAMES[0]), len(FRAMES[0]))
    padded = FRAMES[0] + bytes(-len(FRAMES[0]) % 4)
    old = struct.pack(f"{order}HHIIII", 0, 5, TICKS >> 32, TICKS & 0xFFFFFFFF, len(FRAMES[1]), len(FRAMES[1]))
    unknown = struct.pack(f"{order}HHIIII", 0, 0xFFFF, TICKS >> 32, TICKS & 0xFFFFFFFF, len(FRAMES[2]), len(FRAMES[2]))
    data = section(order) + interface(order=order) + block(6, head + padded + count, order) * 2
    data += block(2, old + FRAMES[1], order) + block(2, unknown + FRAMES[2], order)
    assert "19 packets were dropped between captured ones, by the counts in their blocks" in read_all(data)[1].notes


def test_an_option_that_lies_about_its_length_is_not_followed() -> None:
    head = struct.pack("<IIIII", 0, TICKS >> 32, TICKS & 0xFFFFFFFF, 4, 4)
    lie = option(1, b"note") + struct.pack("<HH", 4, 8) + b"\7\0\0\0"
    _, ledger = read_all(section() + interface() + block(6, head + b"abcd" + lie) + block(6, head + b"abcd"))
    assert not any("dropped" in note for note in ledger.notes)


def test_of_one_section_65536_interfaces_are_known() -> None:
    data = section() + interface() * 65_540 + enhanced(FRAMES[0], TICKS, which=65_535)
    data += enhanced(FRAMES[1], TICKS, which=65_536) + section() + interface() + enhanced(FRAMES[2], TICKS)
    for size in (300_000, 8 << 20):
        tables, ledger = read_all(data, size)
        assert tables["packets"]["interface"].to_list() == [65_535, 0], size
        assert ledger.skipped == 1


@needs_capinfos
@needs_tshark
@pytest.mark.parametrize("order", ORDERS)
def test_frames_are_counted_and_numbered_as_wireshark_does_among_all_block_types(order: str, tmp_path: Path) -> None:
    data = section(order) + interface(order=order)
    for number, frame in enumerate(FRAMES):
        data += enhanced(frame, TICKS + number, order) + block(0x0BAD, struct.pack(f"{order}I", 1) + b"xy", order)
        data += block(9, b"__REALTIME_TIMESTAMP=1767225600000000\nMESSAGE=a\n", order)
        data += block(0x0000_1234, b"", order) + _statistics(0, 5, 1, order)
    path = tmp_path / "t.pcapng"
    path.write_bytes(data)
    tables, ledger = read_all(data)
    assert packet_count(path) == ledger.records == 4
    assert [[str(number)] for number in tables["packets"]["number"]] == fields(path, "frame.number", where="udp")
