"""Properties of the framing that hold for any capture: prefixes, damage, windows, and every way to store the bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors import InputError
from analyzer.sources import files as files_module
from analyzer.sources.capture.reader import frames_of
from analyzer.sources.contract import Item, Ledger
from analyzer.sources.stream import open_stream
from tests.sources.capture.make import EPOCH, block, enhanced, interface, pcap, section, simple

TICKS = EPOCH * 1_000_000
Frame = tuple[int, int, int, int, bytes]


def _frames(data: bytes, size: int = 8 << 20) -> tuple[list[Frame], Ledger]:
    """Number, time, wire length, link type and bytes of each frame."""
    ledger = Ledger()
    out: list[Frame] = []
    for window in frames_of(io.BytesIO(data), ledger, size):
        columns = (window.number, window.time, window.wire, window.link, window.start, window.end)
        for *told, start, end in zip(*(column.tolist() for column in columns), strict=True):
            out.append((told[0], told[1], told[2], told[3], window.data[start:end].tobytes()))
    return out, ledger


def _outcome(data: bytes, size: int = 8 << 20) -> tuple[list[Frame], int, int] | str:
    """The frames with what was lost, or why the capture was refused."""
    try:
        found, ledger = _frames(data, size)
    except InputError as refused:
        return str(refused)
    return found, ledger.skipped, ledger.incomplete_tail


bodies = st.lists(st.binary(min_size=1, max_size=90), min_size=1, max_size=30)


@st.composite
def captures(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    """A capture, and where each of its records ends; the first number is the end of what stands before them."""
    frames = draw(bodies)
    order = draw(st.sampled_from("<>"))
    if draw(st.booleans()):
        magic = draw(st.sampled_from((0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34)))
        head = 24 if magic == 0xA1B2CD34 else 16
        ends = [24]
        for frame in frames:
            ends.append(ends[-1] + head + len(frame))
        return pcap(frames, order=order, magic=magic), ends
    data, ends = section(order) + interface(order=order), [48]
    for number, frame in enumerate(frames):
        data += enhanced(frame, TICKS + number, order) if draw(st.booleans()) else simple(frame, order)
        ends.append(len(data))
    return data, ends


@settings(deadline=None, max_examples=150)
@given(captures(), st.data())
def test_a_cut_capture_gives_a_prefix_and_at_most_one_incomplete_record(
    capture: tuple[bytes, list[int]], data: st.DataObject
) -> None:
    whole, ends = capture
    cut = data.draw(st.integers(ends[0], len(whole)))
    found, ledger = _frames(whole[:cut])
    complete = sum(end <= cut for end in ends[1:])
    assert found == _frames(whole)[0][:complete]
    assert ledger.incomplete_tail == (cut not in ends)
    assert ledger.skipped == 0


@settings(deadline=None, max_examples=100)
@given(captures(), captures(), st.integers(1, 3000))
def test_joined_captures_give_the_frames_of_both_in_windows_of_any_size(
    one: tuple[bytes, list[int]], two: tuple[bytes, list[int]], size: int
) -> None:
    first, second = _frames(one[0])[0], _frames(two[0])[0]
    found, ledger = _frames(one[0] + two[0], size)
    assert found == first + [(number + len(first), *rest) for number, *rest in second]
    assert (ledger.skipped, ledger.incomplete_tail) == (0, 0)


@settings(deadline=None, max_examples=100)
@given(
    captures(), st.lists(st.tuples(st.integers(0, 1 << 30), st.binary(min_size=1, max_size=40)), max_size=3), st.data()
)
def test_damaged_captures_are_mended_alike_in_windows_of_any_size(
    capture: tuple[bytes, list[int]], hurts: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    whole, ends = capture
    out = bytearray(whole)
    for place, piece in hurts:
        at = ends[0] + place % (len(whole) - ends[0])
        out[at : at + len(piece)] = piece
    assert _outcome(bytes(out)) == _outcome(bytes(out), data.draw(st.integers(1, 3000)))


def _big() -> dict[str, bytes]:
    frames = [struct.pack(">I", number) * (3 + number % 40) for number in range(5000)]
    ng = section(">") + interface(order=">")
    ng += b"".join(enhanced(frame, TICKS + number, ">") for number, frame in enumerate(frames))
    return {"pcap": pcap(frames), "pcapng": ng + block(5, struct.pack(">III", 0, 0, 0), ">")}


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": gzip.compress,
    "gz in two members": lambda raw: gzip.compress(raw[:1000]) + gzip.compress(raw[1000:]),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda raw: zstandard.ZstdCompressor().compress(raw),
}


@pytest.mark.parametrize("how", PACKED)
@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_a_compressed_capture_gives_the_frames_of_the_plain_one(how: str, kind: str, tmp_path: Path) -> None:
    raw = _big()[kind]
    path = tmp_path / "capture"
    path.write_bytes(PACKED[how](raw))
    ledger, frames = Ledger(), 0
    with open_stream(Item(id="t", path=path), ledger) as stream:
        for window in frames_of(stream, ledger, 70_001):
            frames += len(window)
            numbers = window.number
    assert (frames, int(numbers[-1])) == (5000, 5000)
    assert _through(path, 70_001) == _frames(raw)[0]


def _through(path: Path, size: int) -> list[Frame]:
    ledger = Ledger()
    with open_stream(Item(id="t", path=path), ledger) as stream:
        data = b"".join(iter(lambda: stream.read(8191), b""))
    return _frames(data, size)[0]


def test_a_capture_on_standard_input_gives_the_frames_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = _big()["pcap"]
    spooled: list[IO[bytes]] = []
    monkeypatch.setattr(files_module, "_spooled", spooled)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    assert _through(Path("-"), 70_001) == _frames(raw)[0]
    spooled[0].close()
