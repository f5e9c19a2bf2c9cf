"""identify -> read -> derive -> detect -> tell -> Result: the only place that knows all of them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, partial
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from analyzer import detectors, settings, story
from analyzer.case import Case
from analyzer.detector import Detector
from analyzer.errors import UsageError
from analyzer.model import Offset, Result, Run, Tool
from analyzer.model.versions import version
from analyzer.pipeline.clocks import aligned
from analyzer.pipeline.coverage import coverage_of
from analyzer.pipeline.detect import run_all
from analyzer.pipeline.entities import entities_of
from analyzer.pipeline.options import Progress, RunOptions
from analyzer.pipeline.owners import name_owners
from analyzer.pipeline.quote import fill, make_ready
from analyzer.pipeline.read import read_all, read_whole, windowed
from analyzer.pipeline.sink import Sink
from analyzer.pipeline.store import Store
from analyzer.story.blind import to_collect
from analyzer.story.edges import with_limits
from analyzer.story.leftout import left_out

if TYPE_CHECKING:
    from analyzer.pipeline.carve import Hide
    from analyzer.redact import Map

DISTRIBUTION = "kube-postmortem"


def investigate(options: RunOptions, progress: Progress | None = None) -> Result:
    """The whole way from inputs to a Result. Raises UsageError before anything is read."""
    progress = progress or Progress()
    picked = chosen(options)
    progress.phase("looking at the inputs")
    with Sink(options.memory) as sink:
        case, offsets = aligned(read_whole(options, progress, sink), options)
        return _judged(windowed(case, options), offsets, picked, options, progress)


def _judged(
    case: Case, offsets: tuple[Offset, ...], picked: Sequence[Detector[Any]], options: RunOptions, progress: Progress
) -> Result:
    store = Store(case.tables, options.engine)
    progress.phase("looking for failure patterns")
    coverage = coverage_of(store, case.reports)
    store.count_once()
    draw = cache(partial(story.draw, store.get, coverage))
    runs = run_all(picked, store, coverage, options.jobs, draw=draw, ready=partial(make_ready, case))
    runs, drawn = _quoted_and_drawn(runs, case, store, draw, options)
    lost = left_out(store.get, [finding for run in runs for finding in run.findings])
    runs = with_limits(runs, case.reports, coverage, (options.start, options.end), lost)
    progress.phase("writing the story")
    told = story.tell(store.get, runs, coverage, offsets, case.reports)
    result = Result(
        tool=tool(),
        title=options.title,
        labels=options.labels,
        command=options.command,
        settings=settings.effective(picked),
        inputs=case.reports,
        runs=told.runs,
        story=told.story,
        series=drawn.series,
        curves=drawn.curves,
        heats=drawn.heats,
        callers=drawn.callers,
        changes=told.changes,
        entities=entities_of(told.runs, store),
        offsets=told.offsets,
        coverage=coverage,
        clusters=told.clusters,
        collect=to_collect(picked, told.runs, coverage),
        remarks=told.remarks,
    )
    return _as_asked(result, case, store, options, progress)


def _as_asked(result: Result, case: Case, store: Store, options: RunOptions, progress: Progress) -> Result:
    """The result compared, without names and with its evidence carved, as far as somebody asked for it."""
    # What few runs ask for is imported where it is: each module costs every start something.
    if options.baseline is not None:
        from analyzer.story.compare import compare

        result = replace(result, comparison=compare(options.baseline, result))
    given = result
    if options.names is not None:
        from analyzer.pipeline.identities import identities
        from analyzer.redact import atoms_of, redacted

        given = redacted(result, options.names, identities(store, atoms_of(result)))
    if options.slices is not None:
        from analyzer.pipeline.carve import carve

        progress.phase("carving the evidence")
        options.slices.files = carve(result, given, case, _hide(options.names, store))
    return given


def _quoted_and_drawn(
    runs: tuple[Run, ...], case: Case, store: Store, draw: Callable[[], story.Drawn], options: RunOptions
) -> tuple[tuple[Run, ...], story.Drawn]:
    """The runs with the text of their evidence and the owners of their subjects, and all charts, unless these are drawn
    already: drawing is polars' work and quoting mostly Python's, so that one does not wait for the other."""
    with ThreadPoolExecutor(1) as beside:
        drawing = beside.submit(draw)
        if options.jobs == 1:
            wait([drawing])
        return name_owners(fill(runs, case), store), drawing.result()


def _hide(names: Map | None, store: Store) -> Hide | None:
    if names is None:
        return None
    from analyzer.pipeline.identities import identities
    from analyzer.redact import atoms_of, redacted_texts

    return lambda texts: redacted_texts(texts, names, identities(store, atoms_of(tuple(texts))))


def ingest(options: RunOptions, folder: Path, progress: Progress | None = None) -> Case:
    """Read all inputs and keep their tables in `folder`; rows go there as they are read.

    Raises UsageError where the folder is an input: what it holds would be overwritten before it is read.
    """
    for path in options.inputs:
        if folder.exists() and path.exists() and path.samefile(folder):
            raise UsageError(f"{folder} is an input of this case: keep the new case in another folder")
    options = replace(options, outputs=(*options.outputs, folder))
    with Sink(0, folder) as sink:
        return read_all(options, progress or Progress(), sink)


def chosen(options: RunOptions) -> Sequence[Detector[Any]]:
    """The detectors that --only and --skip leave, with their settings. Raises UsageError for an unknown id."""
    every = detectors.load()
    known = [detector.id for detector in every]
    for name in [*options.only, *options.skip]:
        if name not in known:
            raise UsageError(f"there is no detector {name}{settings.suggest(name, known)}")
    left = [d for d in every if (not options.only or d.id in options.only) and d.id not in options.skip]
    changed = settings.apply(every, *options.overrides)
    return [d for d in changed if d.id in {one.id for one in left}]


def tool() -> Tool:
    """What made the result: the tool, Python, and the libraries that decide what is read."""
    libraries = tuple(f"{name} {version(name)}" for name in ("msgspec", "numpy", "polars", "pyarrow", "zstandard"))
    try:
        own = version(DISTRIBUTION)
    except PackageNotFoundError:
        own = "0+source"
    return Tool(name=DISTRIBUTION, version=own, python=platform.python_version(), libraries=libraries)
