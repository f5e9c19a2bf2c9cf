"""The measurements as one Markdown table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.measure import Cost, Pair
from benchmarks.rows import AtLeast, AtMost, Goal, Row, Within

WORDS = {"cpu": "CPU", "wall": "wall", "peak_mib": "memory"}
HEAD = ("measured", "against", "CPU s", "wall s", "peak MiB", "ratio", "goal", "met")


def table(measured: Mapping[Row, Sequence[Pair]]) -> Iterator[str]:
    """Lines of the table. A ratio is the median over the pairs, the other columns are medians of each side."""
    yield _line(HEAD)
    yield _line(["---"] * len(HEAD))
    for row, pairs in measured.items():
        value = statistics.median(row.goal.value(pair) for pair in pairs)
        alone = row.ours == row.other
        cells = [
            row.name,
            "" if alone else row.other.name,
            _sides(pairs, lambda cost: cost.cpu, 2, alone),
            _sides(pairs, lambda cost: cost.wall, 2, alone),
            _sides(pairs, lambda cost: cost.peak_mib, 0, alone),
            _value(row.goal, value),
            _goal(row.goal),
            _met(row.goal, value),
        ]
        yield _line(cells)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _sides(pairs: Sequence[Pair], of: Callable[[Cost], float], digits: int, alone: bool) -> str:
    ours = statistics.median(of(pair.ours) for pair in pairs)
    other = statistics.median(of(pair.other) for pair in pairs)
    return f"{ours:.{digits}f}" if alone else f"{ours:.{digits}f} / {other:.{digits}f}"


def _value(goal: Goal, value: float) -> str:
    match goal:
        case Within():
            return f"{value:.0f} MiB"
        case AtMost():
            return f"{value:.2f} times the {WORDS[goal.quantity]}"
        case AtLeast():
            return f"{value:.1f} times less {WORDS[goal.quantity]}"


def _goal(goal: Goal) -> str:
    match goal:
        case Within():
            return f"at most {goal.mib:g} MiB"
        case AtMost() if goal.times:
            return f"at most {goal.times:.2f}"
        case AtLeast() if goal.times:
            return f"at least {goal.times:g}"
    return ""


def _met(goal: Goal, value: float) -> str:
    if not _goal(goal):
        return ""
    return "yes" if goal.met(value) else "**no**"
