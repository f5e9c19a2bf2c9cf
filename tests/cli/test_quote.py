"""`analyze quote`: the record of that number of that input, however the input is named."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.cli.test_cli import analyze, storm

AUDIT = (
    '{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"ResponseComplete",'
    '"requestURI":"/api/v1/pods","verb":"list","user":{"username":"x"},"responseStatus":{"code":200},'
    '"requestReceivedTimestamp":"2026-03-14T09:00:00.000000Z","stageTimestamp":"2026-03-14T09:00:00.100000Z"}\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "coredns.log").write_text(storm())
    (tmp_path / "audit.log").write_text(AUDIT)
    (tmp_path / "deep").mkdir()
    for name in ("-b.tar", "a!b.tar", "deep/b.tar"):
        with tarfile.open(tmp_path / name, "w") as tar:
            tar.add(tmp_path / "coredns.log", "coredns.log")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "coredns.log",
        "./coredns.log",
        "./-b.tar!coredns.log",
        "a!b.tar!coredns.log",
        "./deep//b.tar!coredns.log",
    ],
)
def test_a_file_or_a_member_is_found_by_any_spelling_of_its_place(name: str, folder: Path) -> None:
    done = analyze("quote", name, "3", cwd=folder)
    assert done.stdout.decode() == f"3: {storm().splitlines()[2]}\n", done.stderr


def test_a_name_that_is_not_utf8(folder: Path) -> None:
    (folder / "coredns.log").rename(folder / "log\udcff")
    assert analyze("quote", "log\udcff", "3", cwd=folder).returncode == 0


def test_standard_input(folder: Path) -> None:
    done = analyze("quote", "-", "3", cwd=folder, stdin=storm().encode())
    assert done.stdout.decode() == f"3: {storm().splitlines()[2]}\n", done.stderr


@pytest.mark.parametrize(
    ("name", "number", "told"),
    [
        ("coredns.log!inside", "3", b"nothing of that name can be read"),
        ("deep/b.tar", "3", b"nothing of that name can be read"),
        ("coredns.log", "99999999999999999999", b"has no record 99999999999999999999"),
        ("audit.log", "99999999999999999999", b"has no record 99999999999999999999"),
        ("gone.tar!coredns.log", "3", b"gone.tar"),
    ],
)
def test_what_is_not_there_costs_a_sentence(name: str, number: str, told: bytes, folder: Path) -> None:
    done = analyze("quote", name, number, cwd=folder)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stdout == b""
