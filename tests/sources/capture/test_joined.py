"""Captures put together with `cat`: each one is read as it would be alone, and frames are numbered through."""

from __future__ import annotations

import random
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.capture.make import (
    EPOCH,
    cooked2,
    dns_frame,
    enhanced,
    interface,
    ipv4,
    option,
    pcap,
    query,
    read_all,
    section,
    udp,
)

TICKS = EPOCH * 1_000_000


def _frames(count: int, name: str) -> list[bytes]:
    return [dns_frame(query(f"{name}{n}.example.com", n & 0xFFFF), ident=n & 0xFFFF) for n in range(count)]


def _ng(frames: list[bytes], order: str = "<") -> bytes:
    blocks = b"".join(enhanced(frame, TICKS + 1000 * n, order) for n, frame in enumerate(frames))
    return section(order) + interface(order=order) + blocks


def _cooked(count: int) -> list[bytes]:
    return [
        cooked2(ipv4(udp(query(f"c{n}.example.com", n), 40000, 53), 17, "10.0.0.8", "10.96.0.10", ident=n + 1), 3)
        for n in range(count)
    ]


FILES = {
    "little": pcap(_frames(7, "a")),
    "big": pcap(_frames(5, "b"), order=">"),
    "nano": pcap(_frames(6, "n"), magic=0xA1B23C4D, step=5.0),
    "modified": pcap(_frames(6, "m"), magic=0xA1B2CD34, order=">"),
    "cooked": pcap(_cooked(8), link=276),
    "empty": pcap([]),
    "ng": _ng(_frames(9, "g")),
    "ng big": _ng(_frames(4, "h"), ">"),
}

Row = tuple[datetime, str, int]


def _rows(data: bytes, size: int = 8 << 20) -> tuple[list[Row], list[int]]:
    table = read_all(data, size)[0]["dns_messages"]
    return table.select("time", "name", "wire_bytes").rows(), table["number"].to_list()


@pytest.mark.parametrize("first", FILES)
@pytest.mark.parametrize("second", FILES)
def test_two_files_one_after_the_other_give_the_frames_of_both(first: str, second: str) -> None:
    rows, numbers = _rows(FILES[first] + FILES[second])
    assert rows == _rows(FILES[first])[0] + _rows(FILES[second])[0]
    assert numbers == list(range(1, len(rows) + 1))


def test_a_note_tells_how_many_files_stand_in_it() -> None:
    _, ledger = read_all(FILES["little"] + FILES["empty"] + FILES["ng"] + FILES["ng big"])
    assert (ledger.used, ledger.skipped, ledger.incomplete_tail) == (20, 0, 0)
    # Sections that follow each other are one pcapng file.
    assert ledger.notes == ["3 capture files stand in it one after the other; frames are numbered through"]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from(sorted(FILES)), min_size=1, max_size=5), st.integers(1, 700))
def test_windows_of_any_size_give_the_same_frames(names: list[str], size: int) -> None:
    data = b"".join(FILES[name] for name in names)
    rows, numbers = _rows(data, size)
    assert rows == [row for name in names for row in _rows(FILES[name])[0]]
    assert numbers == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("second", ["little", "big", "nano", "cooked", "ng", "ng big"])
def test_a_file_whose_end_is_cut_does_not_swallow_the_next(second: str) -> None:
    for first in ("little", "ng"):
        for cut in (1, 30, 60):
            for size in (97, 8 << 20):
                data = FILES[first][:-cut] + FILES[second]
                rows, _ = _rows(data, size)
                assert rows == _rows(FILES[first])[0][:-1] + _rows(FILES[second])[0], (first, cut, size)
                assert read_all(data, size)[1].skipped == 1


def test_a_header_that_is_cut_is_an_incomplete_tail() -> None:
    for cut in range(8, 24):
        _, ledger = read_all(FILES["little"] + FILES["big"][:cut])
        assert (ledger.used, ledger.skipped, ledger.incomplete_tail) == (7, 0, 1), cut


def test_a_capture_that_a_packet_carries_is_no_file_of_its_own() -> None:
    inside = ipv4(udp(FILES["little"], 40000, 9999), 17, "10.0.0.7", "10.0.0.8")
    frames = [dns_frame(query("a.example.com")), b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + inside]
    for data in (pcap(frames * 3), _ng(frames * 3)):
        tables, ledger = read_all(data)
        assert (ledger.records, tables["packets"].height) == (6, 6)
        assert not any("one after the other" in note for note in ledger.notes)


def test_zero_bytes_between_two_files_are_told() -> None:
    _, ledger = read_all(FILES["little"] + bytes(512) + FILES["big"])
    assert (ledger.used, ledger.skipped) == (12, 0)
    assert f"512 zero bytes at offset {len(FILES['little'])}" in ledger.notes


def test_thousands_of_files_end_at_a_limit_that_is_told() -> None:
    _, ledger = read_all(FILES["empty"] * 5000)
    assert "only the first 4096 capture files in it were read" in ledger.notes
    assert ledger.records == 1


def test_a_section_has_interfaces_of_its_own_after_another_file() -> None:
    nano = section() + interface(options=option(9, b"\x09")) + enhanced(_frames(1, "x")[0], TICKS * 1000)
    rows, _ = _rows(FILES["ng"] + FILES["little"] + nano)
    assert rows[-1][0] == rows[0][0]


def test_files_of_thousands_of_frames_are_joined_across_windows() -> None:
    rng = random.Random(3)
    parts = [pcap(_frames(3000, "a"), step=0.00005), pcap(_frames(2500, "b"), order=">"), _ng(_frames(2000, "c"))]
    whole = [row for part in parts for row in _rows(part)[0]]
    for _ in range(3):
        assert _rows(b"".join(parts), rng.randrange(3000, 300_000))[0] == whole
