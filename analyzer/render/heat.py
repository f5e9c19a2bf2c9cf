"""Counts of many lanes over time as a map: a row for each lane, a column for each step, the stronger the more."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup
from msgspec import Struct
from msgspec.structs import replace

from analyzer.model import Heat
from analyzer.render.chart import MOST_TABLE_ROWS, Chart, Key, Legend, blanked, spans
from analyzer.render.draw import COLOURS, RIGHT, WIDTH, element, fitted, hatch, image, px, text_at
from analyzer.render.escape import for_markup, shown
from analyzer.render.format import clock, duration, moment, number, quantity, seconds_of, short
from analyzer.render.scale import Value, time_ticks

MOST_LANES = 16
MOST_STEPS = 240
"""Columns; of a longer map the last ones are left out, and that is said."""

SHADES = 5
"""Strengths of the colour: more cannot be told apart."""

_COLOUR = 3  # vermilion: failures
_LEFT, _TOP, _ROW, _GAP = 232, 24, 18, 2
_GREATEST = 1e15  # no count is greater
_WEAKEST = 0.3  # opacity of the least count


class _Map(Struct, frozen=True):
    """A heat map as it is drawn: values null where nothing was recorded."""

    heat: Heat
    start: float
    step: float
    names: tuple[str, ...]
    lanes: tuple[tuple[Value, ...], ...]
    gaps: tuple[tuple[float, float, str], ...]

    @property
    def steps(self) -> int:
        return max((len(lane) for lane in self.lanes), default=0)

    @property
    def end(self) -> float:
        return self.start + self.step * self.steps

    @property
    def bottom(self) -> float:
        return _TOP + _ROW * len(self.lanes)

    def x(self, time: float) -> float:
        share = (time - self.start) / max(self.end - self.start, 1e-9)
        return _LEFT + (WIDTH - _LEFT - RIGHT) * min(max(share, 0.0), 1.0)


def heat_chart(id_: str, heat: Heat) -> Chart | None:
    """The chart of a heat map; none where nothing was counted."""
    made = _map(heat)
    cells = [(value, row, at) for row, lane in enumerate(made.lanes) for at, value in enumerate(lane) if value]
    if not cells:
        return None
    peak, row, at = max(cells, key=lambda cell: (cell[0], -cell[1], -cell[2]))
    bounds = shades(peak)
    most = (
        f"Most: {shown(made.names[row], 80)}, {quantity(peak, heat.unit)} in the {_span(made.step)} from "
        f"{clock(moment(made.start + at * made.step))}."
    )
    totals = [f"{shown(name, 80)}: {number(_sum(lane))}" for name, lane in zip(made.names, made.lanes, strict=True)]
    desc = f"{shown(heat.title, 120)}. {most} In all: {', '.join(totals)}."
    svg = image(id_, made.bottom + 24, heat.title, desc, _drawn(id_, made, bounds))
    headers = ("From (UTC)", *(f"{name} ({shown(heat.unit, 40)})" for name in made.names))
    told = "sum from each time to the next"
    return Chart(
        id_, heat.title, Markup(svg), (_legend(bounds, heat.unit),), _caption(made, most), headers, _rows(made), told
    )


def shades(peak: float) -> tuple[int, ...]:
    """The least count of each strength, ascending from 1 by equal ratios."""
    top = max(peak, 1.0)
    bounds = {max(1, math.ceil(top ** (k / SHADES) - 1e-9)) for k in range(SHADES)}
    return tuple(sorted(bound for bound in bounds if bound <= top))


def _map(heat: Heat) -> _Map:
    start, step = seconds_of(heat.start), max(float(heat.step_seconds), 1.0)
    lanes = heat.lanes[:MOST_LANES]
    gaps = spans(heat.gaps)
    values = [
        tuple(
            None if value is None or value < 0 else min(value, _GREATEST) for value in blanked(lane, gaps, start, step)
        )
        for lane in (replace(lane, values=lane.values[:MOST_STEPS]) for lane in lanes)
    ]
    return _Map(heat, start, step, tuple(lane.name for lane in lanes), tuple(values), gaps)


def _span(seconds: float) -> str:
    return {60: "minute", 3600: "hour", 86400: "day"}.get(int(seconds), duration(seconds))


def _each(seconds: float) -> str:
    return f"{'one' if _span(seconds).isalpha() else 'its'} {_span(seconds)}"


def _sum(values: Sequence[Value]) -> float:
    return math.fsum(value for value in values if value is not None)


def _caption(made: _Map, most: str) -> str:
    words = [f"Each cell counts {_each(made.step)}, each row has its sum at the right. {most}"]
    if any(first < made.end and last > made.start for first, last, _ in made.gaps):
        words.append("Hatched: no data, which is not zero.")
    if more := len(made.heat.lanes) - len(made.lanes):
        words.append(f"{more} more rows are not drawn.")
    if any(len(lane.values) > MOST_STEPS for lane in made.heat.lanes):
        words.append(f"Only the first {MOST_STEPS} columns are drawn.")
    return " ".join(words)


def _legend(bounds: Sequence[int], unit: str) -> Legend:
    keys = []
    for at, least in enumerate(bounds):
        box = element(
            "rect", class_=f"s{_COLOUR}", fill=COLOURS[_COLOUR], fill_opacity=_opacity(at, bounds), width=12, height=12
        )
        swatch = element("svg", box, class_="key", width=12, height=12, aria_hidden="true")
        after = bounds[at + 1] - 1 if at + 1 < len(bounds) else None
        words = f"{least:,} or more" if after is None else f"{least:,}" if after == least else f"{least:,} to {after:,}"
        keys.append(Key(Markup(swatch), f"{words} {shown(unit, 40)}" if at == 0 else words, ""))
    return Legend("", tuple(keys))


def _opacity(at: int, bounds: Sequence[int]) -> str:
    return f"{_WEAKEST + (1 - _WEAKEST) * at / max(len(bounds) - 1, 1):.2f}" if len(bounds) > 1 else "1"


def _drawn(id_: str, made: _Map, bounds: Sequence[int]) -> list[str]:
    out = [
        element("defs", hatch(id_)),
        text_at(_LEFT, _TOP - 9, f"{shown(made.heat.unit, 40)} per {_span(made.step)}", kind="ttl"),
        text_at(WIDTH - RIGHT + 8, _TOP - 9, "sum"),
    ]
    wide = WIDTH - _LEFT - RIGHT
    for row, (name, lane) in enumerate(zip(made.names, made.lanes, strict=True)):
        y = _TOP + row * _ROW
        rail = {"x": _LEFT, "y": y, "width": wide, "height": _ROW - _GAP}
        out.append(element("rect", class_="rail", fill="#e8eaed", fill_opacity=0.5, **rail))
        out.append(text_at(_LEFT - 8, y + 12, fitted(name, _LEFT - 12), "end"))
        out.append(text_at(WIDTH - RIGHT + 8, y + 12, short(_sum(lane)), kind="lab n"))
    for at in range(len(bounds)):
        if path := _cells(made, bounds, at):
            look = {"class_": f"s{_COLOUR}", "fill": COLOURS[_COLOUR], "fill_opacity": _opacity(at, bounds)}
            out.append(element("path", **look, d=path))
    return [*out, *_gaps(id_, made), *_ticks(made)]


def _cells(made: _Map, bounds: Sequence[int], at: int) -> str:
    """All cells of one strength as one path: a map has more than a thousand."""
    out = []
    high = bounds[at + 1] if at + 1 < len(bounds) else math.inf
    for row, lane in enumerate(made.lanes):
        y = _TOP + row * _ROW
        for column, value in enumerate(lane):
            if value and (bounds[at] <= value or at == 0) and value < high:
                x, end = (made.x(made.start + k * made.step) for k in (column, column + 1))
                wide = px(max(end - x - min(1.0, (end - x) / 6), 0.5))
                out.append(f"M{px(x)} {y}h{wide}v{_ROW - _GAP}h-{wide}z")
    return "".join(out)


def _gaps(id_: str, made: _Map) -> list[str]:
    out = []
    for first, last, reason in made.gaps[:50]:
        if first < made.end and last > made.start:
            x, end = made.x(first), made.x(last)
            box = {"x": px(x), "y": _TOP, "width": px(max(end - x, 2)), "height": px(made.bottom - _TOP)}
            words = element("title", for_markup(shown(f"no data: {reason}", 300)))
            out.append(element("rect", words, class_="gap", fill=f"url(#{id_}-gap)", **box))
    return out


def _ticks(made: _Map) -> list[str]:
    out = []
    for at, words in time_ticks(made.start, made.end):
        x = made.x(at)
        out.append(element("path", class_="grid", stroke="#d8dee4", d=f"M{px(x)} {px(made.bottom)}v4"))
        out.append(text_at(x, made.bottom + 16, words, "middle"))
    return out


def _rows(made: _Map) -> tuple[tuple[str, ...], ...]:
    """Sums of at most MOST_TABLE_ROWS equal stretches."""
    steps = made.steps
    count = min(steps, MOST_TABLE_ROWS)
    rows = []
    for k in range(count):
        first, stop = k * steps // count, (k + 1) * steps // count
        cells = [lane[first:stop] for lane in made.lanes]
        words = [number(_sum(cell)) if any(v is not None for v in cell) else "no data" for cell in cells]
        rows.append((clock(moment(made.start + first * made.step)), *words))
    return tuple(rows)
