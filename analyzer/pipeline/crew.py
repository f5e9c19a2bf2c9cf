"""Has many things done by this process and others beside it, so that all are ready at about the same time.

Each process has a lane of things to do, the longest first; whoever is through with its own takes from the lane that
has most left. A process that is lost costs nothing: what it had is done here.
"""

from __future__ import annotations

import gc
import heapq
import importlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Generic, Protocol, TypeVar

from analyzer.errors import OutputError


class Timed(Protocol):
    """Something to do, and how long that takes, as far as one knows."""

    @property
    def seconds(self) -> float: ...


T = TypeVar("T", bound=Timed)
R = TypeVar("R")


def spread(
    own: Sequence[T],
    items: Sequence[T],
    count: int,
    here: Callable[[T], None],
    beside: Callable[[T], R],
    take: Callable[[R], None],
) -> None:
    """Do the items in `count` processes, of which this is one, and what is its `own` in this one.

    `here` does one in this process, `beside` in another; `take` is given, in this one, what that made. Neither `here`
    nor `take` is called while the other runs.
    """
    with _pool(count - 1, _module_of(beside)) as pool:
        crew = _Crew(pool, beside, _Lanes(items, count))
        for lane in range(1, count):
            crew.send(lane)
        for one in own:
            here(one)
        while (item := crew.own()) is not None:
            here(item)
            crew.collect(take)
        while crew.under_way:
            crew.collect(take, patient=True)
    for one in crew.lost:
        here(one)


def planned(items: Sequence[T], count: int) -> list[list[T]]:
    """The items dealt to so many lanes, the longest lane first, and in each the longest item.

    Differencing (N. Karmarkar, R. M. Karp: The Differencing Method of Set Partitioning, 1982): the two most uneven
    plans become one, in which what is longest in the one goes with what is shortest in the other.
    """
    if not items:
        return [[] for _ in range(count)]
    # The number tells plans that are as uneven apart.
    plans = [
        (-item.seconds, n, [(item.seconds, [item]), *((0.0, list[T]()) for _ in range(count - 1))])
        for n, item in enumerate(items)
    ]
    heapq.heapify(plans)
    while len(plans) > 1:
        _, n, one = heapq.heappop(plans)
        _, _, other = heapq.heappop(plans)
        both = [_joined(long, short) for long, short in zip(one, reversed(other), strict=True)]
        both.sort(key=lambda lane: -lane[0])
        heapq.heappush(plans, (both[-1][0] - both[0][0], n, both))
    return [sorted(lane, key=lambda item: -item.seconds) for _, lane in plans[0][2]]


def _joined(one: tuple[float, list[T]], other: tuple[float, list[T]]) -> tuple[float, list[T]]:
    long, short = (one[1], other[1]) if len(one[1]) > len(other[1]) else (other[1], one[1])
    long.extend(short)
    return one[0] + other[0], long


class _Lanes(Generic[T]):
    """What is still to be done."""

    def __init__(self, items: Sequence[T], count: int) -> None:
        self._lanes = [deque(lane) for lane in planned(items, count)]
        self._left = [sum(item.seconds for item in lane) for lane in self._lanes]

    def next(self, lane: int) -> T | None:
        """What is next in that lane, or the shortest of the one that has most left."""
        own = bool(self._lanes[lane])
        if not own:
            lane = max(range(len(self._lanes)), key=lambda n: (bool(self._lanes[n]), self._left[n]))
        if not self._lanes[lane]:
            return None
        item = self._lanes[lane].popleft() if own else self._lanes[lane].pop()
        self._left[lane] -= item.seconds
        return item


class _Crew(Generic[T, R]):
    """The processes beside this one; `lost`: what one of them left undone that was lost, or could not write."""

    def __init__(self, pool: ProcessPoolExecutor, function: Callable[[T], R], lanes: _Lanes[T]) -> None:
        self._pool = pool
        self._function = function
        self._lanes = lanes
        self._lock = Lock()
        self.under_way: dict[Future[R], T] = {}
        self.lost: list[T] = []

    def own(self) -> T | None:
        """What is next for this process. None: all that is left is under way."""
        with self._lock:
            return self._lanes.next(0)

    def send(self, lane: int) -> None:
        """Give another process what is next in that lane, and what follows as soon as that is ready."""
        # Under the lock, so that nothing is on its way from the lane to those under way when `own` finds no more.
        with self._lock:
            if (item := self._lanes.next(lane)) is None:
                return
            try:
                future = self._pool.submit(self._function, item)
            except RuntimeError:  # the processes are lost, or we are being interrupted
                self.lost.append(item)
                return
            self.under_way[future] = item
        # Called by a thread of the pool.
        future.add_done_callback(lambda done: self.send(lane) if _went_well(done) else None)

    def collect(self, take: Callable[[R], None], *, patient: bool = False) -> None:
        """Take what is ready; if `patient`, wait until something is."""
        ready, _ = wait(self.under_way.copy(), None if patient else 0, FIRST_COMPLETED)
        for future in ready:
            item = self.under_way.pop(future)
            try:
                made = future.result()
            except (BrokenProcessPool, OutputError):
                self.lost.append(item)
            else:
                take(made)


def _went_well(future: Future[R]) -> bool:
    return not future.cancelled() and future.exception() is None


def _module_of(function: Callable[[T], R]) -> str:
    inner = function.func if isinstance(function, partial) else function
    return inner.__module__


@contextmanager
def _pool(count: int, module: str) -> Iterator[ProcessPoolExecutor]:
    """Processes that begin anew: to fork one with threads inside, as polars has them, may lock up."""
    begin = multiprocessing.get_context("spawn")
    pool, whole = ProcessPoolExecutor(count, begin, _begin, (module,)), False
    try:
        yield pool
        whole = True
    finally:
        if not whole:
            for child in multiprocessing.active_children():
                child.terminate()
        pool.shutdown(wait=whole, cancel_futures=True)


def _begin(module: str) -> None:
    """A process that works for another: whoever interrupts us means the one that started it; it has one core. What is
    imported is there to stay, and nobody looks through it for garbage."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["POLARS_MAX_THREADS"] = "1"
    gc.disable()
    importlib.import_module("numpy")  # before polars, as the command line does
    importlib.import_module(module)
    gc.freeze()
    gc.enable()
