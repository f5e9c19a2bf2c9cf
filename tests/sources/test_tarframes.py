"""Tar, header by header: the library's writer is the oracle for what is whole, the rest is cut and damaged by hand."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.sources import entries
from analyzer.sources.contract import Ledger
from analyzer.sources.entries import Entry
from analyzer.sources.tarframes import BLOCK, is_tar, tar_entries
from tests.sources.bundles import klog, reading_of, regular, special, tar, tar_of

LONG = "a-directory/" * 30 + "audit.log"


class Held:
    """A tar in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def read_at(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]


def walked(data: bytes) -> tuple[list[Entry], list[str]]:
    ledger = Ledger()
    return list(tar_entries(Held(data), ledger)), ledger.notes


def contents(data: bytes) -> list[tuple[str, bytes]]:
    found, _ = walked(data)
    return [(e.name, data[e.member.start :][: e.member.size]) for e in found if not e.why]


def header(name: str = "k.log", size: bytes = b"00000000012\0", kind: bytes = b"0") -> bytes:
    """A header with the right checksum, whatever it says."""
    block = bytearray(BLOCK)
    block[: len(name)] = name.encode()
    block[124:136], block[156:157], block[257:265] = size, kind, b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@given(
    files=st.lists(
        st.tuples(
            st.text(st.characters(codec="ascii", min_codepoint=97), min_size=1, max_size=90), st.binary(max_size=2000)
        )
    )
)
def test_what_the_library_wrote_is_found(format: int, files: list[tuple[str, bytes]]) -> None:
    assert contents(tar(*(regular(*one) for one in files), format=format)) == [
        (name.rstrip("/"), data) for name, data in files
    ]


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", [LONG, "protokoll-\u00e4\u65e5.log"])
def test_long_and_foreign_names_are_read(format: int, name: str) -> None:
    assert contents(tar(regular(name, b"one"), regular("two", b"2"), format=format)) == [(name, b"one"), ("two", b"2")]


def test_a_name_in_two_parts_is_read() -> None:
    name = "a-directory/" * 12 + "audit.log"
    assert contents(tar(regular(name, b"one"), format=tarfile.USTAR_FORMAT)) == [(name, b"one")]


def test_the_tar_of_gnu_is_read(tmp_path: Path) -> None:
    if shutil.which("tar") is None:
        pytest.skip("no tar here")
    (tmp_path / "k.log").write_bytes(klog())
    with (tmp_path / "hole").open("wb") as hole:
        hole.truncate(10 << 20)
        hole.seek(5 << 20)
        hole.write(b"x")
    for form in ("v7", "oldgnu", "gnu", "posix"):
        sparse = [] if form == "v7" else ["--sparse"]
        made = subprocess.run(
            ["tar", f"--format={form}", *sparse, "-cf", "-", "hole", "k.log"],
            cwd=tmp_path,
            capture_output=True,
            check=True,
        ).stdout
        assert is_tar(made)
        assert contents(made)[-1] == ("k.log", klog())
        if sparse:
            assert next((e.name.rsplit("/")[-1], e.why[:8]) for e in walked(made)[0]) == ("hole", "a sparse")


def test_sizes_may_be_binary() -> None:
    data = header(size=b"\x80" + bytes(9) + b"\0\x0a") + b"0123456789" + bytes(502) + bytes(1024)
    assert contents(data) == [("k.log", b"0123456789")]


def test_an_archive_that_is_whole_leaves_no_note() -> None:
    assert walked(tar(special("d", tarfile.DIRTYPE), regular("k.log", b"x" * 600)))[1] == []


def test_a_cut_archive_gives_the_whole_members_and_the_cut_one_as_far_as_it_goes(tmp_path: Path) -> None:
    data = tar_of([("a.log", klog(4)), ("b.log", klog(100))])
    found = reading_of(tmp_path, data[: 512 + 512 + 512 + 60 * 10 - 20])
    report = found.reports["b.tar!b.log"]
    assert found.used["b.tar!a.log"] == 4
    assert (report.used + report.incomplete_tail, report.incomplete_tail) == (report.records, 1)
    assert report.bytes < len(klog(100))
    assert any("bytes before the end of this member" in note for note in report.notes)
    assert "too early, inside b.log" in found.errors["b.tar"]


def test_every_cut_is_told_and_costs_no_member_before_it() -> None:
    data = tar_of([("a", b"1" * 700), ("b", b"2" * 300)])
    whole = 512 + 1024 + 512 + 512
    for end in range(512, whole + 512, 100):
        found, notes = walked(data[:end])
        assert len(found) == (1 if end < 2048 else 2)
        assert len(notes) == 1


def test_a_cut_at_the_end_of_a_member_is_told_too() -> None:
    assert walked(tar_of([("a", b"1" * 512)])[:1024])[1] == [
        "the archive has no end mark: members may be missing behind byte 1024"
    ]


def test_a_damaged_header_costs_its_member_only() -> None:
    data = bytearray(tar_of([("a", b"1"), ("b", b"2" * 1000), ("c", b"3")]))
    data[1024 + 130] ^= 1
    found, notes = walked(bytes(data))
    assert [entry.name for entry in found] == ["a", "c"]
    assert notes == [
        "1536 bytes where headers should stand were passed over, from byte 1024 on: the archive is damaged there"
    ]


def test_a_damaged_first_header_costs_its_member_only(tmp_path: Path) -> None:
    data = bytearray(tar_of([("a", b"1"), ("k.log", klog(3))]))
    data[130] ^= 1
    assert reading_of(tmp_path, bytes(data)).used == {"b.tar!k.log": 3}


@pytest.mark.parametrize("size", [b"77777777777\0", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"-0000000012\0", b"9" * 12])
def test_no_lie_about_a_size_is_believed(size: bytes, tmp_path: Path) -> None:
    found = reading_of(tmp_path, header(size=size) + klog(5) + bytes(1024))
    assert "b.tar" in found.errors
    assert all(report.bytes < 4096 for report in found.case.reports)


def test_a_long_name_that_claims_gigabytes_is_passed_over() -> None:
    data = header("L", size=b"77777777777\0", kind=b"L") + tar_of([("k.log", b"1")])
    found, notes = walked(data)
    assert found == []
    assert len(notes) == 2


@pytest.mark.parametrize(
    "record", [b"9999 path=x\n", b"path=x\n", b"0 path=x\n", b"12 path", b"\xff\xff", b"7 pathx\n"]
)
def test_a_damaged_extended_header_is_told_and_the_member_kept(record: bytes) -> None:
    size = b"%011o\0" % len(record)
    data = header("x", size, b"x") + record.ljust(512, b"\0") + tar_of([("k.log", b"1")])
    found, notes = walked(data)
    assert [entry.name for entry in found] == ["k.log"]
    assert "extended headers are damaged" in notes[0]


def test_bytes_behind_the_end_are_told() -> None:
    data = tar_of([("a", b"1")])
    assert walked(data + bytes(5000))[1] == []
    assert walked(data + data)[1] == ["bytes behind the end mark of the archive were not read: list it with `tar -i`"]


def test_headers_without_members_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MEMBERS_LIMIT", 100)
    _, notes = walked(header("g", b"00000000000\0", b"g") * 1000)
    assert notes == ["more than 100 headers, the limit: what lies behind byte 51200 was not read"]


@given(st.data())
def test_no_damage_makes_up_a_member(data: st.DataObject) -> None:
    files = [("a.log", b"1" * 600), ("b.log", b"2" * 10), ("c.log", b"3" * 2000)]
    raw = bytearray(tar_of(files))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    found, notes = walked(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    assert len(found) <= 3
    assert len(notes) <= 3
    assert all(len(one.name) <= 100 * 4 for one in found)


def test_text_is_no_tar() -> None:
    assert not is_tar(klog(20))
    assert not is_tar(b"")
    assert not is_tar(bytes(1024))
    out = io.BytesIO(tar_of([("a", b"1")]))
    assert is_tar(out.read(512))
