"""Several threads give the rows and the ledger of one, whatever the capture."""

from __future__ import annotations

import gzip
import io
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from analyzer.frames import TABLES, concat
from analyzer.sources.capture.decode import Decoder, Once, Opened, Piece
from analyzer.sources.capture.duplicates import candidates
from analyzer.sources.capture.pool import pieces
from analyzer.sources.capture.reader import batches, frames_of, read
from analyzer.sources.capture.texts import Addresses
from analyzer.sources.capture.window import Window
from analyzer.sources.contract import Item, Ledger, ReadOptions
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
def test_what_crosses_windows_is_the_same_with_several_threads(damaged: bool) -> None:
    data = _spanning()
    if damaged:
        data = data[:30_000] + random.Random(1).randbytes(700) + data[30_000:-5]
    one, several = _read(data, 1), _read(data, 2)
    assert one == several
    assert len(data) > SIZE * 12
    assert sum(row["transport"] == "tcp" for row in one[0]["dns_messages"]) > 300
    assert any(row["duplicate"] for row in one[0]["packets"])


def test_what_is_told_stands_in_the_same_order_with_several_threads() -> None:
    """A clock that steps back in the last window, and damage behind it, which is met before that window is decoded."""
    frames = [dns_frame(query(f"n{number}.example.com", number)) for number in range(400)]
    back = pcap(frames[:5], step=-100)[24:]
    data = pcap(frames, step=0.0004) + back + random.Random(1).randbytes(300)
    ledgers = [_read(data, jobs)[1] for jobs in (1, 2)]
    assert ledgers[0].notes == ledgers[1].notes
    assert [note.split()[-1] for note in ledgers[0].notes if "clock" in note] == ["402", "403", "404", "all"]
    assert any("could not be read" in note for note in ledgers[0].notes)


def test_a_sample_capture_is_the_same_with_several_threads() -> None:
    path = next(Path(CAPTURES / "imds-credential-storm").glob("*.pcap*.gz"))
    data = gzip.decompress(path.read_bytes())
    assert _read(data, 1) == _read(data, 3)


def test_the_second_half_of_a_window_runs_beside_the_first_half_of_the_next() -> None:
    both = threading.Barrier(2, timeout=30)
    frames = list(frames_of(io.BytesIO(_spanning()), Ledger(), SIZE))

    class Slow(Decoder):
        def finish(self, half: Opened) -> Piece:
            if half.window is not frames[-1]:
                both.wait()  # only whoever is not alone gets on
            return super().finish(half)

        def open(self, window: Window) -> Opened:
            if window is not frames[0]:
                both.wait()
            return super().open(window)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analyzer.sources.capture.pool.Decoder", Slow)
        read = list(pieces(iter(frames), "t", 2))
    assert [piece.number[0] for piece in read] == [window.number[0] for window in frames]


def test_whoever_would_wait_takes_work_from_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = list(frames_of(io.BytesIO(_spanning()), Ledger(), SIZE))
    helped, seen = threading.Event(), []

    class Late(Decoder):
        def finish(self, half: Opened) -> Piece:
            if half.window is frames[0]:
                seen.append(helped.wait(timeout=30))
            return super().finish(half)

    def told(*given: Any) -> Any:
        if threading.current_thread() is threading.main_thread() and given[0] is frames[1]:
            helped.set()
        return candidates(*given)

    monkeypatch.setattr("analyzer.sources.capture.decode.candidates", told)
    monkeypatch.setattr("analyzer.sources.capture.pool.Decoder", Late)
    assert len(list(pieces(iter(frames), "t", 2))) == len(frames)
    assert seen == [True]


def test_spare_work_is_for_the_thread_that_has_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thread waits twice until the other has come to the spare work, and the other once."""
    frames = list(frames_of(io.BytesIO(_spanning()), Ledger(), SIZE))
    main, came, helped = threading.main_thread(), threading.Event(), threading.Event()
    seen, end = list[bool](), time.monotonic() + 30

    class Late(Decoder):
        def open(self, window: Window) -> Opened:
            if window is frames[0] or window is frames[2]:
                came.clear()
                seen.append(came.wait(timeout=30))
            return super().open(window)

        def finish(self, half: Opened) -> Piece:
            if half.window is frames[0]:
                seen.append(helped.wait(timeout=30))
            return super().finish(half)

    def spare() -> bool:
        (helped if threading.current_thread() is main else came).set()
        if time.monotonic() > end:
            seen.append(False)
            return False
        return True  # there is no end of it, but windows go before

    monkeypatch.setattr("analyzer.sources.capture.pool.Decoder", Late)
    assert len(list(pieces(iter(frames), "t", 2, spare))) == len(frames)
    assert seen == [True, True, True]


@pytest.mark.parametrize(("jobs", "hashed"), [(1, False), (2, True)])
def test_several_threads_hash_in_the_time_between(jobs: int, hashed: bool) -> None:
    """One alone leaves that to the thread of the stream."""

    class Hashed(io.BytesIO):
        turns = 0

        def hash_by_turns(self) -> Callable[[], bool]:
            return self._turn

        def _turn(self) -> bool:
            self.turns += 1
            return False

    stream = Hashed(_spanning())
    list(read(stream, Item(id="t", path=Path("t")), ReadOptions(jobs=jobs), Ledger()))
    assert (stream.turns > 0) is hashed


def test_where_somebody_is_at_the_packets_the_rest_comes_first() -> None:
    (window,) = frames_of(io.BytesIO(_spanning()), Ledger(), 1 << 20)
    decoder = Decoder("t")
    half = decoder.open(window)
    begun, copied = threading.Event(), threading.Event()

    def packets() -> Any:
        begun.set()
        assert copied.wait(timeout=30)
        return decoder._packets(half.window, half.head, half.interface, half.rows)

    def copies() -> Any:
        copied.set()
        return candidates(half.window, half.head, half.interface, half.rows)

    half = structs.replace(half, packets=Once(packets), copies=Once(copies))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(half.packets)
        assert begun.wait(timeout=30)
        assert decoder.finish(half).tally.ip == len(half.rows)


def test_what_somebody_has_begun_is_not_done_twice() -> None:
    made: list[str] = []

    def work() -> int:
        made.append(threading.current_thread().name)
        return len(made)

    once = Once(work)
    with ThreadPoolExecutor(4) as pool:
        told = [one.result() for one in [pool.submit(once) for _ in range(20)]]
    assert told == [1] * 20
    assert len(made) == 1


def test_trouble_is_told_to_everybody_who_asks() -> None:
    once = Once(lambda: 1 // 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            once()


def test_trouble_with_a_window_ends_the_reading_and_no_thread_is_left() -> None:
    class Broken(Decoder):
        def finish(self, half: Opened) -> Piece:
            if half.window.number[0] > 100:
                raise ZeroDivisionError
            return super().finish(half)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analyzer.sources.capture.pool.Decoder", Broken)
        with pytest.raises(ZeroDivisionError):
            list(pieces(frames_of(io.BytesIO(_spanning()), Ledger(), SIZE), "t", 2))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_texts_are_the_same_for_whoever_asks_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that is full starts anew, while another thread is in the middle of its window."""
    monkeypatch.setattr("analyzer.sources.capture.texts._TEXTS_MOST", 50)
    addresses = Addresses()

    def looked_up(first: int) -> list[list[str]]:
        low = np.arange(first, first + 300, dtype=np.uint64)
        six, high = np.zeros(300, bool), np.zeros(300, np.uint64)
        return [addresses.texts(six, high, low).to_list() for _ in range(50)]

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(looked_up, range(0, 1200, 300)))
    for first, texts in zip(range(0, 1200, 300), told, strict=True):
        assert texts == [[str(IPv4Address(value)) for value in range(first, first + 300)]] * 50
