"""Inputs read side by side by processes of this machine, where there are several and they are large.

Each process reads whole inputs and lays their rows on a shelf: Arrow files below a temporary folder, which this process
takes into its tables one input after the other. That costs a tenth of the reading. A process that is lost, for want of
memory say, or has no room for its shelf, costs nothing: what it had is read here.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from analyzer.case import Writer
from analyzer.case.parts import Writing
from analyzer.errors import OutputError
from analyzer.frames import TABLES, Table, concat
from analyzer.pipeline.one_input import Done, Job, Read, Taker, read_one, work
from analyzer.pipeline.options import Progress
from analyzer.pipeline.recognise import size_of
from analyzer.pipeline.sink import Sink
from analyzer.sources.discover import STDIN
from analyzer.sources.stream import Opener

FROM = 32 << 20
"""Bytes beside the largest input from which processes pay: one is ready after half a second, in which this process
reads 60 MB of a plain log and 6 MB of a compressed one [measured]."""

EACH = 2 << 20
"""Bytes of a log that are read in the time that any input takes before its first line [measured]."""

MOST = 8
"""Processes of those that nobody asked for."""

PROCESS_MEMORY = 320 << 20
"""Bytes that a process which reads takes at most."""

SHELF_BYTES = 64 << 20
"""Bytes of one table that are held before they are laid on the shelf."""

_TABLES = {table.name: table for table in TABLES}
"""A table that comes from another process is another object, and tables are told apart as such: names come instead."""

T = TypeVar("T")
R = TypeVar("R")


class Share(Struct, frozen=True):
    """What one process reads in one go: a file, or what is wanted of an archive, in its order."""

    jobs: tuple[Job, ...]
    size: int


class Shelf(Struct):
    """Takes the rows of one input as files; `parts` are names of tables and the files of their rows, None where there
    are none."""

    folder: Path
    name: str
    parts: list[tuple[str, Path | None]]
    held: dict[Table, list[pl.DataFrame]]
    sizes: dict[Table, int]

    def add(self, table: Table, frame: pl.DataFrame | None = None) -> None:
        if frame is None or not frame.height:
            self.parts.append((table.name, None))
            return
        self.held.setdefault(table, []).append(frame)
        self.sizes[table] = self.sizes.get(table, 0) + int(frame.estimated_size())
        if self.sizes[table] > SHELF_BYTES:
            self._lay(table)

    def end_input(self) -> None:
        for table in list(self.held):
            self._lay(table)

    def _lay(self, table: Table) -> None:
        path = self.folder / f"{self.name}-{len(self.parts)}.arrow"
        frame = concat(table, self.held.pop(table))
        self.sizes[table] = 0
        with Writing(self.folder):  # else a full disk would be taken for an input that breaks
            frame.write_ipc(path, compression="uncompressed", compat_level=pl.CompatLevel.newest())
        self.parts.append((table.name, path))


class Laid(Struct, frozen=True):
    """What became of one input, and where its rows lie."""

    read: Read
    parts: tuple[tuple[str, Path | None], ...]


def shares(jobs: Sequence[Job]) -> list[Share]:
    """The inputs, members of one archive together and in its order: it is read in one pass."""

    def place(job: Job) -> tuple[str, int]:
        return str(job.item.path), job.item.member.start if job.item.member else 0

    grouped = groupby(sorted(jobs, key=place), key=lambda job: str(job.item.path))
    return [Share(each, sum(size_of(job.item) for job in each)) for _, jobs in grouped for each in [tuple(jobs)]]


def affordable(memory: int | None) -> int:
    """How many processes may read unless the user says so: one per core, and what fits into `memory` bytes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST, max(1, memory // PROCESS_MEMORY) if memory is not None else MOST)


def processes(parts: Sequence[Share], most: int) -> int:
    """How many processes shall read these, of so many that may; 1 where this one is as quick."""
    apart = [part.size + EACH * len(part.jobs) for part in _divided(parts)[1]]
    if len(apart) < 2 or sum(apart) - max(apart) < FROM:
        return 1
    return min(most, len(apart))


def _divided(parts: Sequence[Share]) -> tuple[list[Share], list[Share]]:
    """What only this process can read, which is standard input, and the others, the largest first."""
    here = [part for part in parts if part.jobs[0].item.path == STDIN]
    return here, sorted((part for part in parts if part not in here), key=lambda part: -part.size)


def read_beside(parts: Sequence[Share], count: int, sink: Sink, progress: Progress) -> list[Read]:
    """Read the inputs by so many processes into the sink."""
    read: list[Read] = []
    fair = sum(part.size for part in parts) / count
    here, apart = _divided(parts)
    progress.phase(f"reading {len(parts)} inputs, {count} at a time")
    with tempfile.TemporaryDirectory(prefix="analyze-") as folder:
        given = [(part if part.size > fair else _alone(part), Path(folder), n) for n, part in enumerate(apart)]

        def take(laid: list[Laid]) -> None:
            for one in laid:
                read.append(one.read)
                for name, path in one.parts:
                    sink.add(_TABLES[name], None if path is None else pl.read_ipc(path))
                    if path is not None:
                        path.unlink()
                sink.end_input()
                progress.advance(one.read[0].bytes)

        lost = _spread(_lay, given, count, take)
        for part in [*here, *(one[0] for one in lost)]:
            read += read_here(part.jobs, sink, progress)
    return read


def write_beside(parts: Sequence[Share], count: int, writer: Writer, progress: Progress) -> list[Read]:
    """Read the inputs by so many processes, which write their parts into the folder of the case."""
    read: list[Read] = []
    folder = writer.folder.resolve()

    def take(done: list[Done]) -> None:
        for one in done:
            writer.count(one.heights, one.size)
            read.append(one.read)
            progress.advance(one.read[0].bytes)

    given = [replace(part, jobs=tuple(replace(job, folder=folder) for job in part.jobs)) for part in parts]
    here, apart = _divided(given)
    for part in [*here, *_spread(_write, apart, count, take)]:
        take(_write(part))
    return read


def read_here(jobs: Sequence[Job], sink: Taker, progress: Progress) -> list[Read]:
    """Read inputs in this process, one after the other."""
    read = []
    with Opener() as opener:
        for job in jobs:
            progress.phase(f"reading {job.item.id}")
            read.append(read_one(job, sink, opener, progress))
    return read


def _alone(part: Share) -> Share:
    """Decoded by one thread: the other cores have inputs of their own."""
    return replace(part, jobs=tuple(replace(job, how=replace(job.how, jobs=1)) for job in part.jobs))


def _lay(given: tuple[Share, Path, int]) -> list[Laid]:
    """Read inputs onto a shelf: a pure function of them, but for the files that it writes."""
    part, folder, number = given
    laid = []
    with Opener() as opener:
        for place, job in enumerate(part.jobs):
            shelf = Shelf(folder, f"{number}-{place}", [], {}, {})
            laid.append(Laid(read_one(job, shelf, opener, Progress()), tuple(shelf.parts)))
    return laid


def _write(part: Share) -> list[Done]:
    return [work(job) for job in part.jobs]


def _spread(function: Callable[[T], R], items: Sequence[T], count: int, take: Callable[[R], None]) -> list[T]:
    """Give the items to processes and what they make of them to `take`, whichever is ready first. Returns the items
    that a process left undone which was lost, or could not write."""
    waiting, under_way = list(reversed(items)), dict[Future[R], T]()
    with _pool(count) as pool:
        while waiting or under_way:
            while waiting and len(under_way) < 2 * count:
                try:
                    under_way[pool.submit(function, waiting[-1])] = waiting[-1]
                except BrokenProcessPool:
                    return [*under_way.values(), *waiting]
                waiting.pop()
            ready, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in ready:
                try:
                    made = future.result()
                except (BrokenProcessPool, OutputError):
                    return [*under_way.values(), *waiting]
                del under_way[future]
                take(made)
    return []


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that begin anew: to fork one with threads inside, as polars has them, may lock up."""
    pool, whole = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin), False
    try:
        yield pool
        whole = True
    finally:
        if not whole:
            for child in multiprocessing.active_children():
                child.terminate()
        pool.shutdown(wait=whole, cancel_futures=True)


def _begin() -> None:
    """A process that reads: whoever interrupts us means the one that started it; it has one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["POLARS_MAX_THREADS"] = "1"
