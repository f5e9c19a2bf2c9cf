"""What a run was asked to do."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from analyzer.model import Label, Result
from analyzer.pipeline.engine import Engine, Here
from analyzer.pipeline.slices import Slices
from analyzer.settings import Overrides

if TYPE_CHECKING:
    from analyzer.redact import Map


class RunOptions(Struct, frozen=True, kw_only=True):
    """`kind` forces a source by name. `start` and `end` keep only rows of that time. `command` and `labels` are
    stored as given.

    `outputs` are files and folders that this run replaces: where they lie among the inputs, they are no evidence.
    Tables that need more than `memory` bytes lie in files (None: never). `jobs` threads decode one large input and look
    for patterns (None: as many as pay). So many `processes` may read several inputs side by side; they start from the
    main module of the caller, which has to be one that can be imported. `coredns_format` is that of CoreDNS's log
    plugin, where it has one of its own;
    `engine` runs what can run elsewhere. `baseline` is an earlier result to hold this one against. With `names` the
    result hides names and addresses, and what replaced what is added to that map. `slices` take what an evidence
    directory shall hold. `apply_offsets` shifts the rows of inputs whose clocks are found to be wrong.
    """

    inputs: tuple[Path, ...]
    kind: str | None = None
    outputs: tuple[Path, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    tz: str = "UTC"
    year: int | None = None
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    overrides: tuple[Overrides, ...] = ()
    title: str = ""
    labels: tuple[Label, ...] = ()
    command: str = ""
    memory: int | None = None
    jobs: int | None = None
    processes: int = 1
    coredns_format: str | None = None
    baseline: Result | None = None
    names: Map | None = None
    slices: Slices | None = None
    apply_offsets: bool = False
    engine: Engine = field(default_factory=Here)


class Progress:
    """Told what a run is at; this one says nothing. The command line shows its own on a terminal."""

    def total(self, count: int) -> None:
        """So many bytes will be read."""

    def phase(self, text: str) -> None:
        """This is what happens now."""

    def advance(self, count: int) -> None:
        """So many more bytes were read."""
