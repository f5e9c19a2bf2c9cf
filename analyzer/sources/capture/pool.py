"""Decodes windows, one half of the work beside the other where there are cores; pieces come back in their order.

Threads, not processes: kernels, NumPy and polars let go of the interpreter while they work, and rows that stay where
they are cost nothing. Handing them from process to process took as long as decoding them. Two threads that each did all
of the work of every other window took turns at the interpreter more often, and held a window more in memory. As many
threads as cores: a third that only hashed took a core from the one that was behind, while the other waited for it. What
has to be hashed fills the gaps instead: where the first thread hashed all of it, the second had nothing to do for a
twelfth of the time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from analyzer.sources.capture.decode import Decoder, Opened, Piece
from analyzer.sources.capture.window import Window

THREADS_MOST = 2
"""Of those that are not asked for: each holds a window and its columns, some 80 MB, and a third gains little."""


def threads() -> int:
    """How many threads decode a capture unless the user says so: one per core that this process may use."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, THREADS_MOST)


Spare = Callable[[], bool]
"""Work that any thread may do at any time, a part at a call; False where there is none for now."""


def pieces(frames: Iterator[Window], source: str, jobs: int, spare: Spare | None = None) -> Iterator[Piece]:
    """The windows, decoded by so many threads; the same pieces whatever their number. The first, which is the caller's,
    reads the frames, does the first half of the decoding, and helps where it would have to wait. `spare` work is done
    by whoever has nothing else to do."""
    decoder = Decoder(source)
    if jobs == 1:
        for window in frames:
            yield decoder.decode(window)
        return
    others = _Others(decoder, jobs - 1, spare or _none)
    under_way: deque[Future[Piece]] = deque()
    try:
        for window in frames:
            others.spare()
            half = decoder.open(window)
            under_way.append(others.finish(half))
            if len(under_way) == jobs:
                yield _helping(half, under_way.popleft(), spare or _none)
            del half
        while under_way:
            yield under_way.popleft().result()
    finally:
        others.close()


class _Others:
    """The threads beside the caller's. They finish windows in their order; spare work is for the time between."""

    def __init__(self, decoder: Decoder, count: int, spare: Spare) -> None:
        self._decoder = decoder
        self._spare = spare
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="decode")
        self._waiting: deque[None] = deque()

    def finish(self, half: Opened) -> Future[Piece]:
        self._waiting.append(None)
        return self._pool.submit(self._finish, half)

    def _finish(self, half: Opened) -> Piece:
        self._waiting.pop()
        return self._decoder.finish(half)

    def spare(self) -> None:
        """There may be spare work, for a thread that has no window to finish."""
        self._pool.submit(self._between)

    def _between(self) -> None:
        while not self._waiting and self._spare():
            pass

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _helping(half: Opened, oldest: Future[Piece], spare: Spare) -> Piece:
    """The piece that is waited for; meanwhile spare work, and some of that on the newest window before the others come
    to it."""
    while not oldest.done() and spare():
        pass
    for work in half.apart:
        if oldest.done():
            break
        work()
    return oldest.result()


def _none() -> bool:
    return False
