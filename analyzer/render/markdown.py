"""The postmortem as Markdown: what the evidence shows, and empty headings for what only people know.

GitHub Flavored Markdown. Nothing of the evidence becomes markup; what is cut is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from analyzer.model import Cause, Comparison, Finding, InputReport, Result, Saving, Side, Status
from analyzer.model.stories import published
from analyzer.render.anchors import Related, numbered_name, related
from analyzer.render.format import amount, clock, duration, number, quantity, size, window
from analyzer.render.limits import Limits
from analyzer.render.mdtext import code, fence, inline, table
from analyzer.render.page import Page, Told, page

MOST_BYTES = 1_000_000
"""GitHub cuts a step summary at 1,024 kB (docs.github.com, "Adding a job summary")."""

FOR_PEOPLE = (
    ("Detection", "How was it noticed, and how long after the first sign above?"),
    ("Resolution", "What was done, when, and what ended it?"),
    ("Responders", "Who took part, in which role?"),
    ("What went well", "What helped?"),
    ("What went wrong", "What made it longer or worse?"),
    ("Lessons learned", "What is known now that was not known before?"),
)
"""Headings of the postmortem templates of PagerDuty and of Google's SRE book that no log can fill."""

_ROWS = 100_000
_LISTED = 60


def render_markdown(result: Result, slices: Mapping[str, Sequence[tuple[str, str]]] | None = None) -> str:
    """The document of a result, ending in a newline. The same result gives the same text; every finding is in it.

    `slices`: by number of finding (F1) the names of files with its evidence, and their relative addresses.
    """
    limits = Limits(rows=_ROWS, full=100, records=8, moments=200)
    made = _document(page(result, limits), slices or {})
    for _ in range(8):
        if len(made.encode()) <= MOST_BYTES:
            break
        limits = replace(limits.tighter(), rows=_ROWS)
        made = _document(page(result, limits), slices or {})
    return made


def _document(view: Page, slices: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    parts = (_head, _summary, _timeline, _findings, _precedence, _whatif, _actions, _people, _checks, _coverage)
    lines = [line for part in parts for line in part(view)]
    if slices:
        lines += ["", "## Slices of the evidence", ""]
        lines += [f"- {at}: {', '.join(f'[{name}]({href})' for name, href in files)}" for at, files in slices.items()]
    return "\n".join(lines).rstrip("\n") + "\n"


def _head(view: Page) -> Iterator[str]:
    result = view.result
    yield f"# {inline(result.title or 'Postmortem evidence', 200)}"
    yield ""
    yield "> **Draft: evidence only.** People add what was decided and why, under the headings that are left empty."
    yield ""
    yield f"- Written by {inline(result.tool.name, 80)} {inline(result.tool.version, 40)}; all times are UTC"
    yield f"- Window: {window(view.start, view.end)}"
    read = [report for report in result.inputs if report.used]
    total = size(sum(report.bytes for report in read))
    yield f"- Read: {number(len(read))} of {number(len(result.inputs))} inputs, {total}"
    if result.labels:
        told = (f"{inline(one.name, 80)}={inline(one.value, 200)}" for one in result.labels[:_LISTED])
        yield f"- Labels: {', '.join(told)}"
    if result.command:
        yield f"- Command: {code(result.command)}"
    if view.told:
        yield f"- {inline(view.where, 300)}"
    yield ""


def _summary(view: Page) -> Iterator[str]:
    yield "## Summary"
    yield ""
    if view.verdict:
        yield inline(view.verdict)
        yield ""
    below = {id_ for group in view.groups.values() for id_ in group.ids}
    rows = []
    for told in (*view.told, *view.brief.shown):
        one = told.finding
        if told.id not in below:
            rows.append((told.id, one.severity.value, inline(one.summary), window(one.start, one.end)))
        if told.id in view.groups:
            rows.append(("", "", inline(view.groups[told.id].sentence), ""))
    yield from table(("", "Severity", "What happened", "Window"), rows)
    for remark in view.result.remarks[:_LISTED]:
        yield f"- {inline(remark)}"
    if view.result.comparison is not None:
        yield from _compared(view.result.comparison)


def _compared(comparison: Comparison) -> Iterator[str]:
    yield from (
        "",
        "## Since the baseline",
        "",
        f"{inline(comparison.verdict)} Baseline: {inline(comparison.baseline)}.",
        "",
    )
    rows = [(one.state.value, code(one.key, 300), inline(one.reason, 400)) for one in comparison.findings]
    yield from table(("", "Finding", "Why"), rows)
    yield from (f"- {inline(caveat)}" for caveat in comparison.caveats)
    yield ""


def _timeline(view: Page) -> Iterator[str]:
    if not view.moments.shown:
        return
    yield "## Timeline"
    yield ""
    rows = []
    for moment in view.moments.shown:
        place = code(f"{moment.source}:{moment.number}", 300) if moment.source else view.ids.get(moment.finding, "")
        rows.append((clock(moment.time), inline(view.begun(moment) or moment.text), place))
    yield from table(("Time (UTC)", "Event", "Where it stands"), rows)
    yield from _more(view.moments.more, "events")


def _findings(view: Page) -> Iterator[str]:
    if view.told:
        yield "## Findings"
        yield ""
    others = related(view.result, view.ids)
    for told in view.told:
        yield from _finding(told, others.get(told.finding.key, ()))
    for brief in view.brief.shown:
        yield f"- {brief.id} {code(brief.finding.key, 300)}: {inline(brief.finding.summary)}"
    if view.brief.shown:
        yield ""


def _finding(told: Told, others: Sequence[Related]) -> Iterator[str]:
    finding = told.finding
    yield f"### {told.id}: {inline(told.title, 160)}"
    yield ""
    yield inline(finding.summary)
    yield ""
    yield f"- Key: {code(finding.key, 300)}"
    yield f"- Severity: {finding.severity.value}. Window: {window(finding.start, finding.end)}"
    yield from _confidence(finding)
    if finding.why:
        yield f"- Why: {inline(finding.why)}"
    for limit in finding.limits:
        yield f"- Limit: {inline(limit)}"
    for one in others[:8]:
        yield f"- Related: {one.id} {code(one.key, 200)} {one.words}"
    if finding.refuted_by:
        yield f"- What would refute it: {inline(finding.refuted_by)}"
    for story in published(finding.stories[:20]):
        link = f": [{inline(story.where)}]({story.url})" if story.where else ""
        yield f"- Published story of the same pattern: {inline(story.text)}{link}"
    yield ""
    figures = [
        (inline(one.name, 80), *(inline(text, 80) for text in amount(one.value, one.unit))) for one in finding.impact
    ]
    yield from table(("Impact", "", ""), figures, (False, True))
    yield from _remedies(finding)
    yield from _evidence(told)


def _confidence(finding: Finding) -> Iterator[str]:
    if not finding.terms:
        yield f"- Confidence: {finding.confidence.value}, because {inline(finding.confidence_reason)}"
        return
    yield f"- Confidence: {finding.confidence.value}"
    for term in finding.terms:
        if term.side is not Side.REFUTES:
            surer = ", one level surer" if term.raised else ""
            yield f"  - {term.side.value.capitalize()}{surer}: {inline(term.text, 400)} ({inline(term.origin, 40)})"
    for key in finding.merged:
        yield f"  - Shown by {code(key, 300)} too"


def _remedies(finding: Finding) -> Iterator[str]:
    for remedy in finding.remedies:
        yield f"**Fix.** {inline(remedy.text)}"
        yield ""
        if remedy.snippet:
            yield from fence(remedy.snippet)
            yield ""
    if finding.verify:
        yield "**Check it yourself**"
        yield ""
        yield from fence("\n".join(finding.verify), "sh")
        yield ""


def _evidence(told: Told) -> Iterator[str]:
    rows = [
        (
            code(f"{quote.record.source}:{quote.record.number}", 300),
            clock(quote.record.time),
            code(quote.record.text, 300),
        )
        for quote in told.quotes.shown
    ]
    yield "<details><summary>Evidence</summary>"
    yield ""
    yield from table(("Record", "Time (UTC)", "Text"), rows)
    yield from _more(told.quotes.more, "records")
    for one in told.tables:
        heads = [f"{inline(name, 80)}{f', {inline(unit, 40)}' if unit else ''}" for name, unit, _ in one.headers]
        yield f"{inline(one.caption, 200)}:"
        yield ""
        yield from table(
            heads, [[inline(cell) for cell in row] for row in one.rows.shown], [n for *_, n in one.headers]
        )
        yield from _more(one.rows.more, "rows")
    yield "</details>"
    yield ""


def _precedence(view: Page) -> Iterator[str]:
    causes = view.result.story.causes
    if causes:
        yield "## What preceded what"
        yield ""
        yield from (_cause(cause, view.ids) for cause in causes[:_LISTED])
        yield from _more(len(causes) - _LISTED, "links")
        yield ""


def _cause(cause: Cause, ids: dict[str, str]) -> str:
    onset = inline(numbered_name(cause.to, ids).removesuffix("."), 300)
    ends = f"{inline(numbered_name(cause.from_, ids), 300)} → {duration(cause.lag_seconds)} → {onset}"
    return f"- {ends}: {inline(cause.verdict, 400)}"


def _whatif(view: Page) -> Iterator[str]:
    if not view.whatif.shown:
        return
    yield "## What if the fix had been in place"
    yield ""
    yield "Each fix alone, replayed on what was observed; the rows have different units and are never summed."
    yield ""
    rows = [(row.id, *_saving(row.saving), row.change) for row in view.whatif.shown]
    yield from table(
        ("", "Fix", "Assumption", "Observed", "Modelled", "Change"), rows, (False, False, False, True, True, True)
    )
    yield from _more(view.whatif.more, "fixes")


def _saving(saving: Saving) -> tuple[str, ...]:
    before, after = (quantity(value, saving.unit) for value in (saving.observed, saving.modelled))
    return inline(saving.fix, 200), inline(saving.assumption, 400), inline(before), inline(after)


def _actions(view: Page) -> Iterator[str]:
    yield "## Action items"
    yield ""
    for action in view.actions.shown:
        yield f"- [ ] {action.kind}: {inline(action.text)} ({', '.join(action.ids)}). Effort: . Owner: . Due: ."
    yield from _more(view.actions.more, "proposals")
    yield "- [ ] "
    yield ""


def _people(_: Page) -> Iterator[str]:
    for head, question in FOR_PEOPLE:
        yield from (f"## {head}", "", f"<!-- {question} -->", "")


def _checks(view: Page) -> Iterator[str]:
    yield "## Checks"
    yield ""
    rows = [
        (code(run.detector, 80), run.status.value, inline(run.reason if run.status is not Status.FIRED else "", 600))
        for run in view.result.runs
    ]
    yield from table(("Check", "Outcome", "Reason"), rows)
    for run in view.result.runs:
        yield from (f"- {code(run.detector, 80)}: {inline(remark, 600)}" for remark in run.remarks[:8])
    yield ""


def _coverage(view: Page) -> Iterator[str]:
    yield "## Coverage and limits"
    yield ""
    rows = [
        (
            code(one.path, 300),
            inline(one.kind, 60),
            *(number(n) for n in (one.records, one.used)),
            _lost(one),
            window(one.first_time, one.last_time),
        )
        for one in view.inputs.shown
    ]
    yield from table(("Input", "Kind", "Records", "Used", "Not used", "Span"), rows, (False, False, True, True))
    yield from _more(view.inputs.more, "inputs")
    for entry in view.coverage.shown:
        for gap in entry.gaps[:6]:
            yield f"- {inline(entry.table, 60)}: nothing known {window(gap.start, gap.end)}: {inline(gap.reason, 200)}"
        if entry.remark:
            yield f"- {inline(entry.table, 60)}: {inline(entry.remark, 900)}"
    for cluster in view.result.clusters[:_LISTED]:
        names = ", ".join(code(name, 300) for name in cluster.inputs[:12])
        yield f"- Of one cluster: {names}: {inline(cluster.told_by)}"
    yield from _clocks(view)
    yield from _collect(view)
    for setting in view.settings.shown:
        if not setting.default:
            yield f"- Setting changed: {code(f'{setting.detector}.{setting.name} = {setting.value}', 200)}"


def _clocks(view: Page) -> Iterator[str]:
    if not view.offsets.shown:
        return
    yield from ("", "### Clocks", "", "Offsets between inputs, from what both tell of; positive is ahead.", "")
    rows = [
        (
            code(one.clock, 300),
            code(one.reference, 300),
            f"{one.seconds:+.6f} s",
            f"{one.spread_seconds:.6f} s",
            f"{number(one.events)} {inline(one.matched_by, 80)}",
            inline(one.remark, 200),
        )
        for one in view.offsets.shown
    ]
    heads = ("Input", "Reference", "Offset", "Spread", "By", "")
    yield from table(heads, rows, (False, False, True, True))
    yield from _more(view.offsets.more, "offsets")


def _collect(view: Page) -> Iterator[str]:
    if not view.result.collect:
        return
    yield from ("", "### What to collect next time", "")
    for one in view.result.collect[:_LISTED]:
        yield from (f"**{inline(one.source, 80)}.** {inline(one.why)}", "")
        yield from (*fence(one.command), "")


def _lost(report: InputReport) -> str:
    parts = [inline(report.error, 500)] if report.error else []
    parts += [f"{number(reason.count)} {inline(reason.reason, 120)}" for reason in report.skipped_reasons[:6]]
    parts += [f"{number(report.incomplete_tail)} incomplete at the end"] if report.incomplete_tail else []
    return "; ".join(parts)


def _more(count: int, what: str) -> Iterator[str]:
    if count > 0:
        yield ""
        yield f"{number(count)} more {what} are in the JSON result."
        yield ""
