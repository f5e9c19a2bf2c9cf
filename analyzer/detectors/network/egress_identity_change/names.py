"""Names of an endpoint, and whether they have been answered with other addresses since."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.network.egress_identity_change.flips import Flip
from analyzer.facts.contract import Frames
from analyzer.frames import DNS_ANSWERS


def names_of(flip: Flip, frames: Frames) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names that were answered with the server's address, and addresses that they were answered with since it turned,
    where it is no longer among them."""
    if DNS_ANSWERS not in frames:
        return (), ()
    answers = frames[DNS_ANSWERS].filter(pl.col("rtype").is_in(["A", "AAAA"]), pl.col("protocol") == "dns")
    names = answers.filter(pl.col("value") == flip.server).select(pl.col("name").unique().sort()).collect()["name"]
    later = (
        answers.filter(pl.col("name").is_in(names.implode()), pl.col("time") >= flip.start)
        .select(pl.col("value").unique().sort())
        .collect()["value"]
    )
    moved = () if flip.server in later else tuple(later.drop_nulls())
    return tuple(names.drop_nulls()), moved
