"""The shape of a detector: one pure function, its settings, and what it needs to see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from analyzer.facts.contract import Fact, Frames
from analyzer.frames.contract import Table
from analyzer.model import Finding, Remedy

S = TypeVar("S")
T = TypeVar("T")

Needs = tuple[Table | Fact, ...]


class NotObservable(Exception):  # noqa: N818 - an answer, not an error
    """Raised by a detector when its tables are there but cannot hold the evidence; the text says why."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A look-alike that deserves a word, or what limits the answer. Yielded by a detector beside its findings."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector(Generic[S]):
    """`needs_any` lists alternatives: one satisfied tuple is enough. `uses` is seen where it is there.

    `detect` sees exactly the tables it declared: missing ones are absent from the mapping.
    """

    id: str
    title: str
    needs_any: tuple[Needs, ...]
    settings: S
    detect: Callable[[Frames, S], Iterable[Finding | Remark]]
    remedies: tuple[Remedy, ...]
    uses: Needs = ()
    stories: tuple[int, ...] = ()


def setting(default: T, doc: str, *, unit: str = "", minimum: float | None = None, source: str) -> T:
    """Declare one threshold: its default, one sentence, its unit, its least value, and where the default comes from."""
    metadata: dict[str, Any] = {"doc": doc, "unit": unit, "minimum": minimum, "source": source}
    return field(default=default, metadata=metadata)
