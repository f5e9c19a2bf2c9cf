"""The result as plain text for a terminal: ranked findings with impact, first records, fix and checks.

No byte of the evidence can move the cursor, colour the screen or start a new line.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from analyzer.model import Cluster, Collect, Comparison, Finding, InputReport, Offset, Result, Run, Side, Status
from analyzer.model.stories import published
from analyzer.render.anchors import numbered_name, numbers, where
from analyzer.render.escape import MOST_CHARACTERS, shown
from analyzer.render.format import amount, clock, duration, number, quantity, seconds_of, size, window

WIDTH = 100
MOST_RECORDS = 3
MOST_LINES = 40  # of a snippet, or of a list of things that are not findings
_LONG = 600


def render_text(result: Result) -> str:
    """The summary of a result, at most WIDTH wide where words can be broken, ending in a newline."""
    lines = [
        *_head(result),
        *_compared(result.comparison),
        *_findings(result),
        *_causes(result),
        *_checks(result.runs),
        *_not_read(result.inputs),
        *_clusters(result.clusters),
        *_clocks(result.offsets),
        *_collect(result.collect),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _wrapped(text: str, indent: str = "", first: str | None = None, most: int = _LONG) -> list[str]:
    words = shown(text, most)
    start = indent if first is None else first
    return textwrap.wrap(words, WIDTH, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False) or [
        start
    ]


def _block(text: str, indent: str) -> list[str]:
    """A snippet line by line, never wrapped, so that it can be pasted."""
    lines = text.rstrip("\n").split("\n") if text else []
    out = [indent + shown(line) for line in lines[:MOST_LINES]]
    return out if len(lines) <= MOST_LINES else [*out, f"{indent}… {len(lines) - MOST_LINES} more lines"]


def _head(result: Result) -> Iterator[str]:
    title = shown(result.title or "Postmortem evidence", 200)
    yield title
    yield "=" * min(len(title), WIDTH)
    times = [t for i in result.inputs if i.used for t in (i.first_time, i.last_time) if t is not None]
    if times:
        yield f"window    {window(min(times, key=seconds_of), max(times, key=seconds_of))}"
    total = sum(report.bytes for report in result.inputs)
    yield f"inputs    {_count(len(result.inputs), 'input')}, {size(total)}"
    yield f"tool      {shown(result.tool.name, 80)} {shown(result.tool.version, 40)}; draft: evidence only"
    if result.labels:
        told = ", ".join(f"{shown(one.name, 80)}={shown(one.value, 200)}" for one in result.labels[:MOST_LINES])
        yield from _wrapped(told, " " * 10, "labels    ", MOST_CHARACTERS)
    if result.command:
        yield from _wrapped(result.command, " " * 10, "command   ", MOST_CHARACTERS)
    if result.findings:
        yield from _wrapped(where(result), " " * 10, "checks    ")
    if result.story.verdict:
        yield ""
        yield from _wrapped(result.story.verdict, most=2 * _LONG)
    for remark in result.remarks[:MOST_LINES]:
        yield from _wrapped(remark, "  ", "* ")


def _compared(comparison: Comparison | None) -> Iterator[str]:
    if comparison is None:
        return
    yield ""
    yield from _wrapped(f"{comparison.verdict} Baseline: {comparison.baseline}.")
    for one in comparison.findings[:MOST_LINES]:
        yield from _wrapped(f"{one.state.value:<8}{one.key}: {one.reason}", " " * 10, "  ")
    yield from _more(comparison.findings, "compared findings")
    for caveat in comparison.caveats:
        yield from _wrapped(caveat, "  ", "* ")


def _findings(result: Result) -> Iterator[str]:
    findings = result.findings
    titles = {run.detector: run.title for run in result.runs}
    yield ""
    if not findings:
        quiet = sum(run.status is Status.QUIET for run in result.runs)
        yield f"No findings: {_count(quiet, 'check')} ran and passed, {len(result.runs) - quiet} did not run."
        return
    severities = ("critical", "high", "medium", "low")
    counts = [(name, sum(f.severity == name for f in findings)) for name in severities]
    told = ", ".join(f"{count} {name}" for name, count in counts if count)
    yield f"{_count(len(findings), 'finding')}: {told}"
    for at, finding in enumerate(findings):
        yield ""
        yield from _finding(f"F{at + 1}", finding, finding.title or titles.get(finding.detector, finding.detector))


def _finding(id_: str, finding: Finding, title: str) -> Iterator[str]:
    yield f"{id_}  {finding.severity.upper()}  {shown(title, 160)}"
    pad = "    "
    yield from _wrapped(finding.summary, pad)
    yield f"{pad}{shown(finding.key, 300)}"
    yield f"{pad}{window(finding.start, finding.end)}, confidence {finding.confidence.value}"
    for limit in finding.limits:
        yield from _wrapped(limit, pad * 2, f"{pad}limit   ")
    for term in finding.terms:
        name = "refute" if term.side is Side.REFUTES else term.side.value
        surer = "one level surer: " if term.raised else ""
        yield from _wrapped(f"{surer}{shown(term.text, 400)}", pad * 3, f"{pad}{name:<8}")
    if finding.impact:
        yield f"{pad}impact"
        rows = [(shown(f.name, 60), *amount(f.value, f.unit)) for f in finding.impact]
        wide, tall = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
        for name, value, unit in rows:
            yield f"{pad}  {name:<{wide}}  {value:>{tall}} {shown(unit, 60)}"
    if finding.saving:
        saving = finding.saving
        before, after = quantity(saving.observed, saving.unit), quantity(saving.modelled, saving.unit)
        words = f"{saving.fix}: {before} observed, {after} modelled. {saving.assumption}"
        yield from _wrapped(words, pad * 2, f"{pad}saving  ")
    yield from _records(finding, pad)
    for remedy in finding.remedies:
        yield from _wrapped(remedy.text, pad * 2, f"{pad}fix     ")
        yield from _block(remedy.snippet, f"{pad}      | ")
    for command in finding.verify:
        yield from _block(command, f"{pad}check   $ ")
    for story in published(finding.stories[:20]):
        yield from _wrapped(f"{story.text}: {story.by}" if story.by else story.text, pad * 3, f"{pad}story   ")
        if story.url:
            yield f"{pad * 3}{story.url}"  # whole, so that it can be followed


def _records(finding: Finding, pad: str) -> Iterator[str]:
    records = finding.evidence.records
    yield f"{pad}records"
    for record in records[:MOST_RECORDS]:
        place = f"{shown(record.source, 200)}:{record.number}"
        yield f"{pad}  {place}  {clock(record.time)}  {shown(record.text, 160)}"
    if len(records) > MOST_RECORDS:
        yield f"{pad}  {number(len(records) - MOST_RECORDS)} more"


def _causes(result: Result) -> Iterator[str]:
    causes = result.story.causes
    if causes:
        yield ""
        yield "What preceded what"
    ids = numbers(result)
    for cause in causes[:MOST_LINES]:
        onset = shown(numbered_name(cause.to, ids).removesuffix("."), 300)
        ends = f"{shown(numbered_name(cause.from_, ids), 300)} -> {duration(cause.lag_seconds)} -> {onset}"
        yield from _wrapped(f"{ends}: {shown(cause.verdict, 400)}", "    ", "  - ")
    yield from _more(causes, "links")


def _checks(runs: Sequence[Run]) -> Iterator[str]:
    heads = (
        (Status.QUIET, "Passed"),
        (Status.SKIPPED, "Could not run"),
        (Status.FAILED, "Failed"),
        (Status.FIRED, "Remarks of checks that fired"),
    )
    for status, head in heads:
        chosen = [run for run in runs if run.status is status and (status is not Status.FIRED or run.remarks)]
        if chosen:
            yield ""
            yield head
        for run in chosen:
            reason = f": {run.reason}" if run.reason and status is not Status.FIRED else ""
            yield from _wrapped(f"{shown(run.detector, 80)}{reason}", "    ", "  - ")
            for remark in run.remarks[:8]:
                yield from _wrapped(remark, "      ", "    * ")


def _not_read(inputs: Sequence[InputReport]) -> Iterator[str]:
    lossy = [report for report in inputs if report.error or report.skipped or report.incomplete_tail]
    if lossy:
        yield ""
        yield "Not read"
    for report in lossy[:MOST_LINES]:
        parts = [report.error] if report.error else []
        if report.skipped:
            reasons = "; ".join(f"{number(r.count)} {r.reason}" for r in report.skipped_reasons[:6])
            parts.append(f"{number(report.skipped)} of {number(report.records)} records skipped ({reasons})")
        if report.incomplete_tail:
            parts.append(f"{number(report.incomplete_tail)} incomplete at the end")
        yield from _wrapped(f"{shown(report.path, 200)}: {'; '.join(parts)}", "    ", "  - ")
    yield from _more(lossy, "inputs")


def _clusters(clusters: Sequence[Cluster]) -> Iterator[str]:
    if clusters:
        yield ""
        yield "Several clusters; nothing is linked between them"
    for one in clusters[:MOST_LINES]:
        names = ", ".join(shown(name, 200) for name in one.inputs[:12])
        yield from _wrapped(f"{names}: {one.told_by}", "    ", "  - ")
    yield from _more(clusters, "clusters")


def _clocks(offsets: Sequence[Offset]) -> Iterator[str]:
    if offsets:
        yield ""
        yield "Clocks, by what two inputs both tell of"
    for one in offsets[:MOST_LINES]:
        amount = f"{one.seconds:+.6f} s, spread {one.spread_seconds:.6f} s, by {number(one.events)} {one.matched_by}"
        remark = f"; {one.remark}" if one.remark else ""
        yield from _wrapped(f"{one.clock} against {one.reference}: {amount}{remark}", "    ", "  - ")
    yield from _more(offsets, "offsets")


def _collect(wanted: Sequence[Collect]) -> Iterator[str]:
    if wanted:
        yield ""
        yield "What to collect next time"
    for one in wanted[:MOST_LINES]:
        yield from _wrapped(f"{one.source}: {one.why}", "    ", "  - ", 2_000)
        yield from _block(one.command, "      | ")


def _more(items: Sequence[object], what: str) -> Iterator[str]:
    if len(items) > MOST_LINES:
        yield f"  {number(len(items) - MOST_LINES)} more {what}"


def _count(count: int, noun: str) -> str:
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"
