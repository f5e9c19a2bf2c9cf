"""The hash of what is read: of all of it, in its order, whoever computes it."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.sources import hashing
from analyzer.sources.hashing import Hashing


@given(chunks=st.lists(st.binary(max_size=40), max_size=12), part=st.integers(1, 50), turns=st.booleans())
def test_it_is_of_all_the_chunks_in_their_order(chunks: list[bytes], part: int, turns: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "PART", part)
        one = Hashing()
        for place, chunk in enumerate(chunks):
            if turns and place == len(chunks) // 2:
                one.by_turns()
            one.feed(chunk)
        assert one.hexdigest() == hashlib.sha256(b"".join(chunks)).hexdigest()
        one.close()


def test_several_threads_in_turns_hash_it_as_one_does() -> None:
    chunks = [bytes([place % 256]) * 20_000 for place in range(400)]
    one = Hashing()
    part = one.by_turns()
    start = Barrier(4)

    def help_out() -> None:
        start.wait()
        for _ in range(2000):
            part()

    with ThreadPoolExecutor(3) as pool:
        helping = [pool.submit(help_out) for _ in range(3)]
        start.wait()
        for chunk in chunks:
            one.feed(chunk)
        for future in helping:
            future.result()
    assert one.hexdigest() == hashlib.sha256(b"".join(chunks)).hexdigest()


def test_a_turn_hashes_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "PART", 4)
    one = Hashing()
    part = one.by_turns()
    one.feed(b"abcdefg")
    assert [part(), part(), part()] == [True, True, False]


def test_a_thread_does_not_wait_for_another_that_hashes() -> None:
    one = Hashing()
    part = one.by_turns()
    one.feed(b"abc")
    told = list[bool]()
    with one._turn:
        other = Thread(target=lambda: told.append(part()))
        other.start()
        other.join(10)
    assert told == [False]
    assert part()


def test_no_more_waits_than_memory_is_meant_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "PART", 4)
    monkeypatch.setattr(hashing, "AHEAD", 10)
    one = Hashing()
    part = one.by_turns()
    one.feed(b"x" * 25)
    left = 0
    while part():
        left += 1
    assert left == 3  # 9 of 25 bytes
    assert one.hexdigest() == hashlib.sha256(b"x" * 25).hexdigest()
