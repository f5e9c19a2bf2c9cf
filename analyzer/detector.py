"""The shape of a detector: one pure function, its settings, and what it needs to see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, cast, dataclass_transform

from msgspec import Struct, defstruct
from msgspec.structs import replace

from analyzer.facts.contract import Fact, Frames
from analyzer.frames.contract import Table
from analyzer.model import Finding, Remedy

S = TypeVar("S")
T = TypeVar("T")

Needs = tuple[Table | Fact, ...]


class NotObservable(Exception):  # noqa: N818 - an answer, not an error
    """Raised by a detector when its tables are there but cannot hold the evidence; the text says why."""


class Remark(Struct, frozen=True):
    """A look-alike that deserves a word, or what limits the answer. Yielded by a detector beside its findings."""

    text: str


class Detector(Struct, Generic[S], frozen=True, kw_only=True):
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


class Setting(Struct, frozen=True):
    """One threshold of a detector: its type as it is written, its default and where that comes from, what it means in
    one sentence, its unit and its least value."""

    name: str
    type: str
    default: Any
    doc: str
    unit: str
    minimum: float | None
    source: str


def setting(default: T, doc: str, *, unit: str = "", minimum: float | None = None, source: str) -> T:
    """Declare one threshold: its default, one sentence, its unit, its least value, and where the default comes from."""
    return cast("T", Setting("", "", default, doc, unit, minimum, source))


@dataclass_transform(frozen_default=True, kw_only_default=True)
def thresholds(declared: type[T]) -> type[T]:
    """A class of settings as frozen record, from a body whose every field is a `setting`."""
    told = tuple(
        replace(vars(declared)[name], name=name, type=str(kind)) for name, kind in declared.__annotations__.items()
    )
    fields = [(one.name, declared.__annotations__[one.name], one.default) for one in told]
    made = defstruct(
        declared.__name__, fields, frozen=True, kw_only=True, module=declared.__module__, namespace={_DECLARED: told}
    )
    return cast("type[T]", made)


def settings_of(settings: object) -> tuple[Setting, ...]:
    """What was declared of settings, in the order of their class."""
    told: tuple[Setting, ...] = getattr(settings, _DECLARED)
    return told


_DECLARED = "declared_settings"
