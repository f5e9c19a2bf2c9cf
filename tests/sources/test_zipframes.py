"""Zip: the library's writer is the oracle for what is whole, the rest is cut and damaged by hand."""

from __future__ import annotations

import io
import shutil
import stat
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import InputError
from analyzer.sources import containers
from analyzer.sources.contract import Ledger
from analyzer.sources.entries import DIRECTORY, Entry
from analyzer.sources.zipframes import unpacked, zip_entries
from tests.sources.bundles import klog, reading_of, zip_of


def nothing(count: int) -> None:
    """Nobody counts here."""


def walked(data: bytes) -> tuple[list[Entry], list[str]]:
    ledger = Ledger()
    read_at = lambda offset, size: data[offset : offset + size]  # noqa: E731
    return list(zip_entries(read_at, len(data), ledger, nothing)), ledger.notes


def contents(data: bytes) -> list[tuple[str, bytes]]:
    read_at = lambda offset, size: data[offset : offset + size]  # noqa: E731
    return [
        (one.name, b"".join(unpacked(read_at, one.member, Ledger(), nothing))) for one in walked(data)[0] if not one.why
    ]


def streamed(*files: tuple[str, bytes]) -> bytes:
    """As written into a pipe: sizes and checksum stand behind the data."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, offset: int, whence: int = 0) -> int:
            raise OSError("a pipe")

        def tell(self) -> int:
            raise OSError("a pipe")

    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@given(files=st.dictionaries(st.from_regex(r"[a-z\u00e4/]{1,20}[a-z]", fullmatch=True), st.binary(max_size=5000)))
def test_what_the_library_wrote_is_found(method: int, files: dict[str, bytes]) -> None:
    data = zip_of(files.items(), method)
    assert contents(data) == list(files.items())
    assert walked(data)[1] == []


def test_streamed_ones_and_those_with_something_before_them_are_read() -> None:
    data = streamed(("a.log", klog(50)), ("b.log", klog(3)))
    assert contents(data) == [("a.log", klog(50)), ("b.log", klog(3))]
    assert contents(b"#!/bin/sh\n" + data) == contents(data)


def test_sizes_of_64_bits_are_read() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("a.log", "w", force_zip64=True) as file:
        file.write(klog(3))
    assert contents(out.getvalue()) == [("a.log", klog(3))]


def test_directories_are_named_as_such() -> None:
    assert [one.why for one in walked(zip_of([("dir/", b""), ("dir/a", b"1")]))[0]] == [DIRECTORY, ""]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_pipes_and_devices_are_not_followed(kind: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("k.log")
        info.external_attr = (kind | 0o644) << 16
        archive.writestr(info, "/etc/passwd")
    [entry] = walked(out.getvalue())[0]
    assert entry.why.endswith(("not followed", "not opened"))


def test_an_encrypted_member_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    data = bytearray(zip_of([("a.log", klog(3)), ("b.log", klog(4))]))
    at = data.find(b"PK\1\2")
    data[at + 8] |= 1
    found = reading_of(tmp_path, bytes(data))
    assert found.used == {"b.tar!b.log": 4}
    assert found.errors["b.tar!a.log"].startswith("encrypted: unpack")


def test_other_compressions_are_named() -> None:
    for method, name in ((zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "lzma")):
        [entry] = walked(zip_of([("a.log", klog(3))], method))[0]
        assert entry.why == f"compressed with {name}, which is not read in a zip archive"


def test_a_wrong_checksum_costs_no_data(tmp_path: Path) -> None:
    data = bytearray(zip_of([("k.log", klog(5))]))
    data[data.find(b"PK\1\2") + 16] ^= 1
    report = reading_of(tmp_path, bytes(data)).reports["b.tar!k.log"]
    assert report.used == 5
    assert any("checksum mismatch" in note for note in report.notes)


@pytest.mark.parametrize("claim", [1, 100_000, 0xFFFFFFFE])
def test_a_lie_about_the_size_is_told_and_never_believed(claim: int, tmp_path: Path) -> None:
    data = bytearray(zip_of([("k.log", klog(5))], zipfile.ZIP_STORED))
    struct.pack_into("<L", data, data.find(b"PK\1\2") + 24, claim)
    report = reading_of(tmp_path, bytes(data)).reports["b.tar!k.log"]
    assert report.used == 5
    assert report.bytes == len(klog(5))
    assert any(f"claims {claim} bytes" in note for note in report.notes)


def test_a_bomb_that_hides_its_size_is_stopped(tmp_path: Path) -> None:
    data = bytearray(zip_of([("k.log", klog(1) + bytes(200 << 20))]))
    struct.pack_into("<L", data, data.find(b"PK\1\2") + 24, 100)
    report = reading_of(tmp_path, bytes(data)).reports["b.tar!k.log"]
    assert "bomb" in report.error


def test_members_that_share_their_data_are_counted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "RATIO_FROM", 1 << 20)
    data = zip_of([("k.log", klog(1) + b"\n" * (900 << 10))])
    at, end = data.find(b"PK\1\2"), data.find(b"PK\5\6")
    entry, count = data[at:end], 30
    record = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, count, count, count * len(entry), at, 0)
    found = reading_of(tmp_path, data[:at] + entry * count + record)
    assert any("all members of the archive together" in why for why in found.errors.values())


def test_a_cut_archive_gives_the_whole_members_and_the_cut_one_as_far_as_it_goes(tmp_path: Path) -> None:
    data = zip_of([("a.log", klog(4)), ("b.log", klog(2000, "a" * 30))])
    found = reading_of(tmp_path, data[: data.find(b"PK\1\2") - 1000])
    assert found.used["b.tar!a.log"] == 4
    assert 100 < found.used["b.tar!b.log"] < 2000
    assert any("ends early" in note for note in found.reports["b.tar!b.log"].notes)
    assert "header by header" in found.errors["b.tar"]


def test_a_cut_stored_member_is_told() -> None:
    data = zip_of([("a.log", klog(4))], zipfile.ZIP_STORED)[:200]
    [entry], notes = walked(data)
    ledger = Ledger()
    read_at = lambda offset, size: data[offset : offset + size]  # noqa: E731
    text = b"".join(unpacked(read_at, entry.member, ledger, nothing))
    assert klog(4).startswith(text)
    assert ledger.notes == [f"the zip archive claims {len(klog(4))} bytes for this member, there are {len(text)}"]
    assert "too early" in notes[1]


def test_a_cut_streamed_archive_is_read_by_inflating() -> None:
    data = streamed(("a.log", klog(50)), ("b.log", klog(3)))
    assert contents(data[: data.find(b"PK\1\2")]) == [("a.log", klog(50)), ("b.log", klog(3))]


def test_a_directory_that_claims_more_than_it_holds_is_told() -> None:
    data = bytearray(zip_of([("a.log", b"1")]))
    at = data.find(b"PK\5\6")
    data[at + 8], data[at + 10] = 9, 9
    assert walked(bytes(data))[1] == ["the directory of the zip archive claims 9 members and holds 1"]


def test_the_zip_of_info_zip_is_read(tmp_path: Path) -> None:
    if shutil.which("zip") is None:
        pytest.skip("no zip here")
    (tmp_path / "k.log").write_bytes(klog(90))
    for words in (["zip", "-q", "-", "k.log"], ["zip", "-q", "-0", "-", "k.log"]):
        made = subprocess.run(words, cwd=tmp_path, capture_output=True, check=True).stdout
        assert contents(made) == [("k.log", klog(90))]


@given(st.data())
def test_no_damage_breaks_the_walk(data: st.DataObject) -> None:
    raw = bytearray(zip_of([("a.log", b"1" * 600), ("b.log", b"2" * 10)]))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    damaged = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        found = contents(damaged)
    except InputError:
        return
    assert len(found) <= 2
    assert all(len(text) <= 10_000 for _, text in found)
