"""What text is handed on in: whole lines, with the number of the first."""

from __future__ import annotations

from msgspec import Struct

LINE_LIMIT = 64 << 20
"""Longest line that is kept. An honest audit line of 2 MB was recorded; beyond this a line is damage."""


class Window(Struct, frozen=True):
    """Whole physical lines. `data` ends with a newline except at the very end of an input that has none."""

    first_number: int
    data: bytes
