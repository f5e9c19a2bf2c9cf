from __future__ import annotations

from io import BytesIO

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import kernels
from analyzer.sources.contract import Ledger
from analyzer.sources.lines import line_ends, line_frame, line_places, newlines, quote_lines, text_head, windows
from analyzer.sources.textwindow import Window

LINES = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=12)


def plainly(data: bytes) -> list[tuple[int, str, int]]:
    """What the columns of a window should be, line by line in Python."""
    lines = data.split(b"\n")
    ended = [*(len(line) + 1 for line in lines[:-1]), len(lines[-1])]
    rows = []
    for number, (line, length) in enumerate(zip(lines, ended, strict=True), 1):
        text = line.decode("utf-8", "replace").removesuffix("\r")
        text = text.lstrip("\0") or text[:1]
        if text:
            rows.append((number, text, length))
    return rows


@pytest.mark.parametrize("by", ["kernels", "numpy"])
@given(st.lists(st.sampled_from([b"", b"x", b"a line of some length, with text in it" * 3]), max_size=200))
def test_line_feeds_are_found_and_counted(by: str, lines: list[bytes]) -> None:
    data = b"\n".join(lines)
    with pytest.MonkeyPatch.context() as patch:
        if by == "numpy":
            patch.setattr(kernels, "_library", None)
        assert line_ends(data).tolist() == [at for at, byte in enumerate(data) if byte == ord("\n")]
        assert newlines(data) == data.count(b"\n")


class Drips:
    """A stream that gives a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._size = BytesIO(data), size

    def read(self, size: int) -> bytes:
        return self._data.read(min(size, self._size))


@given(LINES, st.booleans())
def test_columns_are_what_splitting_at_newlines_gives(lines: list[bytes], ended: bool) -> None:
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    assert line_frame(Window(1, data)).rows() == plainly(data)


@given(LINES)
def test_places_are_those_of_the_lines_that_are_not_empty(lines: list[bytes]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    numbers, sizes = line_places(Window(7, data))
    filled = [(7 + at, len(line) + 1) for at, line in enumerate(lines) if line]
    assert list(zip(numbers.tolist(), sizes.tolist(), strict=True)) == filled


@given(LINES, st.integers(1, 9), st.integers(1, 30))
def test_windows_hold_every_line_once_however_the_bytes_come(lines: list[bytes], drip: int, size: int) -> None:
    data = b"\n".join([b"first line", *lines])
    found = list(windows(Drips(data, drip), Ledger(), size=size))
    assert b"".join(window.data for window in found) == data
    for window in found:
        assert data[: data.find(window.data)].count(b"\n") <= window.first_number - 1
    assert [window.data.endswith(b"\n") for window in found[:-1]] == [True] * (len(found) - 1)


def test_a_window_knows_the_number_of_its_first_line() -> None:
    found = windows(BytesIO(b"a\nb\nc\nd\n"), Ledger(), size=4)
    assert [(window.first_number, window.data) for window in found] == [(1, b"a\nb\n"), (3, b"c\nd\n")]


def test_a_line_beyond_the_limit_is_counted_and_leaves_the_others_in_step() -> None:
    ledger = Ledger()
    data = b"a\n" + b"x" * 5000 + b"\nb\n"
    frame = pl.concat(line_frame(window) for window in windows(BytesIO(data), ledger, size=100, limit=1000))
    assert frame.select("number", "text").rows() == [(1, "a"), (3, "b")]
    assert ledger.skipped == 1
    assert "line 2" in ledger.notes[0]


def test_a_long_line_without_an_end_is_counted_once() -> None:
    ledger = Ledger()
    assert list(windows(BytesIO(b"x" * 5000), ledger, size=100, limit=1000)) == []
    assert ledger.records == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-16-le"])
def test_text_is_made_utf8_without_a_mark(encoding: str) -> None:
    text = "a line of plain words, an é and a 😀\nanother\n"
    data = (b"\xfe\xff" if encoding == "utf-16-be" else b"") + text.encode(encoding)
    found = b"".join(window.data for window in windows(Drips(data, 7), Ledger(), size=64))
    assert found == text.encode()
    assert text_head(data) == text.encode()


def test_only_a_line_feed_ends_a_line() -> None:
    text = "a\rb\x0bc\x0cd\x85e\u2028f"
    assert line_frame(Window(1, f"{text}\n".encode()))["text"].to_list() == [text]


def test_quotes_are_cut_and_do_not_break_on_bytes_that_are_no_text() -> None:
    data = b"one\r\n\xff\xfe two\n" + b"x" * 3000 + b"\nlast"
    quotes = quote_lines(BytesIO(data), frozenset({1, 2, 3, 4, 99}))
    assert quotes[1] == "one"
    assert quotes[2] == "\ufffd\ufffd two"
    assert quotes[3] == "x" * 2048
    assert quotes[4] == "last"
    assert 99 not in quotes


def test_quotes_are_found_across_windows() -> None:
    data = b"".join(b"line %07d\n" % number for number in range(1, 800_000))
    assert quote_lines(BytesIO(data), frozenset({3, 790_000})) == {3: "line 0000003", 790_000: "line 0790000"}
