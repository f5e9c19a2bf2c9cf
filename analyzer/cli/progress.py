"""Progress on stderr, only where a person is watching."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from analyzer.cli.wording import safe
from analyzer.pipeline.options import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


class _Bar(Progress):
    def __init__(self, bar: Bar, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def total(self, count: int) -> None:
        self._bar.update(self._task, total=count)

    def phase(self, text: str) -> None:
        self._bar.update(self._task, description=safe(text)[:60])

    def advance(self, count: int) -> None:
        self._bar.advance(self._task, count)


def _terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


@contextmanager
def shown(quiet: bool, color: str) -> Iterator[Progress]:
    """A bar on stderr if stdout and stderr are both terminals and neither -q nor CI says otherwise; else nothing."""
    watched = _terminal(sys.stdout) and _terminal(sys.stderr) and os.environ.get("TERM") != "dumb"
    if quiet or os.environ.get("CI") or not watched:
        yield Progress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, no_color=color == "never" or None, force_terminal=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        yield _Bar(bar, bar.add_task("looking at the inputs", total=None))
