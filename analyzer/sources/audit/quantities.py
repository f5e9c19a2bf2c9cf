"""Quantities of the Kubernetes API as numbers."""

from __future__ import annotations

import math
import re

_SUFFIXES = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    **{f"{unit}i": 1024.0**power for power, unit in enumerate("KMGTPE", 1)},
}
"""apimachinery `pkg/api/resource/suffix.go`."""

_QUANTITY = re.compile(
    r"(\+?[0-9]{0,30}(?:\.[0-9]{0,30})?)(?:[eE]([+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII
)


def amount(quantity: object) -> float | None:
    """Cores, bytes or pieces; None if it is no quantity or is negative. JSON may hold a number too."""
    if isinstance(quantity, bool) or not isinstance(quantity, (str, int, float)):
        return None
    found = _QUANTITY.fullmatch(str(quantity))
    if not found or not any(char.isdigit() for char in found[1]):
        return None
    value = float(found[1]) * (10.0 ** int(found[2]) if found[2] else _SUFFIXES[found[3] or ""])
    return value if math.isfinite(value) else None
