"""Open, recognise and read every input; one that breaks costs one sentence, never the run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

import polars as pl

from analyzer import sources
from analyzer.case import Case, Parts, Place, Rows, Writer, beside, is_case, load, merged
from analyzer.errors import InputError, OutputError, UsageError
from analyzer.frames import Table
from analyzer.model import InputReport
from analyzer.pipeline.engine import Engine
from analyzer.pipeline.options import Progress, RunOptions
from analyzer.pipeline.sink import Sink
from analyzer.sources.contract import Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.discover import discover
from analyzer.sources.stream import Stream, open_stream

log = logging.getLogger(__name__)

HEAD = 64 << 10
"""Bytes that identification looks at."""

UNKNOWN = "unknown"
REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An input and what it was recognised as; `report` stands instead where it cannot be read."""

    item: Item
    source: Source | None = None
    match: Match | None = None
    report: InputReport | None = None


def recognise(paths: Sequence[Path], kind: str | None = None, outputs: Sequence[Path] = ()) -> list[Known]:
    """Every input below `paths`, in the order of ids, with its source. Raises UsageError for an unknown kind."""
    items, refused = discover([path for path in paths if not is_case(path)])
    replaced = {identity for path in outputs if (identity := _file(path))}
    known = [_recognise(item, kind) for item in items if not replaced or _file(item.path) not in replaced]
    known += [Known(item=Item(id=name, path=Path(name)), report=_unread(name, REFUSED, why)) for name, why in refused]
    return sorted(known, key=lambda one: one.item.id)


def read_all(options: RunOptions, progress: Progress, sink: Sink) -> Case:
    """Read all inputs: files, and cases that were ingested before. Raises UsageError for an unknown kind."""
    cases = [load(path, options.memory) for path in options.inputs if is_case(path)]
    known = recognise(options.inputs, options.kind, options.outputs)
    if sink.keeps:
        whole = _read_files(known, options, progress, sink, cases)
    elif known or not cases:
        whole = merged([*cases, _read_files(known, options, progress, sink)])
    else:
        whole = merged(cases)
    if options.start is not None or options.end is not None:
        whole.tables = {table: _window(rows, options) for table, rows in whole.tables.items()}
    return whole


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
    known = [_apart(one, reports) for one in known]
    reports |= {one.item.id: one.report for one in known if one.report is not None}
    ready = [(one.item, one.source) for one in known if one.source is not None]
    progress.total(sum(_size(item) for item, _ in ready))
    span: tuple[datetime, datetime] | None = None
    places |= {item.id: Place(item.path, source.name) for item, source in ready}
    # What has no year of its own takes it from the span of what has.
    for needs_dates in (False, True):
        how = ReadOptions(tz=options.tz, year=options.year, dated_span=span)
        wave = [_Job(item, source.name, how) for item, source in ready if source.needs_dates == needs_dates]
        read = (
            _read_apart(wave, sink.apart(), options.engine)
            if options.engine.apart
            else _read_here(wave, sink, progress)
        )
        reports |= {report.path: report for report in read}
        span = reduce(_widen, read, span)
    return sink.case(tuple(reports[name] for name in sorted(reports)), places)


@dataclass(frozen=True, slots=True)
class _Job:
    """One input to read. `folder` is the case that its rows go to, where another process reads it."""

    item: Item
    kind: str
    how: ReadOptions
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class _Done:
    report: InputReport
    heights: dict[Table, int]
    size: int


def _read_here(jobs: Sequence[_Job], sink: Sink, progress: Progress) -> list[InputReport]:
    reports = []
    for job in jobs:
        progress.phase(f"reading {job.item.id}")
        reports.append(_read_one(job, sink, progress))
    return reports


def _read_apart(jobs: Sequence[_Job], writer: Writer, engine: Engine) -> list[InputReport]:
    """Read by the engine's workers, which write their parts into the folder of this case."""
    folder = writer.folder.resolve()
    moved = [replace(job, item=replace(job.item, path=job.item.path.resolve()), folder=folder) for job in jobs]
    reports = []
    for done in engine.map(_work, moved):
        writer.count(done.heights, done.size)
        reports.append(done.report)
    return reports


def _work(job: _Job) -> _Done:
    """Read one input on a worker: a pure function of the input, but for the files that it writes."""
    assert job.folder is not None
    parts = Parts(job.folder)
    report = _read_one(job, parts, Progress())
    return _Done(report, parts.heights, parts.bytes)


def _apart(one: Known, taken: Mapping[str, InputReport]) -> Known:
    """The input under an id that no other has."""
    name, number = one.item.id, 1
    while name in taken:
        number += 1
        name = f"{one.item.id} ({number})"
    report = replace(one.report, path=name) if one.report is not None else None
    return replace(one, item=replace(one.item, id=name), report=report)


def _recognise(item: Item, kind: str | None) -> Known:
    ledger = Ledger()
    try:
        with open_stream(item, ledger) as stream:
            head = stream.peek(HEAD)
    except (InputError, OSError) as error:
        return Known(item=item, report=_unread(item.id, REFUSED, _sentence(error), _size(item)))
    if kind is not None:
        return Known(item=item, source=_source_of(kind), match=Match(1.0, "as the command says"))
    if not head:
        return Known(item=item, report=_unread(item.id, UNKNOWN, "empty file", _size(item)))
    best = sources.identify(head)
    if best is None:
        first = head[:8].hex(" ")
        why = f"not a capture or a log that is known here (first bytes: {first}); force a kind with --as"
        return Known(item=item, report=_unread(item.id, UNKNOWN, why, _size(item)))
    return Known(item=item, source=best[0], match=best[1])


def _source_of(kind: str) -> Source:
    for source in sources.load():
        if source.name == kind:
            return source
    raise UsageError(f"there is no kind {kind}; there are {', '.join(source.name for source in sources.load())}")


def _read_one(job: _Job, rows: Parts | Sink, progress: Progress) -> InputReport:
    source, item, ledger = _source_of(job.kind), job.item, Ledger()
    error, stream = "", None
    try:
        with open_stream(item, ledger) as stream:
            done = 0
            for batch in source.read(stream, item, job.how, ledger):
                for table, frame in batch.items():
                    rows.add(table, frame)
                progress.advance(stream.size - done)
                done = stream.size
            while stream.read(1 << 20):  # what the source did not want still belongs to the hash
                pass
            progress.advance(stream.size - done)
    except OutputError:
        raise
    except (InputError, OSError) as problem:
        error = _sentence(problem)
    except Exception as problem:  # guard: one broken input must not cost the run
        log.debug("input %s failed", item.id, exc_info=True)
        error = f"could not be read further: {type(problem).__name__}: {problem}"[:400]
    sha256, size = _identity(stream, item)
    if ledger.used:
        for table in source.tables:
            rows.add(table)
    rows.end_input()
    return ledger.report(path=item.id, kind=source.name, sha256=sha256, size=size, error=error)


def _identity(stream: Stream | None, item: Item) -> tuple[str, int]:
    return (stream.sha256, stream.size) if stream is not None else ("", _size(item))


def _sentence(error: InputError | OSError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _unread(name: str, kind: str, why: str, size: int = 0) -> InputReport:
    return replace(Ledger().report(path=name, kind=kind, sha256="", size=size), error=why)


def _size(item: Item) -> int:
    try:
        return item.path.stat().st_size
    except OSError:
        return 0


def _file(path: Path) -> tuple[int, int] | None:
    """What tells a file from every other, whatever its name."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


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
