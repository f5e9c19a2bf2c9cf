"""Several large inputs are read side by side by processes of this machine, and the result is the same."""

from __future__ import annotations

import filecmp
import os
import shutil
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from analyzer.errors import OutputError
from analyzer.pipeline import RunOptions, ingest, investigate
from analyzer.pipeline import beside as beside_
from analyzer.pipeline.beside import BUNDLE, FROM, MOST, PROCESS_MEMORY, Share, affordable, processes, shares
from analyzer.pipeline.crew import spread
from analyzer.pipeline.effort import EACH, seconds_of
from analyzer.pipeline.one_input import Job
from analyzer.pipeline.options import Progress
from analyzer.pipeline.sink import Sink
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
    monkeypatch.setattr(beside_, "BUNDLE", 0)


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


def test_a_full_disk_is_not_taken_for_an_input_that_breaks(tmp_path: Path) -> None:
    share = Share((_query(tmp_path),), 1)
    with pytest.raises(OutputError):
        beside_._lay(share, tmp_path / "not there")


def test_what_another_process_cannot_write_down_is_read_here(tmp_path: Path) -> None:
    done: list[Share] = []
    parts = [Share((_query(tmp_path),), 2), Share((_query(tmp_path),), 1)]
    spread([], parts, 2, done.append, partial(beside_._lay, folder=tmp_path / "not there"), lambda laid: None)
    assert sorted(share.seconds for share in done) == [1, 2]


def _query(folder: Path) -> Job:
    path = folder / "a.log"
    path.write_text(
        '2026-03-14T09:00:00Z [INFO] 10.0.0.1:4000 - 7 "A IN a.example. udp 30 false 512" NOERROR qr 60 0.001s\n'
    )
    return Job(Item(id="a.log", path=path), "coredns", ReadOptions())


@pytest.mark.usefixtures("apart")
def test_with_all_processes_lost_the_result_is_the_same(evidence: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(
        own: list[Share], items: list[Share], count: int, here: Callable[[Share], None], *_: Callable[[Share], None]
    ) -> None:
        for item in [*own, *items]:
            here(item)

    monkeypatch.setattr("analyzer.pipeline.crew.spread", lost)
    assert _read(evidence, 2) == _read(evidence, 1)


def _job(name: str, size: int = 0, start: int | None = None) -> Job:
    member = None if start is None else Member(kind="tar", name=name, start=start, stored=size, size=size)
    return Job(Item(id=name, path=Path("nodes.tar" if member else name), member=member), "kubelet", ReadOptions())


def test_members_of_an_archive_are_read_by_one_process_in_their_order() -> None:
    jobs = [_job("second", 7, start=2048), _job("alone.log"), _job("first", 5, start=512)]
    found = [([job.item.id for job in share.jobs], share.seconds) for share in shares(jobs)]
    assert found == [(["alone.log"], seconds_of(jobs[1])), (["first", "second"], sum(map(seconds_of, jobs[::2])))]


def _shares(*seconds: float) -> list[Share]:
    return [Share((_job(f"{number}.log"),), one) for number, one in enumerate(seconds)]


def test_processes_pay_from_so_many_seconds_beside_the_longest_input() -> None:
    assert processes(_shares(1e6, FROM), 2) == 2
    assert processes(_shares(1e6, 0.99 * FROM), 2) == 1


def test_many_small_inputs_are_work_too() -> None:
    many = [_job(f"{number}.log") for number in range(int(FROM / EACH) + 3)]
    assert processes(shares(many), 2) == 2
    assert processes(shares(many[:-3]), 2) == 1


def test_every_member_of_an_archive_is_work() -> None:
    members = [_job(f"{number}", start=512 * number) for number in range(int(FROM / EACH) + 2)]
    assert processes([*_shares(1e6), *shares(members)], 2) == 2
    assert processes([*_shares(1e6), *shares(members[:-2])], 2) == 1


def test_one_input_is_read_by_this_process() -> None:
    assert processes(_shares(1e6), 8) == 1
    assert processes([], 8) == 1


def test_no_more_processes_than_inputs_or_than_may() -> None:
    assert processes(_shares(FROM, FROM, FROM), 8) == 3
    assert processes(_shares(FROM, FROM, FROM), 2) == 2
    assert processes(_shares(FROM, FROM, FROM), 1) == 1


def test_small_inputs_are_given_out_together() -> None:
    parts = _shares(BUNDLE / 2, 1.0, BUNDLE / 2, BUNDLE / 2)
    found = [[job.item.id for job in share.jobs] for share in beside_._bundled(parts)]
    assert found == [["1.log"], ["0.log", "2.log"], ["3.log"]]


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


@pytest.mark.usefixtures("apart")
def test_standard_input_is_read_by_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []

    def told(own: list[Share], items: list[Share], *_: object) -> None:
        given.extend([job.item.id for share in shares for job in share.jobs] for shares in (own, items))

    monkeypatch.setattr("analyzer.pipeline.crew.spread", told)
    parts = [Share((_job(name),), FROM) for name in ("a.log", "-", "b.log")]
    with Sink(None) as sink:
        beside_.read_beside(parts, 2, sink, Progress())
    assert given == [["-"], ["a.log", "b.log"]]
