"""Which charts a result needs: the timeline over all sources, one chart per series, and small ones inside findings."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from markupsafe import Markup
from msgspec import Struct, field
from msgspec.structs import replace

from analyzer.model import EvidenceSeries, Lane, Result, Series
from analyzer.render.chart import MOST_TABLE_ROWS, Chart, Key, Legend, blanked, known, spans
from analyzer.render.curves import curve_chart
from analyzer.render.draw import COLOURS, swatch
from analyzer.render.escape import for_script, shown
from analyzer.render.format import clock, duration, moment, quantity, seconds_of
from analyzer.render.heat import heat_chart
from analyzer.render.scale import Value, peaks
from analyzer.render.svg import MOST_BUCKETS, Kind, Panel, Trace, Window, left_out, plot

MOST_LINES = 6
"""More lanes than this become strips of their own: lines would cover each other."""

MOST_LANES = 16
MOST_STRIPS = 32
MOST_STACKS = 2
MOST_ZOOM_VALUES = 60_000
"""Values that the page carries for zooming, in all charts together: about 300 kB."""

MOST_OTHERS = 8
"""Heat maps, and curves, of one page."""

_GREY = len(COLOURS) - 1
_FAILED = 3  # vermilion

FAILURES = "failure-signals"
"""Id of the series that has a lane for each failure signal: all its lanes are strips of the timeline."""

_FAILURE = (
    r"(?i)servfail|refused|nxdomain|formerr|no_reply|time.?out|\b4(?:\d\d|xx)\b|\b5(?:\d\d|xx)\b|\berr|fail|fatal|"
    r"retrans|reject|throttl|unanswered|drop|evict|kill|reset|warning"
)


class _Group(Struct, frozen=True):
    """The lanes of one series with null where nothing was recorded."""

    series: Series
    start: float
    step: float
    lanes: tuple[tuple[Value, ...], ...]
    gaps: tuple[tuple[float, float, str], ...]
    own_gaps: tuple[tuple[tuple[float, float, str], ...], ...] = ()  # of each lane, those of the group among them

    @property
    def end(self) -> float:
        return self.start + self.step * max((len(lane) for lane in self.lanes), default=0)


class Charts(Struct):
    """All charts of one page, and the values that its script needs to draw them again at another zoom."""

    timeline: Chart | None = None
    sources: tuple[Chart, ...] = ()
    island: str = ""
    groups: list[dict[str, Any]] = field(default_factory=list)


def charts(result: Result, windows: Sequence[Window]) -> Charts:
    """The timeline and the charts by source. Findings' own charts are added by `small`, before `seal`."""
    made = Charts()
    groups = [_group(series) for series in result.series]
    groups = [group for group in groups if group.end > group.start]
    limit = max(100, MOST_ZOOM_VALUES // max(1, sum(len(group.lanes) for group in groups)))
    for group in groups:
        made.groups.append(_for_zoom(group, limit))
    made.timeline = _timeline(groups, windows)
    made.sources = _sources(result, groups, windows)
    return made


def _sources(result: Result, groups: Sequence[_Group], windows: Sequence[Window]) -> tuple[Chart, ...]:
    """The charts by source; what is told of one source in other ways than over time stands with its rates."""
    over_time = [at for at, group in enumerate(groups) if not _is_failures(group)]
    drawn: list[tuple[str, Chart | None]] = [
        (groups[at].series.id, _source(at, groups[at], windows)) for at in over_time
    ]
    drawn += [(heat.id, heat_chart(f"heat{at + 1}", heat)) for at, heat in enumerate(result.heats[:MOST_OTHERS])]
    drawn += [(curve.id, curve_chart(f"curve{at + 1}", curve)) for at, curve in enumerate(result.curves[:MOST_OTHERS])]
    first: dict[str, int] = {}
    for id_, _ in drawn:
        first.setdefault(id_.partition("-")[0], len(first))
    order = sorted(drawn, key=lambda one: first[one[0].partition("-")[0]])
    return tuple(chart for _, chart in order if chart is not None)


def seal(made: Charts, windows: Sequence[Window]) -> None:
    """Write the values for zooming; call it when every chart is made."""
    spans = [[w.label, w.start, w.end] for w in windows]
    made.island = for_script({"groups": made.groups, "windows": spans}) if made.groups else ""


def small(made: Charts, id_: str, series: EvidenceSeries) -> Chart | None:
    """A chart of one evidence series of a finding."""
    values = tuple(known(value) for value in series.values)
    if not values:
        return None
    start, step = seconds_of(series.start), max(float(series.step_seconds), 1.0)
    group = len(made.groups)
    made.groups.append(_zoom_entry(start, step, ((shown(series.caption, 80), values),), series.unit, 1000))
    panel = Panel(series.unit, Kind.LINES, start, step, (Trace(series.caption, values, group, 0, 0),))
    desc = _peak_sentence(series.caption, values, start, step, series.unit)
    svg = plot(id_, [panel], [], start, panel.end, series.caption, desc)
    lane = Lane(name=series.caption, values=series.values)
    whole = Series(id=id_, title="", unit=series.unit, start=series.start, step_seconds=int(step), lanes=(lane,))
    headers, rows = _table([_Group(whole, start, step, (values,), ())])
    caption = f"{series.caption}. {_rule(len(values), step)}"
    return Chart(id_, series.caption, Markup(svg), (), caption, headers, rows)


def _is_failures(group: _Group) -> bool:
    return group.series.id == FAILURES


def _group(series: Series) -> _Group:
    start, step = seconds_of(series.start), max(float(series.step_seconds), 1.0)
    most = MOST_STRIPS if series.id == FAILURES else MOST_LANES
    kept = sorted(range(len(series.lanes)), key=lambda i: (-max(series.lanes[i].values, default=0), i))[:most]
    names = tuple(series.lanes[at] for at in sorted(kept))
    own = tuple(spans((*series.gaps, *lane.gaps)) for lane in names)
    lanes = tuple(blanked(lane, gaps, start, step) for lane, gaps in zip(names, own, strict=True))
    return _Group(_with(series, names), start, step, lanes, spans(series.gaps), own)


def _with(series: Series, lanes: tuple[Any, ...]) -> Series:
    more = len(series.lanes) - len(lanes)
    title = f"{series.title} ({more} smaller lanes left out)" if more else series.title
    return replace(series, title=title, lanes=lanes)


def _for_zoom(group: _Group, limit: int) -> dict[str, Any]:
    named = tuple((shown(lane.name, 60), values) for lane, values in zip(group.series.lanes, group.lanes, strict=True))
    return _zoom_entry(group.start, group.step, named, group.series.unit, limit)


def _zoom_entry(
    start: float, step: float, lanes: Sequence[tuple[str, Sequence[Value]]], unit: str, limit: int
) -> dict[str, Any]:
    """At most `limit` values a lane, each the greatest of its stretch; stretches are equal, so one step is enough."""
    longest = max((len(values) for _, values in lanes), default=0)
    fold = max(1, math.ceil(longest / limit))
    return {
        "t": start,
        "d": step * fold,
        "u": shown(unit, 40),
        "n": [name for name, _ in lanes],
        "v": [[_rounded(_peak(values[i : i + fold])) for i in range(0, len(values), fold)] for _, values in lanes],
    }


def _peak(values: Sequence[Value]) -> Value:
    known = [value for value in values if value is not None]
    return max(known) if known else None


def _rounded(value: Value) -> Value:
    if value is None:
        return None
    return int(value) if float(value).is_integer() and abs(value) < 1e15 else float(f"{value:.4g}")


def _timeline(groups: Sequence[_Group], windows: Sequence[Window]) -> Chart | None:
    if not groups and not windows:
        return None
    rates = [at for at, group in enumerate(groups) if not _is_failures(group)]
    by_code = [at for at in rates if " by code" in groups[at].series.title and len(groups[at].lanes) > 1]
    stacks = by_code[:MOST_STACKS] or rates[:1]
    panels = [_panel(groups[at], at, Kind.STACK) for at in stacks]
    signals = _signals(groups, stacks)
    panels += [panel for panel, _, _ in signals]
    start = min([p.start for p in panels] + [w.start for w in windows])
    end = max([p.end for p in panels] + [w.end for w in windows])
    legends = [Legend(groups[at].series.title, _keys(groups[at], dashed=False)) for at in stacks]
    of = {title: tuple(key for _, key, at in signals if at == title and key is not None) for _, _, title in signals}
    legends += [Legend(title, keys) for title, keys in of.items() if keys]
    drawn = [groups[at] for at in stacks] + [group for group in groups if _is_failures(group)]
    desc = " ".join(_peaks_of(group) for group in drawn) or f"{len(windows)} finding windows."
    hidden = left_out(windows, start, end) if windows else 0
    caption = _caption(groups, windows, hidden, any(panel.gaps for panel in panels))
    svg = plot("tl", panels, windows, start, end or start + 1, "Timeline of all sources", desc, bars=True)
    headers, rows = _table(drawn)
    return Chart("tl", "Timeline", Markup(svg), tuple(legends), caption, headers, rows)


def _caption(groups: Sequence[_Group], windows: Sequence[Window], hidden: int, gaps: bool) -> str:
    rule = (
        "All panels share one UTC axis. Stacked areas show the step with the greatest total of each column, the strips "
        "below them the greatest value of each column on a scale of their own, so spikes of one step stay visible."
    )
    words = [rule]
    if windows:
        words.append("Bars and shading: the windows of the findings.")
    if hidden:
        words.append(f"{hidden} more windows have no bar for want of room; the list of findings has all of them.")
    if gaps:
        words.append("Hatched: no data, which is not zero.")
    if never := [name for group in groups for name in group.series.never]:
        words.append(f"Looked for and never seen: {', '.join(never)}.")
    return " ".join(words)


_SIGNALS = "Failure signals"
_OTHERS = "Strips of other sources"


def _signals(groups: Sequence[_Group], stacks: Sequence[int]) -> list[tuple[Panel, Key | None, str]]:
    """Every lane of the failure signals as a strip; of every other series that is not stacked its greatest lane.

    A result without such a series has its failure lanes picked by their names.
    """
    told = any(_is_failures(group) for group in groups)
    chosen: list[tuple[int, int]] = []
    for at, group in sorted(enumerate(groups), key=lambda one: not _is_failures(one[1])):
        lanes = [k for k, lane in enumerate(group.series.lanes) if re.search(_FAILURE, shown(lane.name, 200))]
        lanes = [k for k in lanes if any(group.lanes[k])]
        if _is_failures(group):
            lanes = list(range(len(group.lanes)))
        elif at not in stacks and group.lanes and (told or not lanes):
            lanes = [max(range(len(group.lanes)), key=lambda k: (_peak(group.lanes[k]) or 0, -k))]
        elif told:
            lanes = []
        chosen += [(at, k) for k in lanes]
    out: list[tuple[Panel, Key | None, str]] = []
    for at, lane in chosen[:MOST_STRIPS]:
        group = groups[at]
        known = at in stacks  # then its colour and peak stand in the legend of its stack
        colour = lane if known else _FAILED if _is_failures(group) else _GREY
        trace = replace(_trace(group, at, lane), colour=colour)
        title = _SIGNALS if _is_failures(group) else _OTHERS
        heading = "" if out and out[-1][2] == title else f"{title}: each on its own scale, its peak at the right"
        panel = Panel(trace.name, Kind.STRIP, group.start, group.step, (trace,), group.own_gaps[lane], heading)
        name = trace.name if _is_failures(group) else f"{trace.name}, {_inside(group.series.title)}"
        key = Key(Markup(swatch(colour, False)), name, _peak_note(group.lanes[lane], group))
        out.append((panel, None if known else key, title))
    return out


def _inside(title: str) -> str:
    """A title within a sentence: its first letter is small unless it begins an acronym such as DNS."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def _source(at: int, group: _Group, windows: Sequence[Window]) -> Chart:
    lines = len(group.lanes) <= MOST_LINES
    if lines:
        panels = [_panel(group, at, Kind.LINES)]
    else:
        panels = [
            Panel(lane.name, Kind.STRIP, group.start, group.step, (_trace(group, at, k),), group.gaps)
            for k, lane in enumerate(group.series.lanes)
        ]
    longest = max(len(lane) for lane in group.lanes)
    caption = _rule(longest, group.step)
    if not lines:
        caption += " Each lane has its own scale; its peak stands at the right."
    if group.gaps:
        caption += " Hatched: no data, which is not zero."
    inside = [w for w in windows if w.end >= group.start and w.start <= group.end]
    title = f"{group.series.title} ({group.series.unit})"
    svg = plot(f"c{at + 1}", panels, inside, group.start, group.end, title, _peaks_of(group))
    headers, rows = _table([group])
    return Chart(
        f"c{at + 1}", group.series.title, Markup(svg), (Legend("", _keys(group, dashed=lines)),), caption, headers, rows
    )


def _rule(values: int, step: float) -> str:
    column = step * math.ceil(values / MOST_BUCKETS)
    return f"Each column shows the greatest value of its {duration(column)}."


def _panel(group: _Group, at: int, kind: Kind) -> Panel:
    traces = tuple(_trace(group, at, lane) for lane in range(len(group.lanes)))
    title = group.series.unit if kind is Kind.LINES else f"{group.series.title} ({group.series.unit})"
    return Panel(title, kind, group.start, group.step, traces, group.gaps)


def _trace(group: _Group, at: int, lane: int) -> Trace:
    return Trace(group.series.lanes[lane].name, group.lanes[lane], at, lane, lane)


def _keys(group: _Group, *, dashed: bool) -> tuple[Key, ...]:
    return tuple(
        Key(Markup(swatch(at, dashed)), lane.name, _peak_note(group.lanes[at], group))
        for at, lane in enumerate(group.series.lanes)
    )


def _peak_at(values: Sequence[Value]) -> int | None:
    best = _peak(values)
    return None if best is None else next(i for i, value in enumerate(values) if value == best)


def _peak_note(values: Sequence[Value], group: _Group) -> str:
    at = _peak_at(values)
    value = None if at is None else values[at]
    if at is None or value is None:
        return "no data"
    if value == 0:
        return "always 0"
    return f"peak {quantity(value, group.series.unit)} at {clock(moment(group.start + at * group.step))[11:]}"


def _peak_sentence(name: str, values: Sequence[Value], start: float, step: float, unit: str) -> str:
    at = _peak_at(values)
    value = None if at is None else values[at]
    if at is None or value is None:
        return f"{shown(name, 80)}: no data."
    return f"{shown(name, 80)}: greatest value {quantity(value, unit)} at {clock(moment(start + at * step))}."


def _peaks_of(group: _Group) -> str:
    title, unit = group.series.title, group.series.unit
    lanes = zip(group.series.lanes, group.lanes, strict=True)
    parts = [_peak_sentence(lane.name, values, group.start, group.step, unit) for lane, values in lanes]
    gaps = f" {len(group.gaps)} gaps without data." if group.gaps else ""
    return f"{shown(title, 120)}. {' '.join(parts[:MOST_LINES])}{gaps}"


def _table(groups: Sequence[_Group]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Peaks of at most MOST_TABLE_ROWS equal stretches; all groups of one table must share their axis."""
    groups = [group for group in groups if (group.start, group.step) == (groups[0].start, groups[0].step)]
    if not groups:
        return (), ()
    columns = [peaks(lane, MOST_TABLE_ROWS) for group in groups for lane in group.lanes]
    longest = max(columns, key=len, default=[])
    first = groups[0]
    headers = ["From (UTC)"] + [f"{lane.name} ({group.series.unit})" for group in groups for lane in group.series.lanes]
    rows = []
    for row in zip_longest(longest, *columns):
        at, *cells = row
        if at is None:
            break
        when = clock(moment(first.start + at.first * first.step))
        words = ["" if cell is None else "no data" if cell.value is None else _cell(cell.value) for cell in cells]
        rows.append((when, *words))
    return tuple(headers), tuple(rows)


def _cell(value: float) -> str:
    return quantity(_rounded(value) or 0, "")
