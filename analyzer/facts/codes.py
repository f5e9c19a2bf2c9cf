"""Text as numbers: joins, sorts and groups of many rows cost several times less by number than by text."""

from __future__ import annotations

import polars as pl

CODE = pl.Categorical()
"""Text that is kept once and stood for by a number of 32 bits, the same one in all frames of a run."""


def pair(first: str, second: str) -> pl.Expr:
    """Two columns of CODE as one number, which is one key where two would be packed into bytes row by row."""
    return pl.col(first).to_physical().cast(pl.UInt64) * (1 << 32) + pl.col(second).to_physical()
