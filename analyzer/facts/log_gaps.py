"""What a node's journal says that it left out, in a sentence."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Frames
from analyzer.frames import LOG_SUPPRESSIONS


def left_out(frames: Frames, *components: str) -> str:
    """A sentence about messages of these components that a rate limit lost, so that counts are too low; empty where
    no journal says so."""
    if LOG_SUPPRESSIONS not in frames:
        return ""
    name = pl.col("component").str.strip_suffix(".service")
    lost = frames[LOG_SUPPRESSIONS].filter(pl.col("kind") == "left out", name.is_in(components))
    count = lost.select(pl.col("count").sum()).collect().item()
    if not count:
        return ""
    return f"The journal left out {count:,} messages of {' and '.join(components)}: counts are lower bounds."
