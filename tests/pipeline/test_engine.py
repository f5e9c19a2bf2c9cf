"""A Dask scheduler's workers read what this process would have read, also when one of them is lost on the way."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from analyzer.errors import InputError
from analyzer.pipeline import RunOptions, ingest, investigate
from analyzer.pipeline.engine import Dask, Engine, Here
from tests.cases import CAPTURES, as_json

distributed = pytest.importorskip("distributed", reason="Dask is an optional extra")
Client = distributed.Client

ROOT = Path(__file__).resolve().parents[2]
COPIES = 6


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _started(stack: ExitStack, *command: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(child.wait)
    stack.callback(child.kill)
    return child


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers of one process each, on loopback."""
    with ExitStack() as stack:
        address = f"tcp://127.0.0.1:{_free_port()}"
        port = address.rpartition(":")[2]
        _started(stack, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
        worker = ("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny")
        yield address, [_started(stack, *worker) for _ in range(2)]


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """The sample outage, and its capture some more times, so that there is work for a while."""
    folder = tmp_path / "evidence"
    shutil.copytree(CAPTURES / "outage", folder)
    capture = next(folder.glob("*.pcap*"))
    for number in range(COPIES):
        shutil.copy(capture, folder / f"again-{number}-{capture.name}")
    return folder


def _result(evidence: Path, engine: Engine) -> str:
    return as_json(investigate(RunOptions(inputs=(evidence,), title="t", command="c", engine=engine)))


def test_the_workers_of_a_scheduler_give_the_same_result(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], evidence: Path, tmp_path: Path
) -> None:
    with Dask(cluster[0]) as engine:
        assert _result(evidence, engine) == _result(evidence, Here())
        kept = ingest(RunOptions(inputs=(evidence,), engine=engine), tmp_path / "kept")
    here = ingest(RunOptions(inputs=(evidence,)), tmp_path / "here")
    assert kept.reports == here.reports
    for table, rows in here.tables.items():
        order = ["source", "number"]
        same = kept.tables[table].frame.sort(order, maintain_order=True).collect()
        assert rows.frame.sort(order, maintain_order=True).collect().equals(same), table.name
    names = [sorted(path.relative_to(tmp_path / n) for path in (tmp_path / n).rglob("*")) for n in ("kept", "here")]
    assert names[0] == names[1]


def test_a_worker_that_is_lost_in_mid_run_costs_nothing(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], evidence: Path
) -> None:
    expected = _result(evidence, Here())
    address, workers = cluster
    killed: list[int] = []
    killer = threading.Thread(target=_kill_one_at_work, args=(address, killed))
    killer.start()
    with Dask(address) as engine:
        assert _result(evidence, engine) == expected
    killer.join()
    lost = {worker.pid: worker for worker in workers}.pop(killed[0])
    assert lost.wait(timeout=10) == -signal.SIGKILL
    assert [worker.poll() for worker in workers if worker is not lost] == [None]


def _kill_one_at_work(address: str, killed: list[int]) -> None:
    """Kill the first worker that has a task in its hands."""
    with Client(address, set_as_default=False) as client:
        pids = client.run(os.getpid)
        while not (busy := [worker for worker, tasks in client.processing().items() if tasks]):
            time.sleep(0.01)
        os.kill(pids[busy[0]], signal.SIGKILL)
        killed.append(pids[busy[0]])


def test_a_scheduler_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.pipeline.engine.CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match="no scheduler answers there"):
        Dask(f"tcp://127.0.0.1:{_free_port()}")


def test_workers_that_are_lost_again_and_again_are_one_sentence(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Dask(cluster[0]) as engine:

        def lost(*_: object, **__: object) -> None:
            raise distributed.KilledWorker("task", None, 3)

        monkeypatch.setattr(engine._client, "gather", lost)
        with pytest.raises(InputError, match="workers were lost again and again"):
            engine.map(len, ["a"])
