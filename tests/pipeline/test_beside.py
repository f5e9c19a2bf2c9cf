"""Several large inputs are read side by side by processes of this machine, and the result is the same."""

from __future__ import annotations

import filecmp
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from analyzer.errors import OutputError
from analyzer.pipeline import RunOptions, ingest, investigate
from analyzer.pipeline import beside as beside_
from analyzer.pipeline.beside import EACH, FROM, MOST, PROCESS_MEMORY, Share, affordable, processes, shares
from analyzer.pipeline.one_input import Job
from analyzer.sources.contract import Item, Member, ReadOptions
from tests.cases import CAPTURES, as_json


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """The sample outage beside an archive of logs of another one."""
    folder = tmp_path / "evidence"
    shutil.copytree(CAPTURES / "outage", folder)
    with tarfile.open(folder / "nodes.tar.gz", "w:gz") as archive:
        for path in sorted((CAPTURES / "exec-probe-timeout").glob("*.log*")):
            archive.add(path, path.name)
    return folder


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are worth it however little there is to read."""
    monkeypatch.setattr(beside_, "FROM", 0)


def _read(evidence: Path, jobs: int) -> str:
    return as_json(investigate(RunOptions(inputs=(evidence,), title="t", command="c", processes=jobs)))


@pytest.mark.usefixtures("apart")
def test_two_processes_give_the_result_of_one(evidence: Path) -> None:
    assert _read(evidence, 2) == _read(evidence, 1)


@pytest.mark.usefixtures("apart")
def test_they_write_the_case_that_one_would_write(evidence: Path, tmp_path: Path) -> None:
    for jobs in (1, 2):
        ingest(RunOptions(inputs=(evidence,), processes=jobs), tmp_path / f"case-{jobs}")
    one, two = tmp_path / "case-1", tmp_path / "case-2"
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(two)) for path in two.rglob("*") if path.is_file())
    assert filecmp.cmpfiles(one, two, names, shallow=False)[1:] == ([], [])


@pytest.mark.usefixtures("apart")
def test_an_input_that_breaks_costs_its_sentence_and_no_other_input(evidence: Path) -> None:
    (evidence / "broken.log.gz").write_bytes(b"\x1f\x8b\x08\x00broken")
    assert _read(evidence, 2) == _read(evidence, 1)


def _half_dies(number: int) -> int:
    """Stands for reading in a process that the kernel kills when it meets the fourth input."""
    if number == 3:
        os._exit(1)
    return number * 10


def test_what_a_lost_process_left_undone_is_read_here() -> None:
    made: list[int] = []
    undone = beside_._spread(_half_dies, [0, 1, 2, 3, 4, 5], 1, made.append)
    assert 3 in undone
    assert sorted([*made, *(number * 10 for number in undone)]) == [0, 10, 20, 30, 40, 50]


def test_a_full_disk_is_not_taken_for_an_input_that_breaks(tmp_path: Path) -> None:
    job = Job(Item(id="a.log", path=tmp_path / "a.log"), "coredns", ReadOptions())
    job.item.path.write_text(
        '2026-03-14T09:00:00Z [INFO] 10.0.0.1:4000 - 7 "A IN a.example. udp 30 false 512" NOERROR qr 60 0.001s\n'
    )
    share = Share((job,), 1)
    with pytest.raises(OutputError):
        beside_._lay((share, tmp_path / "not there", 0))
    undone = beside_._spread(beside_._lay, [(share, tmp_path / "not there", 0)], 1, lambda laid: None)
    assert [one for one, _, _ in undone] == [share]


@pytest.mark.usefixtures("apart")
def test_with_all_processes_lost_the_result_is_the_same(evidence: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(function: object, items: list[object], count: int, take: object) -> list[object]:
        return items

    monkeypatch.setattr(beside_, "_spread", lost)
    assert _read(evidence, 2) == _read(evidence, 1)


def _job(name: str, size: int = 0, start: int | None = None) -> Job:
    member = None if start is None else Member(kind="tar", name=name, start=start, stored=size, size=size)
    return Job(Item(id=name, path=Path("nodes.tar" if member else name), member=member), "kubelet", ReadOptions())


def test_members_of_an_archive_are_read_by_one_process_in_their_order() -> None:
    jobs = [_job("second", 7, start=2048), _job("alone.log"), _job("first", 5, start=512)]
    found = [([job.item.id for job in share.jobs], share.size) for share in shares(jobs)]
    assert found == [(["alone.log"], 0), (["first", "second"], 12)]


def _sizes(*sizes: int) -> list[Share]:
    return [Share((_job(f"{number}.log"),), size) for number, size in enumerate(sizes)]


def test_processes_pay_from_so_many_bytes_beside_the_largest_input() -> None:
    assert processes(_sizes(1 << 40, FROM - EACH), 2) == 2
    assert processes(_sizes(1 << 40, FROM - EACH - 1), 2) == 1


def test_many_small_inputs_are_work_too() -> None:
    many = FROM // EACH + 1
    assert processes(_sizes(*[0] * many), 2) == 2
    assert processes(_sizes(*[0] * (many - 1)), 2) == 1


def test_every_member_of_an_archive_is_work() -> None:
    big, few = _sizes(1 << 40), FROM // EACH
    for members, found in ((few, 2), (few - 1, 1)):
        archive = Share(tuple(_job(f"{number}", start=512 * number) for number in range(members)), 0)
        assert processes([*big, archive], 2) == found


def test_one_input_is_read_by_this_process() -> None:
    assert processes(_sizes(1 << 40), 8) == 1
    assert processes([], 8) == 1


def test_no_more_processes_than_inputs_or_than_may() -> None:
    assert processes(_sizes(FROM, FROM, FROM), 8) == 3
    assert processes(_sizes(FROM, FROM, FROM), 2) == 2
    assert processes(_sizes(FROM, FROM, FROM), 1) == 1


def test_as_many_may_as_there_are_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(5)), raising=False)
    assert affordable(None) == 5
    assert affordable(3 * PROCESS_MEMORY) == 3
    assert affordable(3 * PROCESS_MEMORY - 1) == 2
    assert affordable(1) == 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert affordable(None) == MOST


def test_standard_input_is_nothing_for_another_process() -> None:
    assert processes([Share((_job("-"),), FROM), Share((_job("a.log"),), FROM)], 8) == 1
