"""A record that a finding quotes, and where it can be read again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from analyzer.case import Case, Place
from analyzer.model import InputReport, Record
from analyzer.pipeline.quote import reached
from analyzer.sources.contract import Item, Source
from analyzer.sources.discover import STDIN


class Cited(Struct, frozen=True):
    """`finding` counts from 0; `shown` is the record as the report tells it."""

    finding: int
    source: str
    number: int
    shown: Record

    @property
    def place(self) -> tuple[str, int]:
        return self.source, self.number

    def reachable(self, case: Case) -> bool:
        there = reached(self.source, case)
        return there is not None and (there[1].path == STDIN or there[1].path.exists())


class Left(Struct, frozen=True):
    """A record that is in no slice, and why."""

    cited: Cited
    reason: str


class Input(Struct, frozen=True):
    """An input that is opened again for the numbers that are wanted of it."""

    source: Source
    place: Place
    item: Item
    report: InputReport
    cited: tuple[Cited, ...]


def inputs_of(cited: Iterable[Cited], case: Case) -> Sequence[Input]:
    """The inputs that can be opened; members of an archive in its order, so that it is read once."""
    by: dict[str, list[Cited]] = {}
    for one in cited:
        by.setdefault(one.source, []).append(one)
    found = [Input(*there, tuple(by[name])) for name in sorted(by) if (there := reached(name, case)) is not None]
    return sorted(found, key=lambda one: (str(one.place.path), one.place.member.start if one.place.member else 0))
