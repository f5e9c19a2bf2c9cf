"""Run every detector over the tables that were read; one that breaks costs nothing but its own answer."""

from __future__ import annotations

import inspect
import logging
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, cast

from msgspec.structs import replace

from analyzer.detector import Detector, Needs, NotObservable, Remark
from analyzer.facts.contract import Fact, behind
from analyzer.frames import Table
from analyzer.model import Coverage, Finding, Run, Status
from analyzer.pipeline.digits import steady
from analyzer.pipeline.schedule import Futures, Task, by_use, together
from analyzer.pipeline.store import Store

log = logging.getLogger(__name__)


THREADS_MOST = 2
"""Detectors at work at a time: each holds tables of its own, and most of their time is spent in what all wait for."""


SHARED_FROM = 20_000
"""Rows of all tables from which two threads are worth it: with fewer, handing the interpreter over costs more than the
queries, which are all that runs side by side [measured: 0.03 s of 0.2 s for a hundred packets]."""


def run_all(
    detectors: Sequence[Detector[Any]],
    store: Store,
    coverage: Sequence[Coverage],
    jobs: int | None = None,
    *,
    draw: Callable[[], object] | None = None,
    ready: Callable[[], object] | None = None,
) -> tuple[Run, ...]:
    """What became of each detector, in their order.

    `jobs` threads run them where the tables are in memory, unless there is too little to do for two. Then what comes
    after fills the time in which a thread would wait for the last of them: `draw` needs no finding, and `ready` is
    called while there may still be one.
    """
    count = min(jobs or os.cpu_count() or 1, THREADS_MOST) if store.in_memory and store.height >= SHARED_FROM else 1
    if count == 1:
        return tuple(run_one(detector, store, coverage) for detector in detectors)
    # Who rests on most takes longest.
    order = sorted(detectors, key=lambda one: -store.breadth(_declared(one)))
    needs = {one.id: _declared(one) for one in order}
    facts = [fact for fact in by_use(list(needs.values())) if store.has(fact)]
    tasks = [Task(fact, partial(store.get, fact), fact.inputs) for fact in facts]
    tasks += [Task(one.id, partial(run_one, one, store, coverage), needs[one.id]) for one in order]
    done: Futures = {}
    if draw is not None:
        tasks.append(Task("draw", draw, facts))
    if ready is not None:
        tasks.append(Task("ready", partial(_meanwhile, ready, done, list(needs)), facts))
    together(tasks, count, done)
    return tuple(cast("Run", done[one.id].result()) for one in detectors)


def _meanwhile(ready: Callable[[], object], done: Futures, detectors: Sequence[str]) -> None:
    """Prepare where one of these detectors is still at work."""
    if not all(one in done and done[one].done() for one in detectors):
        ready()


def run_one(detector: Detector[Any], store: Store, coverage: Sequence[Coverage]) -> Run:
    """What became of one detector: fired, quiet with its coverage, skipped with the reason, failed with the error."""
    try:
        return _run(detector, store, coverage)
    except Exception as error:  # guard: one broken detector must not cost the report
        log.debug("detector %s failed", detector.id, exc_info=True)
        reason = f"{type(error).__name__}: {error}"[:400]
        return Run(detector=detector.id, title=detector.title, status=Status.FAILED, reason=reason)


def _run(detector: Detector[Any], store: Store, coverage: Sequence[Coverage]) -> Run:
    made = Run(detector=detector.id, title=detector.title, status=Status.SKIPPED)
    seen = store.select(_declared(detector))
    met = [needs for needs in detector.needs_any if all(need in seen for need in needs)]
    if not met:
        missing = [tuple(need for need in needs if need not in seen) for needs in detector.needs_any]
        kinds = ", ".join(sorted({kind for needs in missing for kind in kinds_behind(needs)}))
        reason = f"no input gave {_alternatives(detector.needs_any)}"
        return replace(made, reason=f"{reason}; what is missing comes from inputs of kind {kinds}" if kinds else reason)
    try:
        outcome = list(detector.detect(seen, detector.settings))
    except NotObservable as error:
        return replace(made, reason=f"not observable: {error}")
    findings = with_keys([steady(out) for out in outcome if isinstance(out, Finding)])
    remarks = tuple(out.text for out in outcome if isinstance(out, Remark))
    if findings:
        return replace(made, status=Status.FIRED, findings=findings, remarks=remarks, about=about(detector))
    behind = {table.name for table in store.tables_behind(need for needs in met for need in needs)}
    return replace(made, status=Status.QUIET, reason=_covered(behind, coverage), remarks=remarks)


def about(detector: Detector[Any]) -> str:
    """What the detector says of itself in the documentation of its module, without the first line, which is its title;
    empty where the interpreter dropped the documentation (-OO)."""
    return "\n".join((inspect.getdoc(sys.modules[detector.detect.__module__]) or "").splitlines()[1:]).strip()


def _declared(detector: Detector[Any]) -> Needs:
    return tuple(dict.fromkeys([*(need for needs in detector.needs_any for need in needs), *detector.uses]))


def with_keys(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings in their order, each with its key; a later window of the same subject is `#2`, `#3` ..."""
    seen: dict[str, int] = {}
    keyed = []
    for finding in findings:
        base = f"{finding.detector}:{finding.subject}"
        seen[base] = seen.get(base, 0) + 1
        keyed.append(replace(finding, key=base if seen[base] == 1 else f"{base}#{seen[base]}"))
    return tuple(keyed)


def kinds_behind(needs: Needs) -> set[str]:
    """The kinds of inputs that somebody may still collect for these needs: those that give all, if any does."""
    each = [_kinds(need) for need in needs]
    return set.intersection(*each) or set.union(*each) if each else set()


def _kinds(need: Table | Fact) -> set[str]:
    """The kinds of inputs of which any gives a table that this one rests on."""
    return {kind for table in behind(need) for kind in table.kinds}


def _alternatives(needs_any: Sequence[Needs]) -> str:
    return " or ".join(" and ".join(need.name for need in needs) for needs in needs_any)


def _covered(tables: set[str], coverage: Sequence[Coverage]) -> str:
    parts = [
        f"{c.rows:,} rows of {c.table}{_span(c.first_time, c.last_time)}{_lacking(c.left_out)}"
        for c in coverage
        if c.table in tables and c.rows
    ]
    return "nothing of the kind in " + "; ".join(parts) if parts else "nothing of the kind"


def _lacking(count: int) -> str:
    return f", whose inputs lack {count:,} messages that rate limits or overflows left out" if count else ""


def _span(first: datetime | None, last: datetime | None) -> str:
    if first is None or last is None:
        return " without times"
    return f" from {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"
