"""Charts as static SVG: complete without a script, coloured by CSS classes over attributes that work without CSS.

A plot is a stack of panels on one UTC axis: `stack` (areas on top of each other), `lines`, or `strip` (one lane with
its own scale and its peak at the right). Bars above the panels are the windows of findings. What was not recorded is
hatched, never drawn as zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct, field

from analyzer.render.draw import COLOURS, DASHES, LEFT, RIGHT, WIDTH, element, fitted, hatch, image, px, text_at
from analyzer.render.escape import for_markup, shown
from analyzer.render.format import short
from analyzer.render.scale import Bucket, Value, peaks, stacked, time_ticks, value_ticks

MOST_BUCKETS = 480
MOST_WINDOW_ROWS = 8
MOST_WINDOWS = 200

_HEIGHTS = {"stack": 150, "lines": 170, "strip": 26}
_ROW = 15


class Kind(StrEnum):
    STACK = "stack"
    LINES = "lines"
    STRIP = "strip"


class Trace(Struct, frozen=True):
    """One lane as it is drawn; `group` and `lane` say where a script finds its values."""

    name: str
    values: tuple[Value, ...]
    group: int
    lane: int
    colour: int


class Panel(Struct, frozen=True):
    """One drawing area with its traces."""

    title: str
    kind: Kind
    start: float
    step: float
    traces: tuple[Trace, ...]
    gaps: tuple[tuple[float, float, str], ...] = ()
    heading: str = ""  # above the first of several strips

    @property
    def end(self) -> float:
        return self.start + self.step * max((len(trace.values) for trace in self.traces), default=0)

    @property
    def top(self) -> float:
        """The greatest height to draw, in the unit of the values."""
        if self.kind is Kind.STACK:
            lanes = stacked([trace.values for trace in self.traces], MOST_BUCKETS)
            return max((b.value or 0 for b in lanes[-1]), default=0) if lanes else 0
        return max((v for trace in self.traces for v in trace.values if v is not None), default=0)


class Window(Struct, frozen=True):
    """The time of a finding, shaded behind the traces."""

    label: str
    severity: str
    start: float
    end: float


class _Canvas(Struct):
    """Collects the elements of one chart from the top down."""

    id: str
    start: float
    end: float
    y: float = 4
    parts: list[str] = field(default_factory=list)

    def x(self, time: float) -> float:
        share = (time - self.start) / max(self.end - self.start, 1e-9)
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(share, 0), 1)


def plot(
    id_: str,
    panels: Sequence[Panel],
    windows: Sequence[Window],
    start: float,
    end: float,
    title: str,
    desc: str,
    *,
    bars: bool = False,
) -> str:
    """One chart over `start` to `end` (seconds since 1970); `id_` must be safe and unique in the page.

    Windows are shaded, and with `bars` also drawn one by one with their labels.
    """
    canvas = _Canvas(id_, start, end)
    if windows and bars:
        _draw_windows(canvas, windows)
    top = canvas.y
    panel_parts: list[str] = []
    for panel in panels:
        panel_parts += _draw_panel(canvas, panel)
    bottom = canvas.y
    under = _shading(canvas, windows, top, bottom) + _vertical(canvas, top, bottom)
    height = bottom + 22
    body = [element("defs", hatch(id_)), *under, *canvas.parts, *panel_parts]
    spans = {"data_a": start, "data_b": end, "data_l": LEFT, "data_r": WIDTH - RIGHT}
    return image(id_, height, title, desc, body, **spans, data_t=px(top), data_h=px(bottom))


def _draw_windows(canvas: _Canvas, windows: Sequence[Window]) -> None:
    """A bar per finding, in as few rows as their labels allow; by rank, so what finds no row is the least of them."""
    rows: list[list[tuple[float, float]]] = []
    for window in windows[:MOST_WINDOWS]:
        x0, x1 = canvas.x(window.start), canvas.x(window.end)
        wide = max(x1 - x0, 3)
        label = len(window.label) * 7 + 8
        left = x0 + wide + label > WIDTH - 4
        first, last = (x0 - label, x0 + wide + 4) if left else (x0, x0 + wide + label)
        row = next((i for i, taken in enumerate(rows) if all(last <= a or b <= first for a, b in taken)), len(rows))
        if row >= MOST_WINDOW_ROWS:
            continue
        if row == len(rows):
            rows.append([])
        rows[row].append((first, last))
        canvas.parts += _window_bar(window, x0, wide, canvas.y + row * _ROW, left)
    canvas.parts.append(text_at(LEFT - 8, canvas.y + 10.5, "Findings", "end"))
    canvas.y += len(rows) * _ROW + 5


def _window_bar(window: Window, x: float, wide: float, y: float, left: bool) -> list[str]:
    rect = element(
        "rect",
        element("title", for_markup(f"{window.label}, {window.severity}")),
        class_=f"w {window.severity}",
        fill="#953800",
        x=px(x),
        y=px(y + 2),
        width=px(wide),
        height=9,
        rx=2,
        data_from=window.start,
        data_to=window.end,
    )
    at, anchor, of = (x - 4, "end", window.start) if left else (x + wide + 4, "start", window.end)
    return [rect, text_at(at, y + 10.5, window.label, anchor, "ttl", data_of=of)]


def left_out(windows: Sequence[Window], start: float, end: float) -> int:
    """How many windows find no row in a plot of that span."""
    canvas = _Canvas("x", start, end)
    _draw_windows(canvas, windows)
    return len(windows) - sum(part.startswith("<rect") for part in canvas.parts)


def _shading(canvas: _Canvas, windows: Iterable[Window], top: float, bottom: float) -> list[str]:
    """The union of all windows behind the panels, so that many findings do not add up to black."""
    spans: list[list[float]] = []
    for window in sorted(windows, key=lambda w: w.start):
        if spans and window.start <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], window.end)
        else:
            spans.append([window.start, window.end])
    return [
        element(
            "rect",
            class_="win",
            fill="#d55e00",
            fill_opacity=0.1,
            x=px(canvas.x(a)),
            y=px(top),
            width=px(max(canvas.x(b) - canvas.x(a), 1)),
            height=px(bottom - top),
            data_from=a,
            data_to=b,
        )
        for a, b in spans[:200]
    ]


def _vertical(canvas: _Canvas, top: float, bottom: float) -> list[str]:
    out = []
    for at, label in time_ticks(canvas.start, canvas.end):
        x = canvas.x(at)
        line = element("path", class_="grid", stroke="#d8dee4", d=f"M{px(x)} {px(top)}V{px(bottom + 4)}")
        out.append(element("g", line + text_at(x, bottom + 16, label, "middle"), class_="tick"))
    return out


def _draw_panel(canvas: _Canvas, panel: Panel) -> list[str]:
    """The panel's elements; moves the canvas down by its height."""
    strip = panel.kind is Kind.STRIP
    out = []
    if not strip or panel.heading:
        canvas.y += 20
    if strip and panel.heading:
        out.append(text_at(LEFT, canvas.y - 4, fitted(panel.heading, WIDTH - LEFT - RIGHT), kind="ttl"))
    top, height = canvas.y + 4, float(_HEIGHTS[panel.kind])
    base = top + height
    ticks = [0.0, panel.top or 1.0] if strip else value_ticks(panel.top)
    if strip:
        out.append(text_at(LEFT - 8, base - 8, fitted(panel.title, LEFT - 12), "end"))
        out.append(text_at(WIDTH - RIGHT + 8, base - 8, short(panel.top), kind="lab n"))
        out.append(element("path", class_="grid", stroke="#d8dee4", d=f"M{LEFT} {px(base)}H{WIDTH - RIGHT}"))
    else:
        out.append(text_at(LEFT, top - 9, fitted(panel.title, WIDTH - LEFT - RIGHT), kind="ttl"))
        for tick in ticks:
            y = base - height * tick / ticks[-1]
            out.append(element("path", class_="grid", stroke="#d8dee4", d=f"M{LEFT} {px(y)}H{WIDTH - RIGHT}"))
            out.append(text_at(LEFT - 8, y + 4, short(tick), "end"))
    out += _gaps(canvas, panel, top, height)
    out += _paths(canvas, panel, base, height / ticks[-1], ticks[-1], height)
    canvas.y = base + (4 if strip else 8)
    return out


def _gaps(canvas: _Canvas, panel: Panel, top: float, height: float) -> list[str]:
    return [
        element(
            "rect",
            element("title", for_markup(shown(f"no data: {reason}", 300))),
            class_="gap",
            fill=f"url(#{canvas.id}-gap)",
            x=px(canvas.x(a)),
            y=px(top),
            width=px(max(canvas.x(b) - canvas.x(a), 2)),
            height=px(height),
            data_from=a,
            data_to=b,
        )
        for a, b, reason in panel.gaps[:50]
    ]


def _paths(canvas: _Canvas, panel: Panel, base: float, scale: float, top: float, height: float) -> list[str]:
    if panel.kind is Kind.STACK:
        lanes = _own(stacked([trace.values for trace in panel.traces], MOST_BUCKETS))
    else:
        lanes = [peaks(trace.values, MOST_BUCKETS) for trace in panel.traces]
    out = []
    for trace, buckets in zip(panel.traces, lanes, strict=True):
        at = trace.colour % len(COLOURS)
        filled = panel.kind is not Kind.LINES
        look = {"class_": f"s{at}", "fill": COLOURS[at]}
        if not filled:
            look = {"class_": f"l{at}", "stroke": COLOURS[at], "fill": "none", "stroke_dasharray": DASHES[at]}
        out.append(
            element(
                "path",
                **look,
                d=_outline(canvas, panel, buckets, base, scale, filled),
                data_s=trace.group,
                data_k=trace.lane,
                data_kind=panel.kind.value,
                data_y=px(base),
                data_h=px(height),
                data_max=f"{top:.6g}",
            )
        )
    return out[::-1] if panel.kind is Kind.STACK else out  # the tallest outline lies behind the others


def _own(lanes: list[list[Bucket]]) -> list[list[Bucket]]:
    """Stacked lanes without the buckets to which they add nothing: their edges would colour those of the lane below."""
    pairs = ((upper, below) for upper, below in zip(lanes[1:], lanes, strict=False))
    return lanes[:1] + [
        [Bucket(b.first, b.stop, None) if b.value == under.value else b for b, under in zip(upper, below, strict=True)]
        for upper, below in pairs
    ]


def _outline(canvas: _Canvas, panel: Panel, buckets: Sequence[Bucket], base: float, scale: float, filled: bool) -> str:
    """Steps as wide as their buckets; the path ends at a gap and begins again after it."""
    out: list[str] = []
    pen: str | None = None  # the height at which the pen stands
    for bucket in buckets:
        y = None if bucket.value is None else px(base - scale * max(bucket.value, 0))
        if y == pen:  # most steps are as high as the one before
            continue
        x = px(canvas.x(panel.start + panel.step * bucket.first))
        if y is None:
            out.append(f"H{x}V{px(base)}Z" if filled else f"H{x}")
        elif pen is None:
            out.append(f"M{x} {px(base)}V{y}" if filled else f"M{x} {y}")
        else:
            out.append(f"H{x}V{y}")
        pen = y
    if pen is not None:
        end = px(canvas.x(panel.start + panel.step * buckets[-1].stop))
        out.append(f"H{end}V{px(base)}Z" if filled else f"H{end}")
    return "".join(out)
