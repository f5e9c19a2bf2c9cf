"""Distributions as curves: at each value the share of what was counted that does not exceed it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup
from msgspec import Struct

from analyzer.model import Curve, CurveLane
from analyzer.render.chart import Chart, Key, Legend
from analyzer.render.draw import COLOURS, DASHES, LEFT, RIGHT, WIDTH, element, image, px, swatch, text_at
from analyzer.render.escape import shown
from analyzer.render.format import quantity, short
from analyzer.render.scale import log_ticks

MOST_LANES = 6
"""As many as can be told apart by colour and dash."""

TABLE_SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
"""The rows of the table."""

_TOP, _HEIGHT = 24, 180


class _Steps(Struct, frozen=True):
    """One lane as it is drawn: its values and their shares, ascending in both."""

    lane: CurveLane
    points: tuple[tuple[float, float], ...]

    def at(self, share: float) -> float:
        """The least value at or above that share."""
        return next((value for value, upto in self.points if upto >= share - 1e-9), self.points[-1][0])


def curve_chart(id_: str, curve: Curve) -> Chart | None:
    """The chart of a curve; none where no value is above zero, for then there is no scale."""
    lanes = [_steps(lane, curve.shares) for lane in curve.lanes[:MOST_LANES]]
    lanes = [steps for steps in lanes if steps.points]
    positive = [value for steps in lanes for value, _ in steps.points if value > 0]
    if not positive:
        return None
    ticks = log_ticks(min(positive), max(positive))
    desc = f"{shown(curve.title, 120)}. {' '.join(_sentence(steps, curve) for steps in lanes)}"
    svg = image(id_, _TOP + _HEIGHT + 24, curve.title, desc, _drawn(lanes, ticks, curve))
    keys = tuple(Key(Markup(swatch(at, True)), steps.lane.name, _note(steps, curve)) for at, steps in enumerate(lanes))
    headers = (f"Share of {shown(curve.counted, 40)}", *(steps.lane.name for steps in lanes))
    rows = tuple(
        (f"{share * 100:.3g} %", *(quantity(steps.at(share), curve.unit) for steps in lanes)) for share in TABLE_SHARES
    )
    told = "the value that each share does not exceed"
    return Chart(id_, curve.title, Markup(svg), (Legend("", keys),), _caption(lanes, curve), headers, rows, told)


def _steps(lane: CurveLane, shares: Sequence[float]) -> _Steps:
    """Values that are no numbers are left out, and a value below the one before it counts as that."""
    points: list[tuple[float, float]] = []
    for value, share in zip(lane.values, shares, strict=False):
        if math.isfinite(value) and math.isfinite(share):
            before, upto = points[-1] if points else (0.0, 0.0)
            points.append((max(value, before), min(max(share, upto), 1.0)))
    return _Steps(lane, tuple(points))


def _caption(lanes: Sequence[_Steps], curve: Curve) -> str:
    at, limit = ("latency", "took no longer") if curve.unit == "seconds" else ("value", "do not exceed it")
    words = [f"At each {at} the share of {shown(curve.counted, 40)} that {limit}, on a logarithmic axis."]
    if curve.remark:
        words.append(shown(curve.remark, 400))
    if any(steps.points[0][0] <= 0 for steps in lanes):
        words.append("Zero stands at the left edge.")
    if more := len(curve.lanes) - len(lanes):
        words.append(f"{more} more lanes are not drawn.")
    return " ".join(words)


def _note(steps: _Steps, curve: Curve) -> str:
    half, most = (quantity(steps.at(share), curve.unit) for share in (0.5, 0.99))
    return f"{quantity(steps.lane.count, curve.counted)}, half within {half}, 99 % within {most}"


def _sentence(steps: _Steps, curve: Curve) -> str:
    median, most = (quantity(steps.at(share), curve.unit) for share in (0.5, 0.99))
    counted = quantity(steps.lane.count, curve.counted)
    return f"{shown(steps.lane.name, 80)}: {counted}, median {median}, 99th percentile {most}."


def _drawn(lanes: Sequence[_Steps], ticks: Sequence[float], curve: Curve) -> list[str]:
    base, right = _TOP + _HEIGHT, WIDTH - RIGHT
    out = [text_at(LEFT, _TOP - 9, f"share of {shown(curve.counted, 40)}", kind="ttl")]
    for percent in (0, 25, 50, 75, 100):
        y = base - _HEIGHT * percent / 100
        out.append(element("path", class_="grid", stroke="#d8dee4", d=f"M{LEFT} {px(y)}H{right}"))
        out.append(text_at(LEFT - 8, y + 4, f"{percent} %", "end"))
    for tick in ticks:
        x = px(_x(tick, ticks))
        out.append(element("path", class_="grid", stroke="#d8dee4", d=f"M{x} {_TOP}V{base + 4}"))
        words = quantity(tick, curve.unit) if curve.unit == "seconds" else short(tick)
        out.append(text_at(_x(tick, ticks), base + 17, words, "middle"))
    for at, steps in enumerate(lanes):
        line = {"class_": f"l{at}", "stroke": COLOURS[at], "fill": "none", "stroke_dasharray": DASHES[at]}
        out.append(element("path", **line, d=_outline(steps, ticks, base)))
    return out


def _x(value: float, ticks: Sequence[float]) -> float:
    low, high = math.log10(ticks[0]), math.log10(ticks[-1])
    share = (math.log10(value) - low) / (high - low) if value > 0 else 0.0
    return LEFT + (WIDTH - LEFT - RIGHT) * min(max(share, 0.0), 1.0)


def _outline(steps: _Steps, ticks: Sequence[float], base: float) -> str:
    """Up at each value to its share, and on at that height to the next one."""
    out, at = [f"M{px(_x(steps.points[0][0], ticks))} {px(base)}"], px(base)
    pen = px(_x(steps.points[0][0], ticks))
    for value, share in steps.points:
        x, y = px(_x(value, ticks)), px(base - _HEIGHT * share)
        if x != pen:
            out.append(f"H{x}")
        if y != at:
            out.append(f"V{y}")
        pen, at = x, y
    return "".join(out)
