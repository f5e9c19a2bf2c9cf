"""The command beside a quoted record prints that record from the original, whatever the original is packed in."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from analyzer.model import Record, Result
from analyzer.pipeline import RunOptions, investigate
from tests.cases import CAPTURES, CASES, result_of

PATH = os.environ["PATH"]


def printed(command: str, folder: Path, tmp_path: Path) -> str:
    """What a shell prints for it in the directory of the inputs."""
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    own = tools / "analyze"
    own.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from analyzer.cli import main; main()" "$@"\n')
    own.chmod(0o755)
    environment = {
        "PATH": f"{tools}:{PATH}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": str(tmp_path),
        "TZ": "UTC",
    }
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, capture_output=True, text=True, errors="replace", env=environment
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def records_of(result: Result) -> list[Record]:
    return [record for finding in result.findings for record in finding.evidence.records]


def same(record: Record, out: str) -> bool:
    """Whether that is the record: a frame by its number, a line by how it begins (a report cuts and scrubs it)."""
    if record.command.startswith("tshark") or "| tshark" in record.command:
        return f"Frame {record.number}:" in out
    return _plain(out).startswith(_plain(record.text)[:60])


def _plain(text: str) -> str:
    return re.sub(r"^\d+: ", "", text)


@pytest.mark.parametrize("case", CASES)
def test_a_record_of_every_input_of_every_case_is_printed(case: str, tmp_path: Path) -> None:
    records = {record.source: record for record in records_of(result_of(case))}
    for record in records.values():
        assert record.command, record
        assert same(record, printed(record.command, CAPTURES / case, tmp_path)), record.command


LOG = (CAPTURES / "dns-search-chain" / "coredns.log").read_bytes()
PCAP = gzip.decompress((CAPTURES / "imds-hop-limit" / "node.pcap.gz").read_bytes())
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


def check(folder: Path, tmp_path: Path) -> None:
    records = records_of(investigate(RunOptions(inputs=(folder,))))
    assert records
    for record in {records[0], records[-1]}:
        assert same(record, printed(record.command, folder, tmp_path)), record.command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "evidence"
    made.mkdir()
    return made


@pytest.mark.parametrize("suffix", list(PACKERS))
@pytest.mark.parametrize(("name", "data"), [("coredns.log", LOG), ("node.pcap", PCAP)], ids=["log", "pcap"])
def test_a_compressed_file(name: str, data: bytes, suffix: str, folder: Path, tmp_path: Path) -> None:
    (folder / f"{name}{suffix}").write_bytes(PACKERS[suffix](data))
    check(folder, tmp_path)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_member_of_a_tar(mode: str, suffix: str, folder: Path, tmp_path: Path) -> None:
    inner = tmp_path / f"coredns log{suffix}"
    inner.write_bytes(PACKERS[suffix](LOG))
    with tarfile.open(folder / "bundle.tar", mode) as tar:  # type: ignore[call-overload]
        tar.add(inner, f"node 3/coredns log{suffix}")
    check(folder, tmp_path)


@pytest.mark.parametrize(("name", "data"), [("a/core[1]*.log", LOG), ("a/node.pcap", PCAP)], ids=["log", "pcap"])
def test_a_member_of_a_zip(name: str, data: bytes, folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(folder / "bundle.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    check(folder, tmp_path)


@pytest.mark.parametrize("name", ["it's; touch x.log", "-rf.log", "$(touch x).log", "a b.log", "größe.log", "!x!.log"])
def test_a_name_that_a_shell_would_take_for_more(name: str, folder: Path, tmp_path: Path) -> None:
    (folder / name).write_bytes(LOG)
    check(folder, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [name]


def test_a_name_that_cannot_be_typed_has_no_command(folder: Path) -> None:
    (folder / "a\nb.log").write_bytes(LOG)
    assert {record.command for record in records_of(investigate(RunOptions(inputs=(folder,))))} == {""}


def test_what_common_tools_count_otherwise_is_printed_by_this_one(folder: Path, tmp_path: Path) -> None:
    (folder / "utf16.log").write_bytes(LOG.decode().encode("utf-16"))
    records = records_of(investigate(RunOptions(inputs=(folder,))))
    assert records[0].command == f"analyze quote utf16.log {records[0].number}"
    check(folder, tmp_path)


def test_frames_of_two_captures_in_one_file_are_counted_on(folder: Path, tmp_path: Path) -> None:
    (folder / "two.pcap").write_bytes(PCAP + PCAP)
    records = records_of(investigate(RunOptions(inputs=(folder,))))
    assert {record.command.split()[0] for record in records} == {"analyze"}
    check(folder, tmp_path)


def test_input_that_is_gone_has_no_command(folder: Path, tmp_path: Path) -> None:
    from analyzer.pipeline import ingest

    (folder / "coredns.log").write_bytes(LOG)
    ingest(RunOptions(inputs=(folder,)), tmp_path / "kept")
    (folder / "coredns.log").unlink()
    assert {record.command for record in records_of(investigate(RunOptions(inputs=(tmp_path / "kept",))))} == {""}


@pytest.mark.parametrize("name", ["./node/coredns.log", "-rf.log", "--checkpoint-action=exec=touch pwned", "!a!b.log"])
def test_a_member_of_a_tar_is_found_by_the_name_that_the_archive_has_for_it(
    name: str, folder: Path, tmp_path: Path
) -> None:
    tar_of(folder / "bundle.tar", name)
    check(folder, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.tar"]


def tar_of(archive: Path, *names: str) -> None:
    with tarfile.open(archive, "w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(LOG)
            tar.addfile(member, io.BytesIO(LOG))


def test_an_archive_that_tar_would_look_for_on_another_machine(folder: Path, tmp_path: Path) -> None:
    tar_of(folder / "nobody@host.invalid:bundle.tar", "coredns.log")
    check(folder, tmp_path)


@pytest.mark.parametrize("names", [("/coredns.log",), ("../coredns.log",), ("a[1].log",), ("*.log",)])
def test_what_tar_would_not_find_by_its_name_is_printed_by_this_one(
    names: tuple[str, ...], folder: Path, tmp_path: Path
) -> None:
    tar_of(folder / "bundle.tar", *names)
    records = records_of(investigate(RunOptions(inputs=(folder,))))
    assert {record.command.split()[0] for record in records} <= {"analyze"}
    if records:
        check(folder, tmp_path)


def test_of_two_members_with_one_name_each_prints_its_own(folder: Path, tmp_path: Path) -> None:
    other = b"".join(LOG.splitlines(keepends=True)[-3:])
    with tarfile.open(folder / "bundle.tar", "w") as tar:
        for data in (other, LOG):
            member = tarfile.TarInfo("coredns.log")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    check(folder, tmp_path)


@pytest.mark.parametrize("name", ["-x.log", "größe.log", "!a!b.log"])
def test_a_member_of_a_zip_with_an_odd_name(name: str, folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(folder / "bundle.zip", "w") as archive:
        archive.writestr(name, LOG)
    check(folder, tmp_path)


def test_a_zip_whose_own_name_is_a_pattern(folder: Path, tmp_path: Path) -> None:
    for name in ("a1.zip", "a[1].zip"):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("coredns.log", LOG)
    check(folder, tmp_path)
