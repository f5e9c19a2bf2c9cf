"""How long an input takes follows from what it holds, not from the bytes on the disk."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from analyzer.pipeline import effort
from analyzer.pipeline.effort import EACH, seconds_of
from analyzer.pipeline.one_input import Job
from analyzer.sources.contract import Item, Member, ReadOptions

PLAIN = random.Random(7).randbytes(30_000) * 3


@pytest.fixture(autouse=True)
def every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "_LOOKED_AT", 1)


def job(path: Path, data: bytes, kind: str = "audit") -> Job:
    path.write_bytes(data)
    return Job(Item(id=path.name, path=path), kind, ReadOptions())


def test_a_plain_file_takes_as_long_as_it_has_bytes(tmp_path: Path) -> None:
    assert seconds_of(job(tmp_path / "a.log", PLAIN)) == EACH + len(PLAIN) * effort._BYTE_OF["audit"]
    assert seconds_of(job(tmp_path / "b.txt", PLAIN, "metrics")) == EACH + len(PLAIN) * effort._BYTE


def test_gzip_tells_what_it_expands_to(tmp_path: Path) -> None:
    found = seconds_of(job(tmp_path / "a.log.gz", gzip.compress(PLAIN)))
    assert found == EACH + len(PLAIN) * (effort._BYTE_OF["audit"] + effort._UNPACKING)


@pytest.mark.parametrize("size", [b"\1\0\0\0", b"\xff\xff\xff\xff"])
def test_a_size_that_cannot_be_is_not_believed(tmp_path: Path, size: bytes) -> None:
    """Of several members the last one's size is told, of more than 4 GiB the rest of a division; or it is a lie."""
    packed = gzip.compress(PLAIN)[:-4] + size
    found = seconds_of(job(tmp_path / "a.log.gz", packed))
    assert found == EACH + effort._USUAL * len(packed) * (effort._BYTE_OF["audit"] + effort._UNPACKING)


def test_other_compressions_are_taken_to_expand_as_usual(tmp_path: Path) -> None:
    packed = b"BZh9" + PLAIN
    found = seconds_of(job(tmp_path / "a.log.bz2", packed))
    assert found == EACH + effort._USUAL * len(packed) * (effort._BYTE_OF["audit"] + effort._UNPACKING)


def test_a_member_of_an_archive_takes_as_long_as_it_has_bytes_unpacked() -> None:
    member = Member(kind="tar", name="a", start=512, stored=700, size=700)
    found = seconds_of(Job(Item(id="a", path=Path("not-there.tar"), member=member), "audit", ReadOptions()))
    assert found == EACH + 700 * effort._BYTE_OF["audit"]


def test_what_cannot_be_opened_costs_its_first_line(tmp_path: Path) -> None:
    assert seconds_of(Job(Item(id="a", path=tmp_path / "gone"), "audit", ReadOptions())) == EACH
