"""What a page knows of a chart that is drawn, and what all kinds of charts ask of their values."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup
from msgspec import Struct

from analyzer.model import Gap, Lane
from analyzer.render.format import seconds_of
from analyzer.render.scale import Value

MOST_TABLE_ROWS = 18
"""Rows of the table that says the same as a chart."""


class Key(Struct, frozen=True):
    """One line of a legend."""

    swatch: Markup
    name: str
    note: str


class Legend(Struct, frozen=True):
    """The keys of one panel; panels reuse colours."""

    title: str
    keys: tuple[Key, ...]


class Chart(Struct, frozen=True):
    """A drawn chart, with the same as a table."""

    id: str
    title: str
    svg: Markup
    legends: tuple[Legend, ...]
    caption: str
    headers: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    told: str = "greatest value from each time to the next"  # what the cells of the table are


def spans(gaps: Sequence[Gap]) -> tuple[tuple[float, float, str], ...]:
    return tuple((seconds_of(gap.start), seconds_of(gap.end), gap.reason) for gap in gaps)


def blanked(lane: Lane, gaps: Sequence[tuple[float, float, str]], start: float, step: float) -> tuple[Value, ...]:
    """The values of the lane, null inside gaps."""
    values: list[Value] = [known(value) for value in lane.values]
    for first, last, _ in gaps:
        # A step only partly inside the gap holds what was seen in its other part.
        begin = max(math.ceil((first - start) / step), 0)
        stop = min(math.floor((last - start) / step), len(values))
        # Where a gap begins stands the record after which nothing came.
        begin += 1 if begin < stop and values[begin] else 0
        values[begin:stop] = [None] * max(stop - begin, 0)
    return tuple(values)


def known(value: float | None) -> Value:
    return value if value is not None and math.isfinite(value) else None
