"""Windows that reach over a time which nobody recorded: what stands on both sides of it need not be one trouble."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import polars as pl

from analyzer.detectors.dns.dns_upstream_throttle.judge import judge
from analyzer.detectors.dns.dns_upstream_throttle.seen import BIN_SECONDS, Seen
from analyzer.detectors.dns.dns_upstream_throttle.windows import Limits, Window, windows

MOST = 20
"""Recordings of one window from which they are taken for samples of one trouble, so that the cost stays linear [an
engineering default]."""


def separated(seen: Seen, limits: Limits) -> Iterator[Window]:
    """Every upstream's windows, cut where one recording had ended, the next had not begun, and what each shows differs.

    What looks alike on both sides stays one window: a trouble of an hour may be recorded a minute at a time. A part
    that is too weak by itself is left out.
    """
    ends = unrecorded(seen)
    for window in windows(seen, limits):
        parts = list(_cut(window, ends))
        if len(parts) == 1:
            yield window
            continue
        yield from (part for part in parts if part.tries >= limits.failures)


def unrecorded(seen: Seen) -> list[int]:
    """The last bin before each stretch of ten seconds or more that lies between the rows of every input."""
    rows = pl.concat(
        [
            part.select("source", "time")
            for part in (seen.asked, seen.cluster, seen.upstream, seen.captured, seen.errors)
        ]
    )
    spans = rows.drop_nulls().group_by("source").agg(first=pl.col("time").min(), last=pl.col("time").max())
    known = spans.sort("first", "last").with_columns(reached=pl.col("last").cum_max().shift(1))
    hole = pl.col("first") - pl.col("reached") >= pl.duration(seconds=BIN_SECONDS)
    ends = known.filter(hole).select(pl.col("reached").to_physical() // (BIN_SECONDS * 1_000_000))
    return sorted(ends.to_series().to_list())


def _cut(window: Window, ends: list[int]) -> Iterator[Window]:
    """The parts of a window between those bins, neighbours of one variant together."""
    bins = sorted({at for frame in (window.failed, window.vain, window.seen.errors) for at in frame["bin"].to_list()})
    inside = [end for end in ends if bins and bins[0] <= end < bins[-1]]
    if not 0 < len(inside) < MOST:
        yield window
        return
    edges = [bins[0], *(end + 1 for end in inside), bins[-1] + 1]
    spans = [(first, last - 1) for first, last in pairwise(edges)]
    parts = [(span, _within(window, span)) for span in spans if any(span[0] <= at <= span[1] for at in bins)]
    held, variant = parts[0][0], judge(parts[0][1]).variant
    for span, part in parts[1:]:
        if judge(part).variant != variant:
            yield _within(window, held)
            held, variant = span, judge(part).variant
        else:
            held = (held[0], span[1])
    yield _within(window, held)


def _within(window: Window, span: tuple[int, int]) -> Window:
    return Window(window.upstreams, window.whole.within(*span), window.whole)
