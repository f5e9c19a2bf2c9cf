"""Several processes give the rows and the ledger of one, whatever the capture."""

from __future__ import annotations

import errno
import gzip
import io
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer.errors import InputError
from analyzer.frames import TABLES, concat
from analyzer.sources.capture.pool import WINDOWS_LEAST, _packed, _unpacked, _workers, pieces
from analyzer.sources.capture.reader import batches, frames_of
from analyzer.sources.contract import Ledger
from tests.cases import CAPTURES
from tests.sources.capture.make import answer, dns_frame, ethernet, ipv4, pcap, query, record, tcp

SIZE = 4096


def _read(data: bytes, jobs: int) -> tuple[dict[str, list[dict[str, Any]]], Ledger]:
    ledger = Ledger()
    read = list(batches(frames_of(io.BytesIO(data), ledger, SIZE), "t", ledger, jobs))
    tables = {table.name: concat(table, [batch[table] for batch in read if table in batch]) for table in TABLES}
    return {name: frame.to_dicts() for name, frame in tables.items()}, ledger


def _spanning() -> bytes:
    """A capture in which a DNS message over TCP, copies of packets and a connection cross the borders of windows."""
    rng, frames = random.Random(4), []
    for number in range(400):
        asked = query(f"n{number}.example.com", number)
        frames.append(dns_frame(asked))
        if number % 3 == 0:
            frames.append(frames[-1])
        message = answer(f"n{number}.example.com", number, records=[record(1, rng.randbytes(4)) for _ in range(3)])
        stream = len(message).to_bytes(2, "big") + message
        for part, seq in ((stream[:20], 1), (stream[20:], 21)):
            segment = tcp(part, 53, 40000 + number, seq=seq)
            frames.append(ethernet(ipv4(segment, 6, "10.96.0.10", "10.0.0.7", ident=2 * number + seq)))
    return pcap(frames, step=0.0004)


@pytest.mark.parametrize("damaged", [False, True])
def test_what_crosses_windows_is_the_same_with_several_processes(damaged: bool) -> None:
    data = _spanning()
    if damaged:
        data = data[:30_000] + random.Random(1).randbytes(700) + data[30_000:-5]
    one, several = _read(data, 1), _read(data, 2)
    assert one == several
    assert len(data) > SIZE * WINDOWS_LEAST * 2
    assert sum(row["transport"] == "tcp" for row in one[0]["dns_messages"]) > 300
    assert any(row["duplicate"] for row in one[0]["packets"])


def test_a_sample_capture_is_the_same_with_several_processes() -> None:
    path = next(Path(CAPTURES / "imds-credential-storm").glob("*.pcap*.gz"))
    data = gzip.decompress(path.read_bytes())
    assert _read(data, 1) == _read(data, 3)


def test_a_worker_that_is_killed_is_one_sentence_and_the_next_capture_is_read() -> None:
    read = pieces(frames_of(io.BytesIO(_spanning()), Ledger(), SIZE), "t", 2)
    next(read)
    for worker in list(_workers(2)._processes.values()):
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(InputError, match="read it again with --jobs 1"):
        list(read)
    assert _read(_spanning(), 2) == _read(_spanning(), 1)


@pytest.mark.parametrize("room", ["a part of it", "none"])
def test_no_room_for_the_windows_is_one_sentence(room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int, data: memoryview, _offset: int) -> int:
        if room == "none":
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(data) // 2

    monkeypatch.setattr("analyzer.sources.capture.pool.os.pwrite", full)
    with pytest.raises(InputError, match=r"(?i)cannot be kept in .*: no space left.*make room there"):
        list(pieces(frames_of(io.BytesIO(_spanning()), Ledger(), SIZE), "t", 2))


def test_nothing_is_left_behind_by_who_stops_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    read = pieces(frames_of(io.BytesIO(_spanning()), Ledger(), SIZE), "t", 2)
    next(read)
    assert list(tmp_path.iterdir())
    del read  # nobody asks any further
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("values", [[], [5], [7, 7, 7], [3, 4, 5], [3, 5, 4], [-1, 2], [1 << 40, 3], [-(2**63), 0]])
def test_a_column_comes_back_as_it_went(values: list[int]) -> None:
    column = np.array(values, np.int64)
    back = _unpacked(*_packed(column))
    assert back.dtype == np.int64
    assert back.tolist() == values
