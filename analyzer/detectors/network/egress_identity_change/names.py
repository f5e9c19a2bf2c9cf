"""Names of an endpoint, and whether they have been answered with other addresses since."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.network.egress_identity_change.flips import Flip
from analyzer.facts.contract import Frames
from analyzer.frames import DNS_ANSWERS


def names_of(flip: Flip, frames: Frames) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names that were answered with the server's address, and addresses that they were answered with since it turned,
    where it is no longer among them.

    A name is that of the question: one that is an alias (CNAME) keeps its own when its target changes. Addresses that
    it was answered with before as well are no move, but the turns of a pool.
    """
    if DNS_ANSWERS not in frames:
        return (), ()
    message = ["source", "number"]
    answers = frames[DNS_ANSWERS].filter(pl.col("protocol") == "dns")
    rtype = "AAAA" if ":" in flip.server else "A"
    asked = answers.group_by(message).agg(question=pl.col("name").sort_by("position", nulls_last=True).first())
    told = answers.filter(pl.col("rtype") == rtype).join(asked, on=message).select("question", "value", "time")
    names = told.filter(pl.col("value") == flip.server).select(pl.col("question").unique().sort()).collect()["question"]
    values = told.filter(pl.col("question").is_in(names.implode())).collect()
    later, before = (
        values.filter(part)["value"].drop_nulls().unique().sort()
        for part in (pl.col("time") >= flip.start, pl.col("time") < flip.start)
    )
    new = later.filter(~later.is_in(before.implode()))
    moved = () if flip.server in later or new.is_empty() else tuple(later)
    return tuple(names.drop_nulls()), moved
