"""Run an investigation and answer with an exit code."""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import fields, replace

from analyzer import pipeline, settings
from analyzer.cli.baseline import earlier, early
from analyzer.cli.evidence import check_evidence, links, write_evidence
from analyzer.cli.labels import labels_of
from analyzer.cli.options import Kind
from analyzer.cli.output import STDOUT, Target, check, check_inputs, sound_format, targets, write
from analyzer.cli.progress import shown
from analyzer.cli.redaction import NamesFile, names_for
from analyzer.cli.stepsummary import append_summary, summary_file
from analyzer.cli.wording import plural, say, size, storable, tell
from analyzer.errors import UsageError
from analyzer.model import InputReport, Result, Severity
from analyzer.pipeline.beside import affordable
from analyzer.pipeline.engine import Dask, Engine, Here
from analyzer.render.groups import groups
from analyzer.sources.discover import STDIN

DONE, FOUND, NO_INPUT, LOST = 0, 1, 3, 4

HARMLESS = {"not-a-record"}
"""Reasons for skipping that lose no evidence: banners and headers."""

WARNINGS_SHOWN = 10
STRANGERS_SHOWN = 4

UNKNOWN = "unknown"
"""Kind of an input that no source recognised: listed, not an error."""


class Request(Struct, frozen=True, kw_only=True):
    """The command line as it was given."""

    command: str
    inputs: tuple[Path, ...]
    outputs: tuple[str, ...] = ()
    format: Kind | None = None
    default_output: str = STDOUT
    kind: str | None = None
    start: str | None = None
    end: str | None = None
    tz: str = "UTC"
    year: int | None = None
    apply_offsets: bool = False
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    config: Path | None = None
    title: str = ""
    label: tuple[str, ...] = ()
    github_summary: bool = False
    baseline: Path | None = None
    redact: bool = False
    map: Path | None = None
    evidence_dir: Path | None = None
    fail_on: str = "never"
    strict: bool = False
    max_memory: str | None = None
    jobs: int | None = None
    coredns_format: str | None = None
    scheduler: str | None = None
    quiet: bool = False
    verbose: int = 0
    color: str = "auto"
    force: bool = False

    @classmethod
    def of(cls, command: str, kind: str | None, default_output: str, params: Mapping[str, Any]) -> Request:
        """From the parsed parameters of a command, which carry the names of these fields."""
        known = {field.name for field in fields(cls)}
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in params.items()}
        named: dict[str, Any] = {name: value for name, value in given.items() if name in known and value is not None}
        return cls(**(named | {"command": command, "kind": kind, "default_output": default_output}))


def investigate(request: Request) -> int:
    """Read, detect, write; then say on stderr what was found and what was not read."""
    _prepare(request)
    request = _configured(request)
    wanted = targets(request.outputs, request.format, request.default_output)
    names = names_for(request.redact, request.map, wanted)
    given = (*request.inputs, *([request.baseline] if request.baseline else []))
    check(wanted, given, request.force)
    summary = summary_file(given) if request.github_summary else None
    slices, folder = _slices(request, given, wanted, names)
    with shown(request.quiet, request.color) as progress:
        places = tuple(Path(target.place) for target in wanted if target.place != STDOUT)
        with _engine(request) as engine:
            options = replace(_options(request, (*places, *([folder] if folder else []))), engine=engine)
            baseline = earlier(request.baseline, options, progress)
            options = replace(options, baseline=baseline, names=names.map, slices=slices)
            result = pipeline.investigate(options, progress)
    if not request.quiet:
        _warn(result.inputs, request.verbose)
    written = [*names.write(), *write_evidence(folder, slices)]
    written += write(result, wanted, lambda target: links(target, folder, slices))
    written += [append_summary(summary, result)] if summary else []
    if not request.quiet:
        _sum_up(result, request, twice=_on_the_terminal(wanted))
        for line in written:
            tell(line)
    return _code(result, request)


def _slices(
    request: Request, given: Sequence[Path], wanted: Sequence[Target], names: NamesFile
) -> tuple[pipeline.Slices | None, Path | None]:
    """What --evidence-dir asks for."""
    if (folder := request.evidence_dir) is None:
        return None, None
    outputs = [Path(target.place) for target in wanted if target.place != STDOUT]
    check_evidence(folder, given, [*outputs, *([names.path] if names.path else [])], request.force)
    return pipeline.Slices(), folder


def ingested(request: Request, folder: Path) -> int:
    """`analyze ingest`: read, keep the tables, say what was not read."""
    _prepare(request)
    with shown(request.quiet, request.color) as progress, _engine(request) as engine:
        case = pipeline.ingest(replace(_options(request), engine=engine), folder, progress)
    if not request.quiet:
        _warn(case.reports, request.verbose)
        rows = sum(rows.height for rows in case.tables.values())
        tell(f"kept {plural(rows, 'row')} of {plural(len(case.tables), 'table')} in {folder}")
    return DONE if pipeline.usable(case.reports) else NO_INPUT


def _prepare(request: Request) -> None:
    if request.verbose > 1:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(name)s: %(message)s")
    check_inputs((*request.inputs, *([request.baseline] if request.baseline else [])))
    early(request.baseline)


def _configured(request: Request) -> Request:
    """With the settings of this folder; not where they lie among the evidence, and so may be of anybody."""
    here = Path(settings.FILE_NAME)
    if request.config is not None or not os.access(here, os.F_OK):
        return request
    if any(path.is_dir() and here.resolve().is_relative_to(path.resolve()) for path in request.inputs):
        if not request.quiet:
            say(f"warning: {here} lies among the inputs and is not taken for settings; -c {here} takes it")
        return request
    return replace(request, config=here)


def _engine(request: Request) -> AbstractContextManager[Engine]:
    if request.scheduler is not None and STDIN in request.inputs:
        raise UsageError("--scheduler: its workers cannot read standard input; save it to a file that they see")
    return nullcontext(Here()) if request.scheduler is None else Dask(request.scheduler)


def _options(request: Request, outputs: tuple[Path, ...] = ()) -> pipeline.RunOptions:
    zone = _zone(request.tz)
    start, end = _time(request.start, zone, "--from"), _time(request.end, zone, "--to")
    if start and end and start >= end:
        raise UsageError(f"--from {request.start} is not before --to {request.end}; nothing would be left")
    layers = [settings.from_file(request.config)] if request.config else []
    return pipeline.RunOptions(
        inputs=request.inputs,
        kind=request.kind,
        outputs=outputs,
        start=start,
        end=end,
        tz=request.tz,
        year=request.year,
        only=request.only,
        skip=request.skip,
        overrides=(*layers, settings.from_options(request.set)),
        title=storable(request.title) or canonical_title(request.inputs),
        labels=labels_of(request.label),
        command=canonical(request),
        memory=(memory := memory_of(request.max_memory)),
        jobs=request.jobs,
        processes=request.jobs or affordable(memory),
        coredns_format=sound_format(request.coredns_format),
        apply_offsets=request.apply_offsets,
    )


_SIZE = re.compile(r"([0-9]{1,9})([KMGT]?)(i?B)?", re.IGNORECASE)


def memory_of(text: str | None) -> int:
    """Bytes of `--max-memory`; without it a quarter of the machine's, since detection needs some beside the tables."""
    if text is None:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    found = _SIZE.fullmatch(text)
    if found is None or not int(found[1]):
        raise UsageError(f"--max-memory {text}: not a size; write it as 512M or 8G")
    return int(found[1]) << 10 * " KMGT".index(found[2].upper() or " ")


def canonical(request: Request) -> str:
    """The command as a result stores it: inputs by name and sorted, nothing that cannot change the result."""
    words = ["analyze", request.command, *sorted({_name(path) for path in request.inputs})]
    pairs: list[tuple[str, str | None]] = [
        ("--as", request.kind if request.command == "postmortem" else None),
        ("--from", request.start),
        ("--to", request.end),
        ("--tz", request.tz if request.tz != "UTC" else None),
        ("--year", str(request.year) if request.year else None),
        ("--coredns-format", request.coredns_format),
        *(("--only", name) for name in sorted(request.only)),
        *(("--skip", name) for name in sorted(request.skip)),
        *(("--set", pair) for pair in request.set),
        *(("--label", pair) for pair in sorted(request.label)),
        ("--baseline", _name(request.baseline) if request.baseline else None),
        ("-c", _name(request.config) if request.config else None),
    ]
    words += ["--redact"] if request.redact else []
    words += ["--apply-offsets"] if request.apply_offsets else []
    for option, value in pairs:
        if value is not None:
            words += [option, value]
    return storable(shlex.join(words))


def _name(path: Path) -> str:
    return STDOUT if str(path) == STDOUT else storable(path.name or path.resolve().name or "/")


def canonical_title(inputs: Sequence[Path]) -> str:
    names = sorted({_name(path) for path in inputs})
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _zone(name: str) -> tzinfo:
    if name == "UTC":  # also where the machine has no zone data
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(
            f"--tz {name}: no such time zone on this machine; give a name such as Europe/Berlin or UTC"
        ) from error


def _time(text: str | None, zone: tzinfo, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{option} {text}: not a time; write it as 2026-03-14T09:25:00Z") from error


def _warn(inputs: Sequence[InputReport], verbose: int) -> None:
    strangers = [r.path for r in inputs if r.kind == UNKNOWN and r.bytes] if pipeline.usable(inputs) else []
    troubled = [r for r in inputs if r.path not in strangers and (r.error or r.incomplete_tail or _lost(r))]
    shown_ = troubled if verbose else troubled[:WARNINGS_SHOWN]
    for report in shown_:
        parts = [report.error] if report.error else []
        parts += [
            f"{plural(reason.count, 'record')} not used: {reason.reason} (at {', '.join(reason.places)})"
            for reason in report.skipped_reasons
            if reason.reason not in HARMLESS
        ]
        parts += ["ends inside a record"] if report.incomplete_tail else []
        say(f"warning: {report.path}: {'; '.join(parts)}")
    if len(troubled) > len(shown_):
        say(f"warning: {plural(len(troubled) - len(shown_), 'further input')} with trouble; -v names them")
    if strangers:
        names = ", ".join(strangers if verbose else strangers[:STRANGERS_SHOWN])
        rest = "" if verbose or len(strangers) <= STRANGERS_SHOWN else " ..."
        say(f"{plural(len(strangers), 'file')} left out, neither a capture nor a known log: {names}{rest}")


def _lost(report: InputReport) -> int:
    return sum(reason.count for reason in report.skipped_reasons if reason.reason not in HARMLESS)


def _on_the_terminal(wanted: Sequence[Target]) -> bool:
    """Whether the text form goes to a terminal: its reader has the findings before them already."""
    stdout: TextIO | None = sys.stdout
    texts = any(target.place == STDOUT and target.kind is Kind.text for target in wanted)
    return texts and stdout is not None and stdout.isatty()


def _sum_up(result: Result, request: Request, *, twice: bool) -> None:
    """What was found and read; `twice`: the findings stand on the same screen, and are not told once more."""
    if not twice:
        _findings(result)
    read = [report for report in result.inputs if report.used]
    firsts = [report.first_time for report in read if report.first_time]
    lasts = [report.last_time for report in read if report.last_time]
    span = f", {_span(min(firsts), max(lasts))}" if firsts and lasts else ""
    rest = len(result.inputs) - len(read)
    total = size(sum(report.bytes for report in read))
    tell(f"read {plural(len(read), 'file')}, {total}{span}{f'; {rest} not read' if rest else ''}")
    if (request.start or request.end) and read and not any(table.rows for table in result.coverage):
        say("warning: no record lies between --from and --to")
    wrong = {one.clock: one.remark for one in result.offsets if one.remark and not one.applied}
    for source, remark in list(wrong.items())[:WARNINGS_SHOWN]:
        say(f"warning: {source}: its clock is {remark}")
    failed = [run.detector for run in result.runs if run.status == "failed"]
    if failed:
        say(f"warning: these detectors failed, the others are whole: {', '.join(failed)}")


def _findings(result: Result) -> None:
    findings = result.findings
    counts = {s.value: sum(f.severity is s for f in findings) for s in reversed(Severity)}
    by = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    tell(f"{plural(len(findings), 'finding')}{': ' + by if by else ''}")
    several = groups(findings, result.entities)
    below = {id_ for group in several.values() for id_ in group.ids}
    ranked = [(f"F{number}", finding) for number, finding in enumerate(findings, 1) if f"F{number}" not in below]
    for id_, finding in ranked[:WARNINGS_SHOWN]:
        tell(f"  {id_:<3} {finding.severity.value:<8} {finding.summary}")
        if id_ in several:
            tell(f"{'':<15}{several[id_].sentence}")
    if len(ranked) > WARNINGS_SHOWN:
        told = {id_ for id_, _ in ranked[:WARNINGS_SHOWN]}
        more = len(findings) - len(told) - sum(len(group.ids) for id_, group in several.items() if id_ in told)
        tell(f"  and {more} more, which the report has")
    if result.comparison is not None:
        tell(result.comparison.verdict)


def _span(first: datetime, last: datetime) -> str:
    day = "" if first.date() == last.date() else "%Y-%m-%d "
    return f"{first:%Y-%m-%d %H:%M}\N{EN DASH}{last:{day}%H:%M} UTC"


def _code(result: Result, request: Request) -> int:
    if not pipeline.usable(result.inputs):
        say("error: no input could be read; `analyze identify` says what each one looks like")
        return NO_INPUT
    if request.strict and any(r.error or r.incomplete_tail or _lost(r) for r in result.inputs):
        return LOST
    if request.fail_on != "never":
        least = Severity(request.fail_on).rank
        if any(finding.severity.rank >= least for finding in result.findings):
            return FOUND
    return DONE
