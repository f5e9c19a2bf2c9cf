"""Freed memory that is kept for the next window, instead of going back to the kernel and coming as new pages."""

from __future__ import annotations

import ctypes
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""malloc.h of glibc."""

LARGEST = 32 << 20
"""Blocks below this are kept. It is what glibc itself goes up to (DEFAULT_MMAP_THRESHOLD_MAX), one freed block after
the other, and then it keeps twice as much (malloc(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD)."""

LARGE = 16 << 20
"""Bytes of an input from which windows come often enough."""


@cache
def keep_freed() -> None:
    """Do so in this process, where its C library can: windows of several MiB come and go hundreds of times."""
    try:
        choose = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    choose(_M_MMAP_THRESHOLD, LARGEST)
    choose(_M_TRIM_THRESHOLD, 2 * LARGEST)
