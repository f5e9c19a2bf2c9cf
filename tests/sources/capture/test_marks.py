"""Frames are found by the marks of a capture as they are by a walk through it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from analyzer.errors import InputError
from analyzer.sources.capture import SOURCE, marks
from analyzer.sources.capture.reader import frames_of
from analyzer.sources.contract import Item, Ledger, Marks
from analyzer.sources.stream import open_stream
from tests.sources.capture.make import dns_frame, enhanced, interface, pcap, query, section

FRAMES = [dns_frame(query(f"n{number}.example.com", number)) for number in range(1, 41)]
PCAPNG = section() + interface() + b"".join(enhanced(frame, 1000 * at) for at, frame in enumerate(FRAMES))


@pytest.fixture(autouse=True)
def _every_fourth_frame_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "EVERY", 4)


def _marks(path: Path) -> Marks | None:
    ledger = Ledger()
    with open_stream(Item(id="t", path=path), ledger, hashed=False) as stream:
        for _ in frames_of(stream, ledger, 512):
            pass
    return ledger.marks


def _both_ways(path: Path, *numbers: int) -> tuple[dict[int, str], dict[int, str]]:
    found = _marks(path)
    assert found is not None
    with open_stream(Item(id="t", path=path), Ledger(), hashed=False) as stream:
        by_walk = SOURCE.quote(stream, frozenset(numbers))
    with open_stream(Item(id="t", path=path), Ledger(), hashed=False) as stream:
        assert SOURCE.quote_by is not None
        return by_walk, SOURCE.quote_by(stream, frozenset(numbers), found)


@pytest.mark.parametrize("data", [pcap(FRAMES), pcap(FRAMES, magic=0xA1B23C4D, order=">"), PCAPNG])
@pytest.mark.parametrize("numbers", [(1,), (4, 5), (2, 23, 24, 25), (40,), (7, 99)])
@pytest.mark.parametrize("packed", [False, True])
def test_the_text_is_that_of_a_walk(tmp_path: Path, data: bytes, numbers: tuple[int, ...], packed: bool) -> None:
    path = tmp_path / "t"
    path.write_bytes(gzip.compress(data) if packed else data)
    by_walk, by_marks = _both_ways(path, *numbers)
    assert by_walk == by_marks
    assert set(by_marks) == {number for number in numbers if number <= 40}


def test_a_cut_tail_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(pcap(FRAMES)[:-5])
    by_walk, by_marks = _both_ways(path, 38, 39, 40)
    assert by_walk == by_marks
    assert set(by_marks) == {38, 39}


@pytest.mark.parametrize(
    "data",
    [
        pcap(FRAMES[:20]) + b"\xff" * 200 + pcap(FRAMES[20:])[24:],
        pcap(FRAMES[:20]) + pcap(FRAMES[20:]),
        PCAPNG + interface() + enhanced(FRAMES[0], 0, which=1),
        PCAPNG + PCAPNG,
        pcap(FRAMES[:4]),
    ],
    ids=["damage", "two files", "a late interface", "two sections", "too short"],
)
def test_nothing_is_marked_where_a_part_reads_differently_alone(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "t"
    path.write_bytes(data)
    assert _marks(path) is None


def test_marks_stay_few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(marks, "MARKS_MOST", 4)
    path = tmp_path / "t"
    path.write_bytes(pcap(FRAMES))
    found = _marks(path)
    assert found is not None
    assert (found.every, len(found.offsets)) == (16, 3)
    by_walk, by_marks = _both_ways(path, 3, 17, 31, 40)
    assert by_walk == by_marks


@pytest.mark.parametrize("made", [Marks(4, (24, 99, 98)), Marks(4, (0, -1)), Marks(0, (24, 99))])
def test_marks_that_cannot_be_are_refused(tmp_path: Path, made: Marks) -> None:
    path = tmp_path / "t"
    path.write_bytes(pcap(FRAMES))
    assert SOURCE.quote_by is not None
    with open_stream(Item(id="t", path=path), Ledger(), hashed=False) as stream, pytest.raises(InputError):
        SOURCE.quote_by(stream, frozenset({5}), made)
