from __future__ import annotations

import gzip
import hashlib
import os
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import IO

import pytest

from analyzer.errors import InputError
from analyzer.sources import files as module
from analyzer.sources.contract import Item, Ledger
from analyzer.sources.stream import open_stream


def item(path: Path) -> Item:
    return Item(id=path.name, path=path)


def test_the_bytes_the_size_and_the_hash_are_those_of_the_file(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    with open_stream(item(path), Ledger()) as stream:
        assert stream.peek(10) == data[:10]
        assert stream.read(5) == data[:5]
        assert stream.peek(4) == data[5:9]
        rest = b"".join(iter(lambda: stream.read(1_000_003), b""))
        assert rest == data[5:]
        assert stream.read(1) == b""
        assert stream.size == len(data)
        assert stream.sha256 == hashlib.sha256(data).hexdigest()


def test_the_hash_is_of_the_raw_bytes_and_of_all_of_them(tmp_path: Path) -> None:
    raw = gzip.compress(b"a line\n" * 10)
    path = tmp_path / "a.log.gz"
    path.write_bytes(raw)
    with open_stream(item(path), Ledger()) as stream:
        assert stream.read(6) == b"a line"
        assert stream.sha256 == hashlib.sha256(raw).hexdigest()
        assert stream.read(8) == b"\na line\n"


def test_the_hash_is_the_same_whoever_computes_it(tmp_path: Path) -> None:
    raw = bytes(range(256)) * 40_000
    path = tmp_path / "a.log"
    path.write_bytes(raw)
    with open_stream(item(path), Ledger()) as stream:
        stream.read(1 << 21)
        stream.hash_by_turns()
        while stream.read(1 << 20):
            pass
        assert stream.sha256 == hashlib.sha256(raw).hexdigest()


def test_who_hashes_by_turns_is_given_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(bytes(3 << 20))
    with open_stream(item(path), Ledger()) as stream:
        turn = stream.hash_by_turns()
        assert turn is not None
        assert not turn()
        stream.read(1 << 20)
        assert turn()
        assert stream.sha256 == hashlib.sha256(bytes(3 << 20)).hexdigest()
        assert not turn()
    with open_stream(item(path), Ledger(), hashed=False) as stream:
        assert stream.hash_by_turns() is None


def test_a_second_look_gives_the_same_bytes_without_a_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress(b"a line\n" * 10))
    with open_stream(item(path), Ledger(), hashed=False) as stream:
        assert stream.read(100) == b"a line\n" * 10
        assert stream.sha256 == ""


def test_a_refused_input_has_a_hash_too(tmp_path: Path) -> None:
    path = tmp_path / "a.7z"
    path.write_bytes(b"7z\xbc\xaf\x27\x1c and so on")
    with open_stream(item(path), Ledger()) as stream:
        with pytest.raises(InputError, match="7z archive"):
            stream.peek(10)
        assert stream.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_cannot_be_read_to_its_end_has_no_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n")
    with open_stream(item(path), Ledger()) as stream:
        stream._raw = Broken()
        assert stream.sha256 == ""


class Broken:
    size = 4

    def read(self, size: int) -> bytes:
        raise InputError("cannot be read beyond byte 0: Input/output error")


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.touch()
    with open_stream(item(path), Ledger()) as stream, pytest.raises(InputError, match=r"^empty file$"):
        stream.peek(10)


def test_a_growing_file_is_read_as_far_as_it_was_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n")
    ledger = Ledger()
    with open_stream(item(path), ledger) as stream:
        with path.open("ab") as more:
            more.write(b"two\n")
        assert stream.read(100) == b"one\n"
        assert stream.sha256 == hashlib.sha256(b"one\n").hexdigest()
    assert ledger.notes == ["the file grew while it was read; only its first 4 bytes were read"]


def test_a_replaced_file_a_cut_one_and_a_removed_one_are_noted(tmp_path: Path) -> None:
    told = []
    for change in ("replace", "cut", "remove"):
        path = tmp_path / "a.log"
        path.write_bytes(b"one\n")
        ledger = Ledger()
        with open_stream(item(path), ledger) as stream:
            if change == "cut":
                os.truncate(path, 2)
            else:
                path.unlink()
            if change == "replace":
                path.write_bytes(b"one\n")
            stream.read(100)
        told.append(ledger.notes[-1])
    assert "was replaced" in told[0]
    assert "was cut from 4 to 2 bytes" in told[1]
    assert "was removed" in told[2]


def test_a_quiet_file_leaves_no_note(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n")
    ledger = Ledger()
    with open_stream(item(path), ledger) as stream:
        stream.read(100)
    assert ledger.notes == []


def test_a_pipe_in_the_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"), open_stream(item(tmp_path / "pipe"), Ledger()):
        pass


def test_standard_input_can_be_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    spooled: list[IO[bytes]] = []
    monkeypatch.setattr(module, "_spooled", spooled)
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"one\ntwo\n")))
    stdin = Item(id="stdin", path=Path("-"))
    for _ in range(2):
        with open_stream(stdin, Ledger()) as stream:
            assert stream.read(100) == b"one\ntwo\n"
            assert stream.size == 8
    [file] = spooled
    file.close()
