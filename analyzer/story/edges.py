"""Findings whose window touches an edge or a gap of their inputs, or what these lost before they were written: what
they count is a lower bound, and they say so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from analyzer.model import Coverage, Finding, InputReport, Run
from analyzer.story.leftout import LeftOut

NEAR = timedelta(seconds=60)
"""One bin: what begins so soon after its input does may have begun before it."""

FOLLOWS = timedelta(minutes=10)
"""An input that begins so soon after another of its kind ended goes on where that one ends, as rotated logs do."""

MOST = 3
"""Sentences of one finding."""

Window = tuple[datetime | None, datetime | None]


def with_limits(
    runs: Sequence[Run],
    inputs: Sequence[InputReport],
    coverage: Sequence[Coverage],
    wanted: Window = (None, None),
    lost: LeftOut | None = None,
) -> tuple[Run, ...]:
    """The runs, each finding with what edges and gaps of its inputs leave open. `wanted`: what --from and --to kept;
    `lost`: what was left out before the inputs were written, which every finding that it concerns says first."""

    def limits(finding: Finding) -> tuple[str, ...]:
        told = () if lost is None else tuple(lost.beside(finding))
        return (*told, *_limits(finding, inputs, coverage, wanted))[:MOST]

    return tuple(
        replace(run, findings=tuple(replace(one, limits=limits(one)) for one in run.findings)) if run.findings else run
        for run in runs
    )


def _limits(
    finding: Finding, inputs: Sequence[InputReport], coverage: Sequence[Coverage], wanted: Window
) -> tuple[str, ...]:
    if finding.start is None:
        return ()
    quoted = {record.source for record in finding.evidence.records}
    end = finding.end if finding.end is not None else finding.start
    own = [report for report in inputs if report.path in quoted]
    told = [
        *_begins(finding.start, own, inputs, wanted[0]),
        *_ends(end, own, inputs, wanted[1]),
        *_gaps(finding.start, end, quoted, coverage),
    ]
    return tuple(told[:MOST])


def _begins(
    start: datetime, own: Sequence[InputReport], inputs: Sequence[InputReport], wanted: datetime | None
) -> Iterator[str]:
    if wanted is not None and start - wanted <= NEAR:
        yield f"Nothing before {_clock(wanted)} was looked at (--from): it may have begun earlier."
        return
    for report in own:
        first = report.first_time
        if first is not None and abs(start - first) <= NEAR and not _continued(report, inputs):
            yield f"{report.path} begins at {_clock(first)}: it may have begun earlier, and counts are lower bounds."
            return


def _ends(
    end: datetime, own: Sequence[InputReport], inputs: Sequence[InputReport], wanted: datetime | None
) -> Iterator[str]:
    if wanted is not None and wanted - end <= NEAR:
        yield f"Nothing from {_clock(wanted)} on was looked at (--to): it may have gone on."
        return
    for report in own:
        last = report.last_time
        if last is not None and abs(last - end) <= NEAR and not any(_continued(later, [report]) for later in inputs):
            yield f"{report.path} ends at {_clock(last)}: it may have gone on."
            return


def _continued(report: InputReport, inputs: Sequence[InputReport]) -> bool:
    """Whether one of these inputs of its kind reaches up to its beginning, and begins and ends before it."""
    first, last = report.first_time, report.last_time
    if first is None or last is None:
        return False
    return any(
        other.kind == report.kind
        and other.first_time is not None
        and other.last_time is not None
        and other.first_time < first - NEAR
        and first - FOLLOWS <= other.last_time < last
        for other in inputs
        if other.path != report.path
    )


def _gaps(start: datetime, end: datetime, quoted: set[str], coverage: Sequence[Coverage]) -> Iterator[str]:
    seen = set()
    for entry in coverage:
        for gap in entry.gaps if quoted & set(entry.sources) else ():
            if gap.start < end + NEAR and gap.end > start - NEAR and (gap.start, gap.end) not in seen:
                seen.add((gap.start, gap.end))
                span = f"from {_clock(gap.start)} to {_clock(gap.end)}"
                yield f"{entry.table} hold nothing {span}: what happened then is not counted."


def _clock(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
