"""Decodes windows, several at a time where there are cores; pieces come back in the order of the windows.

Threads, not processes: NumPy and polars let go of the interpreter while they work, and rows that stay where they are
cost nothing. Handing them from process to process took as long as decoding them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from analyzer.sources.capture.decode import Decoder, Piece
from analyzer.sources.capture.window import Window

THREADS_MOST = 2
"""Of those that are not asked for: each holds a window and its columns, some 60 MB, and a third gains little."""


def threads() -> int:
    """How many threads decode a capture unless the user says so: one per core that this process may use."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, THREADS_MOST)


def pieces(frames: Iterator[Window], source: str, jobs: int) -> Iterator[Piece]:
    """The windows, decoded by so many threads; the same pieces whatever their number."""
    decoder = Decoder(source)
    if jobs == 1:
        for window in frames:
            yield decoder.decode(window)
        return
    under_way: deque[Future[Piece]] = deque()
    with ThreadPoolExecutor(jobs, thread_name_prefix="decode") as pool:
        try:
            for window in frames:
                under_way.append(pool.submit(decoder.decode, window))
                if len(under_way) == jobs:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
