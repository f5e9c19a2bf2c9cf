"""From values to pixels: ticks, and buckets that keep every peak."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from analyzer.render.format import moment

Value = float | None  # None: nothing was recorded then, which is not zero

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_DAY = 86400
_LEAST, _GREATEST = 1e-9, 1e300  # heights that round ticks can be found for; less is drawn flat
_GREATEST_TICK = 1e15


class Bucket(Struct, frozen=True):
    """Steps `first` up to but not including `stop`, and the value drawn for them."""

    first: int
    stop: int
    value: Value


def _cuts(n: int, most: int) -> list[tuple[int, int]]:
    count = min(n, most)
    return [(b * n // count, (b + 1) * n // count) for b in range(count)]


def peaks(values: Sequence[Value], most: int) -> list[Bucket]:
    """At most `most` buckets, each holding the greatest of its values, so that a spike of one step survives."""
    out = []
    for first, stop in _cuts(len(values), most):
        known = [v for v in values[first:stop] if v is not None]
        out.append(Bucket(first, stop, max(known) if known else None))
    return out


def stacked(lanes: Sequence[Sequence[Value]], most: int) -> list[list[Bucket]]:
    """Per lane its buckets, cumulated from the first lane up; a bucket shows its step with the greatest total.

    One and the same step is taken for all lanes, so that what stands on top of each other did happen together.
    """
    n = max((len(lane) for lane in lanes), default=0)
    out: list[list[Bucket]] = [[] for _ in lanes]
    totals = [math.fsum(lane[i] or 0 for lane in lanes if i < len(lane)) for i in range(n)]
    for first, stop in _cuts(n, most):
        best = max(range(first, stop), key=totals.__getitem__)
        row = [lane[best] if best < len(lane) else None for lane in lanes]
        empty = all(value is None for value in row)
        height = 0.0
        for at, value in enumerate(row):
            height += value or 0
            out[at].append(Bucket(first, stop, None if empty else height))
    return out


def value_ticks(top: float, most: int = 4) -> list[float]:
    """Round values from 0 to at least `top`."""
    if not _LEAST < top < _GREATEST:
        return [0, top if math.isfinite(top) and top >= _GREATEST else 1]
    raw = top / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10, 20) if s * power >= raw * 0.999999)
    return [i * step for i in range(math.ceil(top / step * 0.999999) + 1)]


def log_ticks(low: float, high: float, most: int = 12) -> list[float]:
    """Round positive values, the first at most `low` and the last at least `high`, for an axis of equal ratios."""
    low = min(max(low, _LEAST), _GREATEST_TICK)
    high = min(max(high, low), _GREATEST_TICK)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    if last - first <= most:
        fine = [float(f"{m}e{e}") for e in range(first, last) for m in (1, 2, 5)] + [float(f"1e{last}")]
        begin = max(i for i, tick in enumerate(fine[:-1]) if tick <= low or i == 0)
        end = next(i for i, tick in enumerate(fine) if (tick >= high or i == len(fine) - 1) and i > begin)
        if end - begin < most:
            return fine[begin : end + 1]
    step = math.ceil((last - first) / (most - 1))
    return [float(f"1e{first + i * step}") for i in range(math.ceil((last - first) / step) + 1)]


def time_ticks(start: float, end: float, most: int = 8) -> list[tuple[float, str]]:
    """Round clock times with their labels; a day's first moment is labelled with its date."""
    span = max(end - start, 1.0)
    step = next((s for s in _STEPS if span / s <= most), _DAY * math.ceil(span / _DAY / most))
    first = math.ceil(start / step) * step
    out = []
    for i in range(int((end - first) // step) + 1 if end >= first else 0):
        at = first + i * step
        when = moment(at)
        if at % _DAY == 0:
            label = f"{when.month:02}-{when.day:02}"
        else:
            label = f"{when:%H:%M:%S}" if step < 60 else f"{when:%H:%M}"
        out.append((float(at), label))
    return out
