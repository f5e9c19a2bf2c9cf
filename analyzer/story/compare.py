"""A result against an earlier one: what is new, gone, worse, better, so that a fix can be proven on the next day."""

from __future__ import annotations

import re
from datetime import datetime

from msgspec.structs import replace

from analyzer.model import Finding, Result, Run, Severity, Status
from analyzer.model.comparison import Compared, Comparison, FigureChange, State

BAND = 0.1
"""A main figure that moves by less than a tenth is the same: load is never equal on two days."""

_ONE_OF_MANY = re.compile(r"\b(?:median|percentile|longest|largest|period|rate)\b|\bper\b")

ORDER = (State.NEW, State.WORSE, State.UNKNOWN, State.SAME, State.BETTER, State.GONE)
LOOKED = {Status.FIRED, Status.QUIET}


def compare(before: Result, after: Result) -> Comparison:
    """Every finding of either result by its key, or by its workload where addresses have changed.

    The main figure of a finding is the first of its impact, which says how much of the harm there was; where both
    results have none of it, the next that both state.
    """
    old, new = ({finding.key: finding for finding in result.findings} for result in (before, after))
    runs = tuple({run.detector: run for run in result.runs} for result in (before, after))
    rows = [_both(old.pop(key), new.pop(key), before, after) for key in sorted(old.keys() & new.keys())]
    rows += _moved_on(old, new, before, after)
    rows += [_appeared(new[key], runs[0].get(new[key].detector)) for key in sorted(new)]
    rows += [_vanished(old[key], runs[1].get(old[key].detector)) for key in sorted(old)]
    rows.sort(key=lambda row: (ORDER.index(row.state), -_rank(row), row.key))
    return Comparison(
        baseline=before.title, verdict=_verdict(rows), findings=tuple(rows), caveats=tuple(_caveats(before, after))
    )


def _moved_on(old: dict[str, Finding], new: dict[str, Finding], before: Result, after: Result) -> list[Compared]:
    """Findings of one detector about pods of one workload, the heaviest of both results together; takes them out."""
    groups = [_by_workload(findings, result) for findings, result in ((old, before), (new, after))]
    rows = []
    for at in sorted(groups[0].keys() & groups[1].keys()):
        for left, right in zip(groups[0][at], groups[1][at], strict=False):
            row = _both(old.pop(left), new.pop(right), before, after)
            rows.append(replace(row, before_key=left, reason=f"another pod of {at[1]}; {row.reason}"))
    return rows


def _by_workload(findings: dict[str, Finding], result: Result) -> dict[tuple[str, str], list[str]]:
    told: dict[str, set[str]] = {}
    for entity in result.entities:
        told.setdefault(entity.id, set()).add(entity.workload)
    groups: dict[tuple[str, str], list[str]] = {}
    for key, finding in findings.items():
        workloads = told.get(finding.subject, set())
        if len(workloads) == 1 and (workload := next(iter(workloads))):
            groups.setdefault((finding.detector, workload), []).append(key)
    return {at: sorted(keys, key=lambda key: (-_heaviness(findings[key]), key)) for at, keys in groups.items()}


def _heaviness(finding: Finding) -> float:
    return finding.impact[0].value if finding.impact else 0


def _both(old: Finding, new: Finding, before: Result, after: Result) -> Compared:
    state, reason = _moved(old, new, before, after)
    return Compared(
        key=new.key,
        detector=new.detector,
        state=state,
        reason=reason,
        summary=new.summary,
        severity_before=old.severity,
        severity_after=new.severity,
        figures=_figures(old, new, _main(old, new)),
    )


def _moved(old: Finding, new: Finding, before: Result, after: Result) -> tuple[State, str]:
    """By severity, then by the main figure: a fraction as it is, all else per hour of the evidence that shows it."""
    if old.severity is not new.severity:
        worse = new.severity.rank > old.severity.rank
        return (State.WORSE if worse else State.BETTER), f"severity was {old.severity}, is {new.severity}"
    main = _main(old, new)
    if main is None:
        return State.SAME, "the same severity; no figure can be compared"
    name, unit = main.name, main.unit
    values: tuple[float, float] = (main.before or 0, main.after or 0)
    hours = (_hours(old, before), _hours(new, after))
    per = not _as_it_is(name, unit) and all(hours)
    if per and hours[0] and hours[1]:
        values = (values[0] / hours[0], values[1] / hours[1])
    told = f"{name}{' per hour of the evidence' if per else ''}: {_short(values[0])}, now {_short(values[1])}"
    least = min(abs(value) for value in values)
    if abs(values[1] - values[0]) <= BAND * least:
        return State.SAME, told
    return (State.WORSE if values[1] > values[0] else State.BETTER), told


def _main(old: Finding, new: Finding) -> FigureChange | None:
    """The first figure that both state and that is not zero in both: `impact` begins with what measures the harm."""
    earlier = {(figure.name, figure.unit): figure.value for figure in old.impact if figure.unit != "port"}
    for figure in new.impact:
        before = earlier.get((figure.name, figure.unit))
        if before is not None and (before or figure.value):
            return FigureChange(name=figure.name, unit=figure.unit, before=before, after=figure.value)
    return None


def _as_it_is(name: str, unit: str) -> bool:
    """Whether a figure does not grow with the time that is looked at: a share, a rate, one of many values."""
    return unit == "fraction" or " per " in unit or bool(_ONE_OF_MANY.search(name))


def _hours(finding: Finding, result: Result) -> float:
    """How long the inputs that a finding quotes tell; 0 where they have no times."""
    quoted = {record.source for record in finding.evidence.records}
    inputs = [report for report in result.inputs if report.path in quoted]
    times: list[datetime] = [t for report in inputs for t in (report.first_time, report.last_time) if t is not None]
    return (max(times) - min(times)).total_seconds() / 3600 if times else 0.0


def _appeared(finding: Finding, earlier: Run | None) -> Compared:
    if earlier is not None and earlier.status in LOOKED:
        state, reason = State.NEW, "the baseline was looked through and did not have it"
    else:
        state, reason = State.UNKNOWN, f"the baseline could not show it: {_why(earlier)}"
    return Compared(
        key=finding.key,
        detector=finding.detector,
        state=state,
        reason=reason,
        summary=finding.summary,
        severity_after=finding.severity,
        figures=tuple(FigureChange(name=f.name, unit=f.unit, before=None, after=f.value) for f in finding.impact),
    )


def _vanished(finding: Finding, now: Run | None) -> Compared:
    if now is not None and now.status in LOOKED:
        state, reason = State.GONE, f"looked for again and not found{f': {now.reason}' if now.reason else ''}"
    else:
        state, reason = State.UNKNOWN, f"these inputs cannot show it: {_why(now)}"
    return Compared(
        key=finding.key,
        detector=finding.detector,
        state=state,
        reason=reason,
        summary=finding.summary,
        severity_before=finding.severity,
        figures=tuple(FigureChange(name=f.name, unit=f.unit, before=f.value, after=None) for f in finding.impact),
    )


def _why(run: Run | None) -> str:
    return "the detector was not run" if run is None else run.reason or f"the detector was {run.status}"


def _figures(old: Finding, new: Finding, main: FigureChange | None) -> tuple[FigureChange, ...]:
    """Every figure of either; first the one that was compared."""
    earlier = {(figure.name, figure.unit): figure.value for figure in old.impact}
    rows = [
        FigureChange(name=f.name, unit=f.unit, before=earlier.pop((f.name, f.unit), None), after=f.value)
        for f in new.impact
    ]
    rest = [FigureChange(name=name, unit=unit, before=value, after=None) for (name, unit), value in earlier.items()]
    return tuple(sorted((*rows, *rest), key=lambda figure: figure != main))


def _rank(row: Compared) -> int:
    severity = row.severity_after or row.severity_before or Severity.LOW
    return severity.rank


def _verdict(rows: list[Compared]) -> str:
    if not rows:
        return "Neither result has a finding."
    counts = [(sum(row.state is state for row in rows), state) for state in ORDER]
    told = ", ".join(f"{count} {state}" for count, state in counts if count)
    return f"Against the baseline: {told}."


def _caveats(before: Result, after: Result) -> list[str]:
    """What differs between the two beside the findings."""
    told = []
    old, new = ({report.kind for report in result.inputs if report.used} for result in (before, after))
    if old - new:
        told.append(f"The baseline had {', '.join(sorted(old - new))}; these inputs have not.")
    if new - old:
        told.append(f"These inputs have {', '.join(sorted(new - old))}; the baseline had not.")
    values = {(one.detector, one.name): one.value for one in before.settings}
    changed = [
        f"{one.detector}.{one.name}"
        for one in after.settings
        if values.get((one.detector, one.name), one.value) != one.value
    ]
    if changed:
        told.append(f"Settings differ: {', '.join(changed[:10])}{' ...' if len(changed) > 10 else ''}.")
    if before.tool.version != after.tool.version:
        told.append(f"The baseline was made by version {before.tool.version}, this result by {after.tool.version}.")
    return told


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
