"""Read every input into tables; one that breaks costs one sentence, never the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce

import polars as pl
from msgspec.structs import replace

from analyzer.case import Case, Place, Rows, Writer, beside, is_case, load, merged
from analyzer.errors import InputError
from analyzer.model import InputReport
from analyzer.pipeline.beside import processes, read_beside, read_here, shares, write_beside
from analyzer.pipeline.engine import Engine
from analyzer.pipeline.one_input import Job, Read, work
from analyzer.pipeline.options import Progress, RunOptions
from analyzer.pipeline.recognise import Known, recognise, size_of
from analyzer.pipeline.sink import Sink
from analyzer.sources.contract import Ledger, ReadOptions
from analyzer.sources.stream import Opener


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
    # What has no year of its own takes it from the span of what has, unless the user says it: then nobody has to wait.
    for wanted in ((False, True),) if options.year is not None else ((False,), (True,)):
        how = ReadOptions(
            tz=options.tz, year=options.year, dated_span=span, jobs=options.jobs, coredns_format=options.coredns_format
        )
        wave = [Job(item, source.name, how) for item, source in ready if source.needs_dates in wanted]
        read = _read_wave(wave, options, progress, sink)
        reports |= {report.path: report for report, _ in read}
        places |= {report.path: replace(places[report.path], marks=marks) for report, marks in read if marks}
        span = reduce(_widen, (report for report, _ in read), span)
    return sink.case(tuple(reports[name] for name in sorted(reports)), places)


def _read_wave(wave: Sequence[Job], options: RunOptions, progress: Progress, sink: Sink) -> list[Read]:
    """Read by whoever is quickest: the engine's workers, processes beside this one, or this one alone."""
    if options.engine.apart:
        return _read_apart(wave, sink.apart(), options.engine)
    parts = shares(wave)
    if (count := processes(parts, options.processes)) > 1:
        if sink.keeps:
            return write_beside(parts, count, sink.apart(), progress)
        return read_beside(parts, count, sink, progress)
    return read_here([job for part in parts for job in part.jobs], sink, progress)


def _read_apart(jobs: Sequence[Job], writer: Writer, engine: Engine) -> list[Read]:
    """Read by the engine's workers, which write their parts into the folder of this case."""
    folder = writer.folder.resolve()
    moved = [replace(job, item=replace(job.item, path=job.item.path.resolve()), folder=folder) for job in jobs]
    read = []
    for done in engine.map(work, moved):
        writer.count(done.heights, done.size)
        read.append(done.read)
    return read


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
