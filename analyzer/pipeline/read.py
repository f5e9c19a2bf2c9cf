"""Read every input into tables; one that breaks costs one sentence, never the run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from analyzer.case import Case, Parts, Place, Rows, Writer, beside, is_case, load, merged
from analyzer.errors import InputError, OutputError
from analyzer.frames import Table
from analyzer.model import InputReport
from analyzer.pipeline.engine import Engine
from analyzer.pipeline.options import Progress, RunOptions
from analyzer.pipeline.recognise import Known, recognise, sentence, size_of, source_of
from analyzer.pipeline.sink import Sink
from analyzer.sources.clusters import HEAD, cluster_of
from analyzer.sources.contract import Item, Ledger, Marks, ReadOptions
from analyzer.sources.stream import Opener, Stream

log = logging.getLogger(__name__)

Read = tuple[InputReport, Marks | None]
"""What became of one input, and where its records stand."""


def read_all(options: RunOptions, progress: Progress, sink: Sink) -> Case:
    """Read all inputs, and keep what happened in the wanted time. Raises UsageError for an unknown kind."""
    return windowed(read_whole(options, progress, sink), options)


def read_whole(options: RunOptions, progress: Progress, sink: Sink) -> Case:
    """Read all inputs: files, and cases that were ingested before. Raises UsageError for an unknown kind."""
    cases = [load(path, options.memory) for path in options.inputs if is_case(path)]
    how = ReadOptions(tz=options.tz, coredns_format=options.coredns_format)
    known = recognise(options.inputs, options.kind, options.outputs, how)
    if sink.keeps:
        return _read_files(known, options, progress, sink, cases)
    if known or not cases:
        return merged([*cases, _read_files(known, options, progress, sink)])
    return merged(cases)


def windowed(case: Case, options: RunOptions) -> Case:
    """The case with the rows of the wanted time only."""
    if options.start is None and options.end is None:
        return case
    tables = {table: _window(rows, options) for table, rows in case.tables.items()}
    return Case(tables=tables, reports=case.reports, places=case.places)


def _read_files(
    known: Sequence[Known], options: RunOptions, progress: Progress, sink: Sink, cases: Sequence[Case] = ()
) -> Case:
    """Read into the sink. One that keeps a case takes in the `cases` first."""
    places: dict[str, Place] = {}
    reports: dict[str, InputReport] = {}
    for case in cases if sink.keeps else ():
        whole = beside(case, reports)
        sink.pour(whole)
        places |= whole.places
        reports |= {report.path: report for report in whole.reports}
    known = _fresh(known, reports)
    reports |= {one.item.id: one.report for one in known if one.report is not None}
    ready = [(one.item, one.source) for one in known if one.source is not None]
    progress.total(sum(size_of(item) for item, _ in ready))
    span: tuple[datetime, datetime] | None = None
    places |= {item.id: Place(item.path, source.name, item.member) for item, source in ready}
    # What has no year of its own takes it from the span of what has.
    for needs_dates in (False, True):
        how = ReadOptions(
            tz=options.tz, year=options.year, dated_span=span, jobs=options.jobs, coredns_format=options.coredns_format
        )
        wave = [_Job(item, source.name, how) for item, source in ready if source.needs_dates == needs_dates]
        read = (
            _read_apart(wave, sink.apart(), options.engine)
            if options.engine.apart
            else _read_here(wave, sink, progress)
        )
        reports |= {report.path: report for report, _ in read}
        places |= {report.path: replace(places[report.path], marks=marks) for report, marks in read if marks}
        span = reduce(_widen, (report for report, _ in read), span)
    return sink.case(tuple(reports[name] for name in sorted(reports)), places)


EXPORTED = {"audit", "kubelet", "coredns", "events"}
"""Kinds that clouds export under the name of their cluster."""


class _Job(Struct, frozen=True):
    """One input to read. `folder` is the case that its rows go to, where another process reads it."""

    item: Item
    kind: str
    how: ReadOptions
    folder: Path | None = None


class _Done(Struct, frozen=True):
    """What became of one input."""

    read: Read
    heights: dict[Table, int]
    size: int


def _read_here(jobs: Sequence[_Job], sink: Sink, progress: Progress) -> list[Read]:
    read = []
    with Opener() as opener:
        # Members of an archive are read in its order, in one pass.
        for job in sorted(jobs, key=lambda one: (str(one.item.path), one.item.member.start if one.item.member else 0)):
            progress.phase(f"reading {job.item.id}")
            read.append(_read_one(job, sink, opener, progress))
    return read


def _read_apart(jobs: Sequence[_Job], writer: Writer, engine: Engine) -> list[Read]:
    """Read by the engine's workers, which write their parts into the folder of this case."""
    folder = writer.folder.resolve()
    moved = [replace(job, item=replace(job.item, path=job.item.path.resolve()), folder=folder) for job in jobs]
    read = []
    for done in engine.map(_work, moved):
        writer.count(done.heights, done.size)
        read.append(done.read)
    return read


def _work(job: _Job) -> _Done:
    """Read one input on a worker: a pure function of the input, but for the files that it writes."""
    assert job.folder is not None
    parts = Parts(job.folder)
    with Opener() as opener:
        read = _read_one(job, parts, opener, Progress())
    return _Done(read, parts.heights, parts.bytes)


def _fresh(known: Sequence[Known], taken: Mapping[str, InputReport]) -> list[Known]:
    """The inputs that no case holds already, each under an id that no other has."""
    fresh = []
    with Opener() as opener:
        for one in known:
            name, number = one.item.id, 1
            while (other := taken.get(name)) is not None and not _same(one, other, opener):
                number += 1
                name = f"{one.item.id} ({number})"
            if other is None:
                report = replace(one.report, path=name) if one.report is not None else None
                fresh.append(replace(one, item=replace(one.item, id=name), report=report))
    return fresh


def _same(one: Known, other: InputReport, opener: Opener) -> bool:
    """Whether the input is the one that was reported, octet for octet."""
    if one.report is not None:
        return (one.report.kind, one.report.bytes, one.report.error) == (other.kind, other.bytes, other.error)
    try:
        with opener.open(one.item, Ledger()) as stream:
            return bool(other.sha256) and stream.sha256 == other.sha256
    except (InputError, OSError):
        return False


def _read_one(job: _Job, rows: Parts | Sink, opener: Opener, progress: Progress) -> Read:
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


def _rows_of(stream: Stream, job: _Job, rows: Parts | Sink, ledger: Ledger, progress: Progress) -> str:
    """Read an input to its end, or to where it breaks: then the sentence that says why."""
    done = 0
    try:
        for batch in source_of(job.kind).read(stream, job.item, job.how, ledger):
            for table, frame in batch.items():
                rows.add(table, frame)
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


def _widen(span: tuple[datetime, datetime] | None, report: InputReport) -> tuple[datetime, datetime] | None:
    if report.first_time is None or report.last_time is None:
        return span
    if span is None:
        return report.first_time, report.last_time
    return min(span[0], report.first_time), max(span[1], report.last_time)


def _window(rows: Rows, options: RunOptions) -> Rows:
    wanted = pl.lit(True)
    if options.start is not None:
        wanted &= pl.col("time") >= pl.lit(options.start.astimezone(UTC))
    if options.end is not None:
        wanted &= pl.col("time") < pl.lit(options.end.astimezone(UTC))
    frame = rows.frame.filter(wanted)
    if not rows.buckets:
        frame = frame.collect().lazy()
    height = frame.select(pl.len()).collect().item()
    return Rows(frame, height, tuple(bucket.filter(wanted) for bucket in rows.buckets))


def usable(reports: Iterable[InputReport]) -> bool:
    """Whether anything at all could be read."""
    return any(report.used for report in reports)
