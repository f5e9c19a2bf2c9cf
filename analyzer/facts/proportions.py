"""How sure a share is that was counted in so many cases."""

from __future__ import annotations

from math import sqrt

Z95 = 1.959964
"""Quantile of the normal distribution for 95 %, two-sided."""


def wilson(count: int, cases: int) -> tuple[float, float]:
    """The 95 % interval of a share (E. B. Wilson, 1927); without cases it may be anything."""
    if not cases:
        return 0.0, 1.0
    share, square = count / cases, Z95 * Z95
    middle = share + square / (2 * cases)
    half = Z95 * sqrt(share * (1 - share) / cases + square / (4 * cases * cases))
    whole = 1 + square / cases
    low = 0.0 if not count else max(0.0, (middle - half) / whole)
    return low, 1.0 if count == cases else min(1.0, (middle + half) / whole)
