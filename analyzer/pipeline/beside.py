"""Inputs read side by side by processes of this machine, where there are several and they are large.

This process reads its share of them into its tables. Each of the others lays the rows of whole inputs on a shelf, from
which this one takes them. A process that is lost, for want of memory say, or has no room for its shelf, costs nothing:
what it had is read here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from analyzer.case import Writer
from analyzer.pipeline.effort import seconds_of
from analyzer.pipeline.one_input import Done, Job, Read, Taker, read_one, work
from analyzer.pipeline.options import Progress
from analyzer.pipeline.shelf import Laid, Shelf, pour
from analyzer.pipeline.sink import Sink
from analyzer.sources.discover import STDIN
from analyzer.sources.stream import Opener

FROM = 0.5
"""Seconds of reading beside the longest input from which processes pay: one is ready after so long [measured]."""

BUNDLE = 0.2
"""Seconds of reading that a process is given at least, as far as there are inputs: sending it the next takes time."""

MOST = 8
"""Processes of those that nobody asked for."""

PROCESS_MEMORY = 320 << 20
"""Bytes that a process which reads takes at most."""


R = TypeVar("R")


class Share(Struct, frozen=True):
    """What one process reads in one go: a file, what is wanted of an archive, in its order, or several small ones.
    `seconds`: how long that takes, as far as one knows before."""

    jobs: tuple[Job, ...]
    seconds: float


def shares(jobs: Sequence[Job]) -> list[Share]:
    """The inputs, members of one archive together and in its order: it is read in one pass."""

    def place(job: Job) -> tuple[str, int]:
        return str(job.item.path), job.item.member.start if job.item.member else 0

    grouped = groupby(sorted(jobs, key=place), key=lambda job: str(job.item.path))
    return [Share(each, sum(map(seconds_of, each))) for _, jobs in grouped for each in [tuple(jobs)]]


def affordable(memory: int | None) -> int:
    """How many processes may read unless the user says so: one per core, and what fits into `memory` bytes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST, max(1, memory // PROCESS_MEMORY) if memory is not None else MOST)


def processes(parts: Sequence[Share], most: int) -> int:
    """How many processes shall read these, of so many that may; 1 where this one alone is as quick."""
    apart = [part.seconds for part in _divided(parts)[1]]
    if len(apart) < 2 or sum(apart) - max(apart) < FROM:
        return 1
    return min(most, len(apart))


def _divided(parts: Sequence[Share]) -> tuple[list[Share], list[Share]]:
    """What only this process can read, which is standard input, and the others."""
    here = [part for part in parts if part.jobs[0].item.path == STDIN]
    return here, [part for part in parts if part not in here]


def read_beside(parts: Sequence[Share], count: int, sink: Sink, progress: Progress) -> list[Read]:
    """Read the inputs by so many processes, this one among them, into the sink."""
    read: list[Read] = []
    progress.phase(f"reading {len(parts)} inputs, {count} at a time")

    def here(part: Share) -> None:
        with Opener() as opener:
            read.extend(read_one(job, sink, opener, progress) for job in part.jobs)

    def take(laid: list[Laid]) -> None:
        for one in laid:
            read.append(one.read)
            pour(one, sink)
            progress.advance(one.read[0].bytes)

    with tempfile.TemporaryDirectory(prefix="analyze-") as folder:
        _all_of(parts, count, here, partial(_lay, folder=Path(folder)), take)
    return read


def write_beside(parts: Sequence[Share], count: int, writer: Writer, progress: Progress) -> list[Read]:
    """Read the inputs by so many processes, this one among them, which write into the folder of the case."""
    read: list[Read] = []
    folder = writer.folder.resolve()

    def take(done: list[Done]) -> None:
        for one in done:
            writer.count(one.heights, one.size)
            read.append(one.read)
            progress.advance(one.read[0].bytes)

    given = [replace(part, jobs=tuple(replace(job, folder=folder) for job in part.jobs)) for part in parts]
    _all_of(given, count, lambda part: take(_write(part)), _write, take)
    return read


def _all_of(
    parts: Sequence[Share],
    count: int,
    here: Callable[[Share], None],
    beside: Callable[[Share], R],
    take: Callable[[R], None],
) -> None:
    """Have every share read by `here` or `beside`."""
    from analyzer.pipeline.crew import spread  # with multiprocessing it costs every start a hundredth of a second

    fair = sum(part.seconds for part in parts) / count
    own, apart = _divided(parts)
    # What takes longer than all else may use every core; else the other cores have inputs of their own.
    given = _bundled([part if part.seconds > fair else _alone(part) for part in apart])
    spread(own, given, count, here, beside, take)


def _bundled(parts: Sequence[Share]) -> list[Share]:
    """Small ones put together."""
    bundled, small, seconds = list[Share](), list[Job](), 0.0
    for part in parts:
        if part.seconds >= BUNDLE:
            bundled.append(part)
            continue
        small, seconds = [*small, *part.jobs], seconds + part.seconds
        if seconds >= BUNDLE:
            bundled.append(Share(tuple(small), seconds))
            small, seconds = [], 0.0
    return [*bundled, Share(tuple(small), seconds)] if small else bundled


def read_here(jobs: Sequence[Job], sink: Taker, progress: Progress) -> list[Read]:
    """Read inputs in this process, one after the other."""
    read = []
    with Opener() as opener:
        for job in jobs:
            progress.phase(f"reading {job.item.id}")
            read.append(read_one(job, sink, opener, progress))
    return read


def _alone(part: Share) -> Share:
    """Decoded by one thread."""
    return replace(part, jobs=tuple(replace(job, how=replace(job.how, jobs=1)) for job in part.jobs))


def _lay(part: Share, folder: Path) -> list[Laid]:
    """Read inputs onto a shelf: a pure function of them, but for the files that it writes."""
    laid = []
    with Opener() as opener:
        for job in part.jobs:
            shelf = Shelf(folder, sha256(job.item.id.encode()).hexdigest()[:16], [], {}, {})
            laid.append(Laid(read_one(job, shelf, opener, Progress()), tuple(shelf.parts)))
    return laid


def _write(part: Share) -> list[Done]:
    return [work(job) for job in part.jobs]
