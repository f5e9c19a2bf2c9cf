"""Decodes windows, one half of the work beside the other where there are cores; pieces come back in their order.

Threads, not processes: kernels, NumPy and polars let go of the interpreter while they work, and rows that stay where
they are cost nothing. Handing them from process to process took as long as decoding them. Two threads that each did all
of the work of every other window took turns at the interpreter more often, and held a window more in memory.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from analyzer.sources.capture.decode import Decoder, Piece, opened
from analyzer.sources.capture.window import Window

THREADS_MOST = 2
"""Of those that are not asked for: each holds a window and its columns, some 80 MB, and a third gains little."""


def threads() -> int:
    """How many threads decode a capture unless the user says so: one per core that this process may use."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, THREADS_MOST)


def pieces(frames: Iterator[Window], source: str, jobs: int) -> Iterator[Piece]:
    """The windows, decoded by so many threads; the same pieces whatever their number. The first, which is the caller's,
    reads the frames and does the first half of the decoding."""
    decoder = Decoder(source)
    if jobs == 1:
        for window in frames:
            yield decoder.decode(window)
        return
    under_way: deque[Future[Piece]] = deque()
    with ThreadPoolExecutor(jobs - 1, thread_name_prefix="decode") as pool:
        try:
            for window in frames:
                under_way.append(pool.submit(decoder.finish, opened(window)))
                if len(under_way) == jobs:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
