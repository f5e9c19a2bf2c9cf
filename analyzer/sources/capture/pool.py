"""Decodes windows, one half of the work beside the other where there are cores; pieces come back in their order.

Threads, not processes: kernels, NumPy and polars let go of the interpreter while they work, and rows that stay where
they are cost nothing. Handing them from process to process took as long as decoding them. Two threads that each did all
of the work of every other window took turns at the interpreter more often, and held a window more in memory. As many
threads as cores: a third that only hashed took a core from the one that was behind, while the other waited for it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from analyzer.sources.capture.decode import Decoder, Opened, Piece
from analyzer.sources.capture.window import Window

THREADS_MOST = 2
"""Of those that are not asked for: each holds a window and its columns, some 80 MB, and a third gains little."""


def threads() -> int:
    """How many threads decode a capture unless the user says so: one per core that this process may use."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, THREADS_MOST)


def pieces(frames: Iterator[Window], source: str, jobs: int) -> Iterator[Piece]:
    """The windows, decoded by so many threads; the same pieces whatever their number. The first, which is the caller's,
    reads the frames, does the first half of the decoding, and helps where it would have to wait."""
    decoder = Decoder(source)
    if jobs == 1:
        for window in frames:
            yield decoder.decode(window)
        return
    under_way: deque[Future[Piece]] = deque()
    with ThreadPoolExecutor(jobs - 1, thread_name_prefix="decode") as pool:
        try:
            for window in frames:
                half = decoder.open(window)
                under_way.append(pool.submit(decoder.finish, half))
                if len(under_way) == jobs:
                    yield _helping(half, under_way.popleft())
                del half
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _helping(half: Opened, oldest: Future[Piece]) -> Piece:
    """The piece that is waited for; meanwhile some of the work on the newest window is taken from the others."""
    for work in half.apart:
        if oldest.done():
            break
        work()
    return oldest.result()
