"""Read one input: a pure function of it, so that it may run in another process or be repeated."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Protocol

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from analyzer.case import Parts
from analyzer.errors import InputError, OutputError
from analyzer.frames import Table
from analyzer.model import InputReport
from analyzer.pipeline.options import Progress
from analyzer.pipeline.recognise import sentence, size_of, source_of
from analyzer.sources.clusters import HEAD, cluster_of
from analyzer.sources.contract import Batch, Item, Ledger, Marks, ReadOptions
from analyzer.sources.stream import Opener, Stream

log = logging.getLogger(__name__)

Read = tuple[InputReport, Marks | None]
"""What became of one input, and where its records stand."""


EXPORTED = {"audit", "kubelet", "coredns", "events"}
"""Kinds that clouds export under the name of their cluster."""


class Taker(Protocol):
    """Where the rows of an input go."""

    def add(self, table: Table, frame: pl.DataFrame | None = None) -> None:
        """Take rows of the input that is being read; without rows, say that the table was read."""

    def end_input(self) -> None:
        """All rows of the input were added."""


class Job(Struct, frozen=True):
    """One input to read. `folder` is the case that its rows go to, where another process reads it."""

    item: Item
    kind: str
    how: ReadOptions
    folder: Path | None = None


class Done(Struct, frozen=True):
    """What became of one input."""

    read: Read
    heights: dict[Table, int]
    size: int


def work(job: Job) -> Done:
    """Read one input on a worker: a pure function of the input, but for the files that it writes."""
    assert job.folder is not None
    parts = Parts(job.folder)
    with Opener() as opener:
        read = read_one(job, parts, opener, Progress())
    return Done(read, parts.heights, parts.bytes)


def read_one(job: Job, rows: Taker, opener: Opener, progress: Progress) -> Read:
    source, item, ledger = source_of(job.kind), job.item, Ledger()
    sha256, size, cluster = "", size_of(item), ""
    try:
        with opener.open(item, ledger) as stream:
            cluster = cluster_of(stream.peek(HEAD)) if source.name in EXPORTED else ""
            error = _rows_of(stream, job, rows, ledger, progress)
            # Also of what nobody wanted, and while the input is open.
            sha256, size = stream.sha256, stream.size
    except (InputError, OSError) as problem:
        error = sentence(problem)
    if ledger.used:
        for table in source.tables:
            rows.add(table)
    rows.end_input()
    report = ledger.report(path=item.id, kind=source.name, sha256=sha256, size=size, error=error)
    return replace(report, cluster=cluster), ledger.marks


def _hand_over(rows: Taker, batch: Batch) -> None:
    for table, frame in batch.items():
        rows.add(table, frame)


def _rows_of(stream: Stream, job: Job, rows: Taker, ledger: Ledger, progress: Progress) -> str:
    """Read an input to its end, or to where it breaks: then the sentence that says why."""
    done = 0
    try:
        # Mapped, so that nobody holds a batch while the next one is made.
        for _ in map(partial(_hand_over, rows), source_of(job.kind).read(stream, job.item, job.how, ledger)):
            progress.advance(stream.taken - done)
            done = stream.taken
        while stream.read(1 << 20):  # damage behind what the source wanted is told too
            pass
    except OutputError:
        raise
    except (InputError, OSError) as problem:
        return sentence(problem)
    except Exception as problem:  # guard: one broken input must not cost the run
        log.debug("input %s failed", job.item.id, exc_info=True)
        return f"could not be read further: {type(problem).__name__}: {problem}"[:400]
    finally:
        progress.advance(stream.taken - done)
    return ""
