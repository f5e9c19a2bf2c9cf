"""Open, recognise and read every input; one that breaks costs one sentence, never the run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from analyzer import sources
from analyzer.case import Case, Place, is_case, load, merged
from analyzer.errors import InputError, UsageError
from analyzer.frames import Table, concat
from analyzer.model import InputReport
from analyzer.pipeline.options import Progress, RunOptions
from analyzer.sources.archives import NESTED, Listing, is_archive
from analyzer.sources.contract import Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.discover import discover
from analyzer.sources.stream import Opener, Stream

log = logging.getLogger(__name__)

HEAD = 64 << 10
"""Bytes that identification looks at."""

UNKNOWN = "unknown"
REFUSED = "refused"
ARCHIVE = "archive"
"""Kind of the report on an archive in which something was lost; its members have reports of their own."""

Parts = dict[Table, list[pl.DataFrame]]


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
    items = [item for item in items if not replaced or _file(item.path) not in replaced]
    known = [Known(item=Item(id=name, path=Path(name)), report=_unread(name, REFUSED, why)) for name, why in refused]
    ids = {one.item.id for one in known} | {item.id for item in items}
    with Opener() as opener:
        for item in items:
            one = _recognise(item, kind, opener)
            known += [one] if one is not None else _members(item, kind, opener, ids)
    return sorted(known, key=lambda one: one.item.id)


def read_all(options: RunOptions, progress: Progress) -> Case:
    """Read all inputs: files, and cases that were ingested before. Raises UsageError for an unknown kind."""
    cases = [load(path) for path in options.inputs if is_case(path)]
    fresh = _read_files(recognise(options.inputs, options.kind, options.outputs), options, progress)
    whole = merged([*cases, fresh]) if cases else fresh
    whole.tables = {table: _window(frame, options) for table, frame in whole.tables.items()}
    return whole


def _read_files(known: Sequence[Known], options: RunOptions, progress: Progress) -> Case:
    case = Case()
    reports = {one.item.id: one.report for one in known if one.report is not None}
    ready = [(one.item, one.source) for one in known if one.source is not None]
    progress.total(sum(_size(item) for item, _ in ready))
    parts: dict[str, Parts] = {}
    span: tuple[datetime, datetime] | None = None
    with Opener() as opener:
        for item, source in sorted(ready, key=_order):
            progress.phase(f"reading {item.id}")
            case.places[item.id] = Place(item.path, source.name, item.member)
            how = ReadOptions(tz=options.tz, year=options.year, dated_span=span)
            report = _read_one(item, source, how, opener, parts.setdefault(item.id, {}), progress)
            reports[item.id] = report
            if report.used:
                for table in source.tables:
                    parts[item.id].setdefault(table, [])
            if not source.needs_dates:
                span = _widen(span, report)
    case.reports = tuple(reports[name] for name in sorted(reports))
    case.tables = _tables([parts[name] for name in sorted(parts)])
    return case


def _order(ready: tuple[Item, Source]) -> tuple[bool, str, int]:
    """What needs the dates of others comes after them; members of an archive are read in its order, in one pass."""
    item, source = ready
    return source.needs_dates, str(item.path), item.member.start if item.member else 0


def _tables(parts: Sequence[Parts]) -> dict[Table, pl.DataFrame]:
    """The rows of all inputs, in the order of their ids, whatever the order of reading was."""
    found = sorted({table for part in parts for table in part}, key=_name)
    return {table: concat(table, [frame for part in parts for frame in part.get(table, ())]) for table in found}


def _members(item: Item, kind: str | None, opener: Opener, ids: set[str]) -> list[Known]:
    """The members of an archive, each recognised while the archive is listed; what it lost is a report of its own."""
    listing = Listing(opener.archive(item), item, ids)
    found = [(member, _recognise(member, kind, opener)) for member in listing]
    known = [
        Known(item=Item(id=name, path=item.path), report=_unread(name, ARCHIVE if name == item.id else REFUSED, why))
        for name, why in listing.refused
    ]
    for member, one in found:
        settled = listing.settled(member)
        if one is None:
            one = Known(item=settled, report=_unread(settled.id, REFUSED, NESTED))
        report = replace(one.report, bytes=_size(settled)) if one.report is not None else None
        known.append(replace(one, item=settled, report=report))
    return known


def _recognise(item: Item, kind: str | None, opener: Opener) -> Known | None:
    """What an input is by its head; None for an archive."""
    try:
        with opener.open(item, Ledger()) as stream:
            head = stream.peek(HEAD)
            best = sources.identify(head) if kind is None else None
            certain = best is not None and best[1].confidence == sources.CERTAIN
            if not certain and is_archive(head):
                return None
            if kind is None and best is None:
                stream.beware()
    except (InputError, OSError) as error:
        return Known(item=item, report=_unread(item.id, REFUSED, _sentence(error), _size(item)))
    if kind is not None:
        return Known(item=item, source=_forced(kind), match=Match(1.0, "as the command says"))
    if not head:
        return Known(item=item, report=_unread(item.id, UNKNOWN, "empty file", _size(item)))
    if best is None:
        first = head[:8].hex(" ")
        why = f"not a capture or a log that is known here (first bytes: {first}); force a kind with --as"
        return Known(item=item, report=_unread(item.id, UNKNOWN, why, _size(item)))
    return Known(item=item, source=best[0], match=best[1])


def _forced(kind: str) -> Source:
    for source in sources.load():
        if source.name == kind:
            return source
    raise UsageError(f"there is no kind {kind}; there are {', '.join(source.name for source in sources.load())}")


def _read_one(
    item: Item, source: Source, how: ReadOptions, opener: Opener, parts: Parts, progress: Progress
) -> InputReport:
    ledger = Ledger()
    error, stream = "", None
    try:
        with opener.open(item, ledger) as stream:
            done = 0
            for batch in source.read(stream, item, how, ledger):
                for table, frame in batch.items():
                    parts.setdefault(table, []).append(frame)
                progress.advance(stream.taken - done)
                done = stream.taken
            while stream.read(1 << 20):  # what the source did not want still belongs to the hash
                pass
            progress.advance(stream.taken - done)
    except (InputError, OSError) as problem:
        error = _sentence(problem)
    except Exception as problem:  # guard: one broken input must not cost the run
        log.debug("input %s failed", item.id, exc_info=True)
        error = f"could not be read further: {type(problem).__name__}: {problem}"[:400]
    sha256, size = _identity(stream, item)
    return ledger.report(path=item.id, kind=source.name, sha256=sha256, size=size, error=error)


def _identity(stream: Stream | None, item: Item) -> tuple[str, int]:
    return (stream.sha256, stream.size) if stream is not None else ("", _size(item))


def _sentence(error: InputError | OSError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _unread(name: str, kind: str, why: str, size: int = 0) -> InputReport:
    return replace(Ledger().report(path=name, kind=kind, sha256="", size=size), error=why)


def _size(item: Item) -> int:
    if item.member is not None:
        return item.member.size
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


def _name(table: Table) -> str:
    return table.name


def _widen(span: tuple[datetime, datetime] | None, report: InputReport) -> tuple[datetime, datetime] | None:
    if report.first_time is None or report.last_time is None:
        return span
    if span is None:
        return report.first_time, report.last_time
    return min(span[0], report.first_time), max(span[1], report.last_time)


def _window(frame: pl.DataFrame, options: RunOptions) -> pl.DataFrame:
    if options.start is not None:
        frame = frame.filter(pl.col("time") >= pl.lit(options.start.astimezone(UTC)))
    if options.end is not None:
        frame = frame.filter(pl.col("time") < pl.lit(options.end.astimezone(UTC)))
    return frame


def usable(reports: Iterable[InputReport]) -> bool:
    """Whether anything at all could be read."""
    return any(report.used for report in reports)
