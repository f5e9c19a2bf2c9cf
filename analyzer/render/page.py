"""What the page shows of a result, cut to its budget: which rows, which numbers, which links between its parts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct, field

from analyzer.model import (
    CauseEnd,
    Change,
    Compared,
    Coverage,
    Finding,
    InputReport,
    Moment,
    Offset,
    Record,
    Result,
    Run,
    Saving,
    SettingValue,
    Status,
)
from analyzer.render.anchors import AT_THE_INPUTS, numbers, short_name, where
from analyzer.render.cells import NOTHING, Table, table_of
from analyzer.render.chart import Chart
from analyzer.render.charts import Charts, charts, seal, small
from analyzer.render.escape import shown
from analyzer.render.facets import of_findings, of_row
from analyzer.render.format import seconds_of
from analyzer.render.groups import Group, groups
from analyzer.render.league import League, league
from analyzer.render.limits import Budget, Cut, Limits
from analyzer.render.svg import Window
from analyzer.render.terms import sections, terms
from analyzer.render.touched import Touched, by_title, grouped, namespaces, touched


class Quote(Struct, frozen=True):
    """A record as it is cited: `place` says frame or line."""

    record: Record
    place: str


class Told(Struct, frozen=True):
    """A finding with its number on the page."""

    id: str
    finding: Finding
    title: str
    open: bool
    quotes: Cut[Quote]
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...]
    more_tables: int


class Action(Struct, frozen=True):
    """A fix, with the findings that it is for."""

    kind: str
    text: str
    ids: tuple[str, ...]


class WhatIf(Struct, frozen=True):
    """One fix, observed and modelled."""

    id: str
    saving: Saving
    alternative: bool

    @property
    def observed(self) -> float:
        return self._share(self.saving.observed)

    @property
    def modelled(self) -> float:
        return self._share(self.saving.modelled)

    @property
    def change(self) -> str:
        before, after = self.saving.observed, self.saving.modelled
        return f"{(after - before) / before * 100:+.1f} %".replace("-", "−") if before else NOTHING

    def _share(self, value: float) -> float:
        greatest = max(self.saving.observed, self.saving.modelled)
        return value / greatest if greatest > 0 else 0.0


class Cited(Struct, frozen=True):
    """How often one input is quoted by one finding."""

    id: str
    source: str
    count: int
    first: str
    last: str
    times: tuple[datetime | None, datetime | None]


class Page(Struct, kw_only=True):
    """What the templates see."""

    result: Result
    ids: dict[str, str]
    limits: Limits
    windows: tuple[Window, ...]
    charts: Charts
    start: datetime | None = None
    end: datetime | None = None
    verdict: str = ""
    counts: tuple[tuple[str, int], ...] = ()
    told: tuple[Told, ...] = ()
    brief: Cut[Told] = field(default_factory=lambda: Cut((), 0))
    moments: Cut[Moment] = field(default_factory=lambda: Cut((), 0))
    whatif: Cut[WhatIf] = field(default_factory=lambda: Cut((), 0))
    actions: Cut[Action] = field(default_factory=lambda: Cut((), 0))
    cited: Cut[Cited] = field(default_factory=lambda: Cut((), 0))
    changes: Cut[Change] = field(default_factory=lambda: Cut((), 0))
    inputs: Cut[InputReport] = field(default_factory=lambda: Cut((), 0))
    not_read: Cut[InputReport] = field(default_factory=lambda: Cut((), 0))
    coverage: Cut[Coverage] = field(default_factory=lambda: Cut((), 0))
    settings: Cut[SettingValue] = field(default_factory=lambda: Cut((), 0))
    compared: Cut[Compared] = field(default_factory=lambda: Cut((), 0))
    offsets: Cut[Offset] = field(default_factory=lambda: Cut((), 0))
    runs: dict[str, tuple[Run, ...]] = field(default_factory=dict)
    data_tables: frozenset[str] = frozenset()
    touched: Cut[Touched] = field(default_factory=lambda: Cut((), 0))
    league: League = League()
    about: tuple[tuple[Run, tuple[tuple[str, tuple[str, ...]], ...]], ...] = ()
    terms: tuple[tuple[str, str], ...] = ()
    touched_groups: tuple[tuple[str, tuple[Touched, ...]], ...] = ()
    titles: dict[str, str] = field(default_factory=dict)
    facets: dict[str, str] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    """By the number of the gravest finding those that the summary tells in one line below it."""
    where: str = AT_THE_INPUTS

    def facet(self, row: Touched | Moment | Change) -> str:
        """What the filters of the page ask of a row."""
        return of_row(row, self.facets.get(self.ids.get(row.finding, ""), "") if isinstance(row, Moment) else "")

    def begun(self, moment: Moment) -> str:
        """A finding's first moment by its title and subject; empty for others. Its sentence stands in the summary."""
        told = next((told for told in self.told if told.finding.key == moment.finding), None)
        if told is None or moment.kind != "finding-start" or moment.text != told.finding.summary:
            return ""
        return f"{told.title}: {shown(told.finding.subject, 160)}"

    def by_title(self, findings: dict[str, Finding]) -> list[tuple[str, list[str]]]:
        """The numbers of the findings by the titles of their detectors."""
        return by_title(findings, self.titles)

    @property
    def heads(self) -> list[Told]:
        """The findings that the summary tells in full: all but those that stand in the line of a graver one."""
        below = {id_ for group in self.groups.values() for id_ in group.ids}
        return [told for told in self.told if told.id not in below]

    @property
    def explained(self) -> set[str]:
        """The detectors whose documentation stands on the page."""
        return {run.detector for run, _ in self.about}

    def link(self, end: CauseEnd) -> str:
        """The id of the finding that a cause speaks of, or nothing."""
        return self.ids.get(end.id, "") if end.kind == "finding" else ""

    def short(self, end: CauseEnd) -> str:
        """What a link says of this end: a finding by its name, for its sentence stands where the number leads."""
        return short_name(end, self.ids)


def page(result: Result, limits: Limits) -> Page:
    """The page of a result; findings take of the row budget first, then the story, then what backs them."""
    findings = result.findings
    ids = numbers(result)
    windows = _windows(findings)
    made = Page(result=result, ids=ids, limits=limits, windows=windows, charts=charts(result, windows))
    budget = Budget(limits.rows)
    _findings(made, findings, budget)
    there = findings[: len(made.told) + len(made.brief.shown)]  # nothing links to a finding that found no room
    made.ids = {key: id_ for key, id_ in ids.items() if int(id_[1:]) <= len(there)}
    rows = touched(there, made.ids, result.entities)
    made.facets = of_findings(there, made.ids, namespaces(rows))
    made.groups = groups(there, result.entities)
    made.touched = budget.take(rows, limits.list_rows)
    made.touched_groups = grouped(made.touched.shown)
    made.where = where(result)
    made.titles = {run.detector: run.title or run.detector for run in result.runs}
    made.league = league(result.callers, rows, budget, max(1, limits.list_rows // 4))
    _explained(made, there)
    _data_tables(made, budget)
    _story(made, there, budget)
    _backing(made, budget)
    seal(made.charts, windows[:200])
    return made


def _explained(made: Page, findings: Sequence[Finding]) -> None:
    """What the checks that fired look for, and the words that a reader may not know."""
    fired = {finding.detector for finding in findings[: made.limits.full]}
    made.about = tuple((run, sections(run.about)) for run in made.result.runs if run.detector in fired and run.about)
    texts = [text for f in findings for text in (f.summary, f.why, f.confidence_reason, *(r.text for r in f.remedies))]
    texts += [lane.name for series in made.result.series for lane in series.lanes]
    made.terms = terms(texts) if findings else ()


def _data_tables(made: Page, budget: Budget) -> None:
    """Which charts have their values as a table: those whose rows the budget still holds."""
    fitting = []
    for chart in (made.charts.timeline, *made.charts.sources, *(c for told in made.told for c in told.charts)):
        if chart is not None and len(chart.rows) <= budget.left:
            budget.take(chart.rows, len(chart.rows))
            fitting.append(chart.id)
    made.data_tables = frozenset(fitting)


def _windows(findings: Sequence[Finding]) -> tuple[Window, ...]:
    out = []
    for at, finding in enumerate(findings):
        first, last = finding.start or finding.end, finding.end or finding.start
        if first is not None and last is not None:
            a, b = seconds_of(first), seconds_of(last)
            out.append(Window(f"F{at + 1}", finding.severity.value, min(a, b), max(a, b)))
    return tuple(out)


def _findings(made: Page, findings: Sequence[Finding], budget: Budget) -> None:
    result, limits = made.result, made.limits
    titles = {run.detector: run.title for run in result.runs}
    kinds = {report.path: report.kind for report in result.inputs}
    full = findings[: limits.full]
    records = max(1, min(limits.records, limits.all_records // max(1, len(full))))
    rows = max(1, min(limits.table_rows, limits.all_table_rows // max(1, len(full))))
    charts_left = limits.charts
    told = []
    for at, finding in enumerate(findings):
        whole = at < len(full)
        tables: tuple[Table, ...] = ()
        drawn = []
        quotes: Cut[Quote] = budget.take(_quotes(finding, kinds), records) if whole else Cut((), 0)
        if whole:
            budget.take(finding.impact, limits.list_rows)
            tables = tuple(table_of(table, budget, rows) for table in finding.evidence.tables[: limits.tables])
            for k, series in enumerate(finding.evidence.series[: min(3, charts_left)]):
                if chart := small(made.charts, f"e{at + 1}-{k + 1}", series):
                    drawn.append(chart)
            charts_left -= len(drawn)
        more = len(finding.evidence.tables) - len(tables)
        title = finding.title or titles.get(finding.detector, "") or finding.detector
        told.append(Told(f"F{at + 1}", finding, title, at < limits.open, quotes, tables, tuple(drawn), more))
    made.told = tuple(told[: len(full)])
    made.brief = budget.take(told[len(full) :], limits.rows)
    names = ("critical", "high", "medium", "low")
    counts = [(name, sum(f.severity == name for f in findings)) for name in names]
    made.counts = tuple((name, count) for name, count in counts if count)
    made.verdict = result.story.verdict or _verdict(result, findings)


def _quotes(finding: Finding, kinds: dict[str, str]) -> list[Quote]:
    out = []
    for record in finding.evidence.records:
        kind = kinds.get(record.source, "")[:40].lower()
        unit = "frame" if "pcap" in kind or "capture" in kind else "line"
        out.append(Quote(record, f"{unit} {record.number}"))
    return out


def _verdict(result: Result, findings: Sequence[Finding]) -> str:
    if findings:
        return ""
    quiet = sum(run.status is Status.QUIET for run in result.runs)
    blind = sum(run.status in (Status.SKIPPED, Status.FAILED) for run in result.runs)
    if not quiet and not blind:
        return "No check ran: this page says nothing about the incident."
    words = f"No published failure pattern was found: {quiet} {_checks(quiet)} ran and passed"
    return f"{words}, {blind} {_checks(blind)} could not run." if blind else f"{words}."


def _checks(count: int) -> str:
    return "check" if count == 1 else "checks"


def _story(made: Page, findings: Sequence[Finding], budget: Budget) -> None:
    result, limits = made.result, made.limits
    timeline = sorted(result.story.timeline, key=lambda m: seconds_of(m.time))
    if len(timeline) > limits.moments:
        # The findings' own moments come first, then changes; what is left goes to the earliest observations.
        rank = {"finding-start": 0, "finding-end": 1, "change": 2}
        order = sorted(range(len(timeline)), key=lambda i: (rank.get(timeline[i].kind, 3), i))
        kept = sorted(order[: limits.moments])
        shown = budget.take([timeline[i] for i in kept], limits.moments)
        made.moments = Cut(shown.shown, shown.more + len(timeline) - limits.moments)
    else:
        made.moments = budget.take(timeline, limits.moments)
    savings = []
    for at, finding in enumerate(findings):
        if finding.saving:
            savings.append(WhatIf(f"F{at + 1}", finding.saving, False))
        savings += [WhatIf(f"F{at + 1}", saving, True) for saving in finding.alternatives]
    made.whatif = budget.take(savings, limits.list_rows)
    made.actions = budget.take(_actions(made, findings), limits.list_rows)
    made.changes = budget.take(result.changes, limits.list_rows)
    made.compared = budget.take(result.comparison.findings if result.comparison else (), limits.list_rows * 2)


def _actions(made: Page, findings: Sequence[Finding]) -> list[Action]:
    """The first remedy of a finding stops the trouble, further ones keep it away; and someone must see it return."""
    titles = {run.detector: run.title for run in made.result.runs}
    found: dict[tuple[str, str], list[str]] = {}
    for at, finding in enumerate(findings):
        for k, remedy in enumerate(finding.remedies):
            kind = "mitigate" if k == 0 else "prevent"
            found.setdefault((kind, remedy.text), []).append(f"F{at + 1}")
        title = finding.title or titles.get(finding.detector, "")
        watched = f"Alert on the return of this pattern ({finding.detector}): {title}"
        found.setdefault(("detect", watched.rstrip(": ")), []).append(f"F{at + 1}")
    order = ("mitigate", "detect", "prevent")
    rows = [Action(kind, text, tuple(dict.fromkeys(ids))) for (kind, text), ids in found.items()]
    return sorted(rows, key=lambda action: order.index(action.kind))


def _backing(made: Page, budget: Budget) -> None:
    result, limits = made.result, made.limits
    made.cited = budget.take(_cited(made), limits.list_rows)
    inputs = result.inputs
    made.not_read = budget.take([i for i in inputs if i.error or i.skipped or i.incomplete_tail], limits.list_rows)
    made.inputs = budget.take(inputs, limits.list_rows * 2)
    made.coverage = budget.take(result.coverage, limits.list_rows)
    made.offsets = budget.take(result.offsets, limits.list_rows)
    fired = {finding.detector for finding in result.findings}
    told = [setting for setting in result.settings if not setting.default or setting.detector in fired]
    settings = budget.take(sorted(told, key=lambda setting: setting.default), limits.list_rows * 4)
    made.settings = Cut(settings.shown, settings.more + len(result.settings) - len(told))
    by_status: dict[str, list[Run]] = {}
    for run in result.runs:
        by_status.setdefault(run.status.value, []).append(run)
    made.runs = {status: tuple(runs) for status, runs in by_status.items()}
    times = [t for i in inputs if i.used for t in (i.first_time, i.last_time) if t is not None]
    times = times or [t for f in result.findings for t in (f.start, f.end) if t is not None]
    if times:
        made.start, made.end = min(times, key=seconds_of), max(times, key=seconds_of)


def _cited(made: Page) -> list[Cited]:
    kinds = {report.path: report.kind for report in made.result.inputs}
    out = []
    for told in (*made.told, *made.brief.shown):
        by_source: dict[str, list[Quote]] = {}
        for quote in _quotes(told.finding, kinds):
            by_source.setdefault(quote.record.source, []).append(quote)
        for source, quotes in by_source.items():
            ordered = sorted(quotes, key=lambda quote: quote.record.number)
            times = sorted((q.record.time for q in quotes if q.record.time is not None), key=seconds_of)
            span = (times[0], times[-1]) if times else (None, None)
            out.append(Cited(told.id, source, len(quotes), ordered[0].place, ordered[-1].place, span))
    return out
